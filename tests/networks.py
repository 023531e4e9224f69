"""Stand-ins for large networks with random weights: their taps and shapes without their sums."""

from collections.abc import Mapping, Sequence
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from egofeat.extract.backbones.backbone import Builder
from egofeat.extract.backbones.building import blank

Shapes = dict[tuple[int, ...], dict[str, tuple[int, ...]]]


class StandIn(nn.Module):
    """What a network gives, of the same shapes, made from means of its input alone.

    It tells clips apart, and each from its mirror image or another crop; a batch changes no bit.
    """

    def __init__(self, build: Builder, taps: tuple[str, ...], seed: int) -> None:
        super().__init__()
        self.taps, self.seed = taps, seed
        network, self._shapes = _shapes_of(build, taps)
        self.network = (network,)  # a tuple, for its weights on `meta` are no weights of ours
        if hasattr(network, "frames_seen"):
            self.frames_seen = network.frames_seen

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """Run one batch `[B, C, H, W]` or `[B, C, T, H, W]`."""
        if batch.is_meta:
            return self.network[0](batch)
        key = tuple(batch.shape[1:])
        if key not in self._shapes:
            with torch.no_grad():
                outputs = self.network[0](torch.empty(1, *key, device="meta"))
            self._shapes[key] = {tap: tuple(outputs[tap].shape[1:]) for tap in self.taps}
        return {tap: self._fill(batch, shape) for tap, shape in self._shapes[key].items()}

    def _fill(self, batch: Tensor, shape: tuple[int, ...]) -> Tensor:
        sides = shape[1:] or (1,) * (batch.ndim - 2)
        pool = F.adaptive_avg_pool2d if batch.ndim == 4 else F.adaptive_avg_pool3d
        means = torch.stack([pool(one[None], sides)[0] for one in batch])
        number = torch.arange(shape[0], device=batch.device)
        of_each = (1 + number + self.seed).sin().view(-1, *[1] * len(sides))
        filled = means[:, number % means.shape[1]] * of_each
        return filled if len(shape) > 1 else filled.flatten(1)


def light(build: Builder) -> Builder:
    """The same builder, whose networks of random weights are stand-ins."""

    def make(taps: Sequence[str], state: Mapping[str, Tensor] | None, seed: int) -> nn.Module:
        if state is not None:
            return build(taps, state, seed)
        return StandIn(build, tuple(taps), seed)

    return make


@cache
def _shapes_of(build: Builder, taps: tuple[str, ...]) -> tuple[nn.Module, Shapes]:
    """The network without weights, and the shapes of its taps for each shape of input so far."""
    return blank(lambda: build(taps, None, 0)), {}

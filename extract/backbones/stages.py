"""Networks that are a row of stages, then an average, then a linear classifier."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from egofeat.errors import RequestError
from egofeat.extract.backbones.building import damp_branches, fill, fold_batch_norms, freeze


def average(map_BC: Tensor) -> Tensor:
    """Mean over positions in float32, `[B, C, ...]` to `[B, C]`."""
    return map_BC.mean(dim=tuple(range(2, map_BC.ndim)), dtype=torch.float32)


class GlobalMean(nn.Module):
    """`[B, C, T, H, W]` to `[B, C]` float32, the mean over time and space."""

    def forward(self, maps_BCTHW: Tensor) -> Tensor:
        """Average in float32, whatever the precision of the maps."""
        return average(maps_BCTHW)


def check_pixels(batch: Tensor, fewest: int, most: float = math.inf) -> None:
    """Refuse an input `[B, C, ..., H, W]` that the network has no room for.

    Raises:
        RequestError: a side is not in `[fewest, most]` pixels.
    """
    for pixels in batch.shape[-2:]:
        if not fewest <= pixels <= most:
            wanted = f"{fewest}" if fewest == most else f"at least {fewest}"
            raise RequestError(
                f"this backbone needs {wanted} pixels a side, not {pixels}: give `size` {fewest}"
            )


class Stages(nn.Module):
    """`[B, 3, ...]` to `{tap: tensor}`; what is deeper than the deepest tap is not kept.

    Taps are the names of the stages, `[B, C, ...]`; `map`, the output of the last one; `gap`,
    what enters the classifier `[B, C]`; `logits` `[B, classes]`.

    Args:
        stages: name to module, from the first to the last.
        classifier: takes `gap`.
        taps: to keep.
        pool: `map` to `gap`.
        fewest_pixels: that a side of the input needs.
    """

    def __init__(
        self,
        stages: Mapping[str, nn.Module],
        classifier: nn.Module,
        taps: Sequence[str],
        pool: Callable[[Tensor], Tensor] = average,
        fewest_pixels: int = 1,
    ) -> None:
        super().__init__()
        self.taps = tuple(taps)
        names = list(stages)
        whole = {"map", "gap", "logits"} & set(taps)
        deepest = len(names) - 1 if whole else max(names.index(tap) for tap in taps)
        self.stages = nn.ModuleDict({name: stages[name] for name in names[: deepest + 1]})
        self.classifier = classifier if "logits" in taps else None
        self.pool = pool
        self.fewest_pixels = fewest_pixels

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """Run the stages in order and keep what was asked for."""
        check_pixels(batch, self.fewest_pixels)
        outputs = {}
        hidden = batch
        for name, stage in self.stages.items():
            hidden = stage(hidden)
            if name in self.taps:
                outputs[name] = hidden
        if "map" in self.taps:
            outputs["map"] = hidden
        if {"gap", "logits"} & set(self.taps):
            outputs["gap"] = self.pool(hidden)
        if self.classifier is not None:
            outputs["logits"] = self.classifier(outputs["gap"].to(hidden.dtype))
        return {tap: outputs[tap] for tap in self.taps}


@dataclass(frozen=True)
class Chain:
    """A whole network, unfolded, told as a row of stages: it can be cut at any of them.

    All parts are those of `network`: what is loaded into one of them is in it.
    """

    network: nn.Module
    """In its published layout."""
    stages: Mapping[str, nn.Module]
    """Tap to what leads to it from the tap before, from the first to the last."""
    pool: Callable[[Tensor], Tensor]
    """The last maps `[B, C, ...]` to `[B, C]`."""
    classify: nn.Module
    """`[B, C]` to `[B, classes]`."""
    classifier: str
    """Name, in the network, of the layer whose weight's first axis counts the classes."""


Told = tuple[Mapping[str, nn.Module], Callable[[Tensor], Tensor], nn.Module]
"""Stages, pool and classifier of a `Chain`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ChainBuilder:
    """Builds a frozen network that is one chain, folded, up to the deepest tap; or the whole."""

    name: str
    """Of the backbone, for errors."""
    make: Callable[..., nn.Module]
    """Takes `num_classes`; gives a fresh network."""
    tell: Callable[[nn.Module], Told]
    """The parts of a network that was made."""
    classifier: str
    """Name of its last layer."""
    pairs: Sequence[tuple[str, str]] = ()
    """Names of (convolution, batch norm) to fold."""
    fewest_pixels: int = 1
    """That a side of the input needs."""
    damped: tuple[type[nn.Module], str] | None = None
    """Of random weights: blocks whose last batch norm, of this name, is scaled down."""
    adapt: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = dict
    """A state dict of another layout, or of an image network, as one of this network."""

    def whole(
        self, state: Mapping[str, Tensor] | None, seed: int = 0, *, logits: bool = False
    ) -> Chain:
        """The whole network with its weights, or random ones made from `seed`.

        Args:
            state: of the network, with or without the classifier, or what `adapt` takes.
            seed: of random weights.
            logits: whether a classifier is needed.

        Raises:
            WeightsError: keys or shapes that are not the network's, or no classifier that is
                needed.
        """
        own = None if state is None else self.adapt(state)
        network = fill(self.make, own, seed, self.classifier, logits, self.name)
        if state is None and self.damped:
            damp_branches(network, *self.damped)
        return Chain(network, *self.tell(network), self.classifier)

    def __call__(
        self, taps: Sequence[str], state: Mapping[str, Tensor] | None, seed: int
    ) -> nn.Module:
        """As every `Builder`."""
        chain = self.whole(state, seed, logits="logits" in taps)
        freeze(chain.network)
        folded = fold_batch_norms(nn.ModuleDict(chain.stages), self.pairs)
        stages = dict(folded.named_children())
        return Stages(stages, chain.classify, taps, chain.pool, self.fewest_pixels)


def in_a_row(taps: Sequence[str], network: nn.Module) -> Told:
    """The parts of a network whose children are its layers in order, a mean and a classifier."""
    *layers, pool, classify = network.children()
    return dict(zip(taps, layers, strict=False)), pool, classify

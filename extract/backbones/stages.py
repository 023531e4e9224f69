"""Networks that are a row of stages, then an average, then a linear classifier."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from egofeat.errors import RequestError
from egofeat.extract.backbones.backbone import Spec
from egofeat.extract.backbones.building import fill, fold_batch_norms, freeze


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


def build_chain(
    spec: Spec,
    make: Callable[..., nn.Sequential],
    classifier: str,
    pairs: Sequence[tuple[str, str]],
    taps: Sequence[str],
    state: Mapping[str, Tensor] | None,
    seed: int,
    fewest_pixels: int = 1,
) -> nn.Module:
    """A frozen video network that is one chain, folded, up to the deepest tap.

    Args:
        spec: its taps are the children of the chain in order: layers, mean, classifier.
        make: takes `num_classes`; gives a fresh chain.
        classifier: name of the layer whose weight's first axis counts the classes.
        pairs: names of (convolution, batch norm) to fold.
        taps: names out of `spec.taps`.
        state: in the chain's own layout, with or without the classifier; None gives
            random weights made from `seed`.
        seed: of the random weights.
        fewest_pixels: that a side of the input needs.

    Raises:
        WeightsError: keys or shapes that are not the chain's, or logits without a classifier.
    """
    network = fill(make, state, seed, classifier, "logits" in taps, spec.name)
    *layers, pool, logits = fold_batch_norms(freeze(network), pairs).children()
    named = dict(zip(spec.taps, layers, strict=False))
    return Stages(named, logits, taps, pool, fewest_pixels)

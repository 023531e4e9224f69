"""Video networks that are one chain, as `nn.Sequential` has it: layers, mean, classifier."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from egofeat.extract.backbones.backbone import Spec
from egofeat.extract.backbones.blank import blank
from egofeat.extract.backbones.classifiers import KINETICS_CLASSES, count_classes
from egofeat.extract.backbones.folding import fold_batch_norms
from egofeat.extract.backbones.freezing import freeze, load_strictly, seeded
from egofeat.extract.backbones.stages import Stages, average


class GlobalMean(nn.Module):
    """`[B, C, T, H, W]` to `[B, C]` float32, the mean over time and space."""

    def forward(self, maps_BCTHW: Tensor) -> Tensor:
        """Average in float32, whatever the precision of the maps."""
        return average(maps_BCTHW)


def build_chain(
    spec: Spec,
    make: Callable[[int], nn.Sequential],
    classifier: str,
    pairs: Sequence[tuple[str, str]],
    taps: Sequence[str],
    state: Mapping[str, Tensor] | None,
    seed: int,
    fewest_pixels: int = 1,
) -> nn.Module:
    """A frozen chain, folded, up to the deepest tap.

    Args:
        spec: its taps are the children of the chain in order: layers, mean, classifier.
        make: number of classes to a fresh chain.
        classifier: key of the classifier's weight, whose first axis counts the classes.
        pairs: names of (convolution, batch norm) to fold.
        taps: names out of `spec.taps`.
        state: in the chain's own layout, with or without the classifier; None gives
            random weights made from `seed`.
        seed: of the random weights.
        fewest_pixels: that a side of the input needs.

    Raises:
        WeightsError: keys or shapes that are not the chain's, or logits without a classifier.
    """
    if state is None:
        network: nn.Module = seeded(lambda: make(KINETICS_CLASSES), seed)
    else:
        classes = count_classes(state, classifier, "logits" in taps, spec.name)
        network = blank(lambda: make(classes or KINETICS_CLASSES)).to_empty(device="cpu")
        if classes is None:
            # Not asked for and not given: nothing to load, and nothing of it is kept.
            setattr(network, classifier.partition(".")[0], nn.Identity())
        load_strictly(network, state, spec.name)
    *layers, pool, logits = fold_batch_norms(freeze(network), pairs).children()
    named = dict(zip(spec.taps, layers, strict=False))
    return Stages(named, logits, taps, pool, fewest_pixels)

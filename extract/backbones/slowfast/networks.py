"""SlowFast and its single-pathway kin (Feichtenhofer et al., 2019): their specs, and building one.

Maps and vectors of the two pathways are `slow_…` and `fast_…`; `slowfast` joins both vectors.
Averages are those of the published classifiers: over all windows of 7×7 on stage 5's map, which
at 256 pixels has 8×8. Detection networks have no `logits`: they score boxes.
"""

import functools
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from egofeat.extract.backbones.backbone import Builder, Clip, Spec
from egofeat.extract.backbones.building import (
    AVA_CLASSES,
    KINETICS_CLASSES,
    blank,
    count_classes,
    damp_branches,
    fold_batch_norms,
    freeze,
    load_strictly,
    seeded,
)
from egofeat.extract.backbones.resnet3d import FOLDED_PAIRS, Bottleneck, NonLocal
from egofeat.extract.backbones.slowfast.designs import DESIGNS
from egofeat.extract.backbones.slowfast.layouts import to_pyslowfast
from egofeat.extract.backbones.slowfast.network import Design, TappedPathways, layers
from egofeat.extract.backbones.slowfast.weights import WEIGHTS

_PARAMETERS = {
    "slowfast_8x8_r50": 34_566_488,
    "slowfast_4x16_r50": 34_480_216,
    "slowfast_8x8_r101": 62_826_968,
    "slowfast_16x8_r101": 53_774_808,
    "slowfast_nln_16x8_r101": 60_080_088,
    "slowfast_32x2_r50_ava": 33_828_888,
    "slowfast_32x2_r101_ava": 59_342_488,
    "slow_8x8_r50": 32_454_096,
    "slow_4x16_r50": 32_454_096,
    "i3d_8x8_r50": 28_043_472,
    "i3d_nln_8x8_r50": 35_401_936,
    "i3d_nln_8x8_r101": 59_112_656,
}


def published_classes(design: Design) -> dict[str, int]:
    """Classifier and number of classes that the network was published with."""
    return {"projection": AVA_CLASSES if design.detection else KINETICS_CLASSES}


def _spec(name: str, design: Design) -> Spec:
    """The spec that follows from a design."""
    by_depth = [tap for taps in zip(*design.map_taps, strict=True) for tap in taps]
    vectors = list(design.vector_taps)
    if design.detection:
        # Detection scores boxes, of which a backbone knows nothing.
        vectors.remove("logits")
    halvings = 2 if design.temporal_pool else 1
    if design.nonlocal_after:
        halvings *= design.nonlocal_pool[0]
    return Spec(
        name=name,
        taps=(*by_depth, *vectors),
        default_tap="gap" if design.fast is None else "slowfast",
        parameters=_PARAMETERS[name],
        size=256,
        mean=(0.45, 0.45, 0.45),
        std=(0.225, 0.225, 0.225),
        weights=WEIGHTS[name],
        clip=Clip(
            frames=design.frames,
            stride=design.stride,
            fewest=design.alpha * halvings,
            multiple=design.alpha,
        ),
    )


def build(
    name: str, taps: Sequence[str], state: Mapping[str, Tensor] | None, seed: int
) -> nn.Module:
    """The network up to the deepest tap, folded, in eval mode, gradients off.

    Args:
        name: one of `DESIGNS`.
        taps: names out of the spec's taps.
        state: PySlowFast's, PyTorchVideo's or Caffe2's layout, with any number of classes;
            None gives random weights made from `seed`.
        seed: of the random weights.

    Raises:
        WeightsError: keys or shapes that are not this network's, or no classifier where
            `logits` were asked for.
    """
    design = DESIGNS[name]
    if state is None:
        network = seeded(lambda: layers(design, published_classes(design)), seed)
        damp_branches(network, Bottleneck, "branch2.c_bn")
        # Products of three random convolutions would cube the scale: they add nothing.
        damp_branches(network, NonLocal, "bn", scale=0)
    else:
        converted = to_pyslowfast(state)
        classes = _classes(converted, "logits" in taps, name)
        network = blank(lambda: layers(design, classes)).to_empty(device="cpu")
        load_strictly(network, converted, name)
    folded = fold_batch_norms(freeze(network), FOLDED_PAIRS)
    assert isinstance(folded, nn.ModuleDict)
    return TappedPathways(folded, design, taps)


def _classes(state: Mapping[str, Tensor], needed: bool, name: str) -> dict[str, int]:
    """Classifiers of a state dict: one, or EPIC-KITCHENS' verbs and nouns in this order."""
    parts = ("projection_verb", "projection_noun")
    several = any(key.startswith(tuple(f"head.{part}." for part in parts)) for key in state)
    counts = {
        part: count_classes(state, f"head.{part}.weight", needed, name)
        for part in (parts if several else ("projection",))
    }
    return {part: count for part, count in counts.items() if count is not None}


FAMILY: dict[str, tuple[Spec, Builder]] = {
    name: (_spec(name, design), functools.partial(build, name)) for name, design in DESIGNS.items()
}
"""Name to spec and builder."""

"""SlowFast and its single-pathway kin (Feichtenhofer et al., 2019): their specs, and building one.

Maps and vectors of the two pathways are `slow_…` and `fast_…`; `slowfast` joins both vectors.
Averages are those of the published classifiers: over all windows of 7×7 on stage 5's map, which
at 256 pixels has 8×8. Detection networks have no `logits`: they score boxes.

Names are `frames of the slow pathway × its stride` and depth. An `r101` has 23 blocks in stage
4; but for `slowfast_8x8_r101` (published as 101, 101) and I3D, only the first 6 of them look over
time, as all do in an `r50` (published as `50_50`).

Sources: Feichtenhofer et al., 2019, arXiv:1812.03982 (Tables 1 and 6); Wang et al., 2018,
arXiv:1711.07971 (I3D and non-local blocks); the configurations that PySlowFast and PyTorchVideo
publish with their weights.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from egofeat.extract.backbones.backbone import Clip, Family, Spec
from egofeat.extract.backbones.building import (
    AVA_CLASSES,
    KINETICS_CLASSES,
    allocate,
    blank,
    count_classes,
    damp_branches,
    fold_batch_norms,
    freeze,
    load_strictly,
    seeded,
)
from egofeat.extract.backbones.resnet3d import FOLDED_PAIRS, Bottleneck, NonLocal
from egofeat.extract.backbones.slowfast.layouts import from_resnet, is_resnet, to_pyslowfast
from egofeat.extract.backbones.slowfast.network import (
    Design,
    Pathway,
    TappedPathways,
    average_of_windows,
    layers,
    stages_of,
)
from egofeat.extract.backbones.slowfast.weights import WEIGHTS
from egofeat.extract.backbones.stages import Chain
from egofeat.extract.weights import Weights


def _slow(blocks: int = 6, temporal: int = 6) -> Pathway:
    """Frames are joined in stages 4 and 5 alone; `temporal` of stage 4's `blocks` do so."""
    stage4 = (3,) * temporal + (1,) * (blocks - temporal)
    return Pathway(width=64, stem=1, kernels=((1,) * 3, (1,) * 4, stage4, (3,) * 3))


def _fast(blocks: int = 6, temporal: int = 6) -> Pathway:
    """Frames are joined from the stem on; `temporal` of stage 4's `blocks` do so."""
    stage4 = (3,) * temporal + (1,) * (blocks - temporal)
    return Pathway(width=8, stem=5, kernels=((3,) * 3, (3,) * 4, stage4, (3,) * 3))


def _i3d(blocks: int = 6) -> Pathway:
    """Inflated as in Wang et al.: from stage 3 on, every other block joins frames."""
    stage4 = ((3, 1) * blocks)[:blocks]
    return Pathway(width=64, stem=5, kernels=((3,) * 3, (3, 1, 3, 1), stage4, (1, 3, 1)))


_NONLOCAL_R101: Mapping[int, tuple[int, ...]] = {4: (6, 13, 20)}
_NONLOCAL_I3D: Mapping[int, tuple[int, ...]] = {3: (1, 3), 4: (1, 3, 5)}

DESIGNS: dict[str, Design] = {
    "slowfast_8x8_r50": Design(
        slow=_slow(), fast=_fast(), alpha=4, fusion_kernel=7, frames=32, stride=2
    ),
    "slowfast_4x16_r50": Design(slow=_slow(), fast=_fast(), alpha=8, frames=32, stride=2),
    "slowfast_8x8_r101": Design(
        slow=_slow(23, 23), fast=_fast(23, 23), alpha=4, frames=32, stride=2
    ),
    "slowfast_16x8_r101": Design(slow=_slow(23), fast=_fast(23), alpha=4, frames=64, stride=2),
    "slowfast_nln_16x8_r101": Design(
        slow=_slow(23), fast=_fast(23), alpha=4, frames=64, stride=2, nonlocal_after=_NONLOCAL_R101
    ),
    "slowfast_32x2_r50_ava": Design(
        slow=_slow(), fast=_fast(), alpha=4, fusion_kernel=7, frames=32, stride=2, detection=True
    ),
    "slowfast_32x2_r101_ava": Design(
        slow=_slow(23),
        fast=_fast(23),
        alpha=4,
        frames=32,
        stride=2,
        nonlocal_after=_NONLOCAL_R101,
        nonlocal_pool=(2, 2, 2),
        detection=True,
    ),
    "slow_8x8_r50": Design(slow=_slow(), frames=8, stride=8),
    "slow_4x16_r50": Design(slow=_slow(), frames=4, stride=16),
    "i3d_8x8_r50": Design(slow=_i3d(), frames=8, stride=8, temporal_pool=True),
    "i3d_nln_8x8_r50": Design(
        slow=_i3d(),
        frames=8,
        stride=8,
        temporal_pool=True,
        nonlocal_after=_NONLOCAL_I3D,
        nonlocal_softmax=True,
    ),
    "i3d_nln_8x8_r101": Design(
        slow=_i3d(23),
        frames=8,
        stride=8,
        temporal_pool=True,
        nonlocal_after=_NONLOCAL_I3D,
        nonlocal_softmax=True,
    ),
}

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


_UNPUBLISHED = (
    "Its weights cannot be downloaded: it tells costs and shapes, and takes weights of your own. "
    "With those of resnet101 the slow pathway sees each frame by itself."
)


def published_classes(design: Design) -> dict[str, int]:
    """Classifier and number of classes that the network was published with."""
    return {"projection": AVA_CLASSES if design.detection else KINETICS_CLASSES}


_RESNETS: dict[tuple[int, ...], tuple[str, ...]] = {
    (3, 4, 6, 3): ("resnet50",),
    (3, 4, 23, 3): ("resnet101",),
    (3, 8, 36, 3): ("resnet152",),
}
"""Blocks of stages 2 to 5 to the image network that has them."""


def _image_networks(pathway: Pathway) -> tuple[str, ...]:
    return _RESNETS.get(tuple(map(len, pathway.kernels)), ()) if pathway.width == 64 else ()


def spec_of(
    name: str, design: Design, parameters: int, weights: tuple[Weights, ...], note: str
) -> Spec:
    """The spec that follows from a design."""
    by_depth = [tap for taps in zip(*design.map_taps, strict=True) for tap in taps]
    vectors = list(design.vector_taps)
    if design.detection:
        # Detection scores boxes, of which a backbone knows nothing.
        vectors = [tap for tap in vectors if tap not in ("logits", "scores")]
    halvings = 2 if design.temporal_pool else 1
    if design.nonlocal_after:
        halvings *= design.nonlocal_pool[0]
    return Spec(
        name=name,
        taps=(*by_depth, *vectors),
        default_tap="gap" if design.fast is None else "slowfast",
        parameters=parameters,
        size=256,
        mean=(0.45, 0.45, 0.45),
        std=(0.225, 0.225, 0.225),
        weights=weights,
        grew_from=_image_networks(design.slow),
        detects=design.detection,
        note=note,
        clip=Clip(
            frames=design.frames,
            stride=design.stride,
            fewest=design.alpha * halvings,
            multiple=design.alpha,
        ),
    )


@dataclass(frozen=True, eq=False)
class PathwayBuilder:
    """Builds a network of the family, up to the deepest tap."""

    name: str
    """Of the backbone, for errors."""
    design: Design

    def __call__(
        self, taps: Sequence[str], state: Mapping[str, Tensor] | None, seed: int
    ) -> nn.Module:
        """As every `Builder`, of weights in any of the layouts and of any classes."""
        network = self.unfolded(state, seed, bool({"logits", "scores"} & set(taps)))
        folded = fold_batch_norms(freeze(network), FOLDED_PAIRS)
        assert isinstance(folded, nn.ModuleDict)
        return TappedPathways(folded, self.design, taps)

    def unfolded(
        self, state: Mapping[str, Tensor] | None, seed: int, logits: bool
    ) -> nn.ModuleDict:
        """All layers under PySlowFast's names, with their weights."""
        design = self.design
        if state is None:
            network = seeded(lambda: layers(design, published_classes(design)), seed)
            damp_branches(network, Bottleneck, "branch2.c_bn")
            # Products of three random convolutions would cube the scale: they add nothing.
            damp_branches(network, NonLocal, "bn", scale=0)
        else:
            converted = to_pyslowfast(state)
            if is_resnet(state):
                fresh = self.unfolded(None, seed, logits=False).state_dict()
                converted = {**fresh, **from_resnet(state, fresh)}
            classes = _classes(converted, logits, self.name)
            network = allocate(blank(lambda: layers(design, classes)))
            load_strictly(network, converted, self.name)
        assert isinstance(network, nn.ModuleDict)
        return network


class SinglePathwayBuilder(PathwayBuilder):
    """Builds a network of one pathway, which is a chain of stages."""

    def whole(
        self, state: Mapping[str, Tensor] | None, seed: int = 0, *, logits: bool = False
    ) -> Chain:
        """The whole network; see `ChainBuilder.whole`."""
        network = self.unfolded(state, seed, logits)
        window = None if self.design.detection else self.design.windows["map"]
        head = network["head"]
        assert isinstance(head, nn.ModuleDict)
        if "projection" not in head:  # of a trunk, or of verbs and nouns
            head["projection"] = nn.Linear(self.design.features, KINETICS_CLASSES)
        return Chain(
            network,
            stages_of(network, self.design),
            functools.partial(average_of_windows, window=window),
            head["projection"],
            "head.projection",
        )


def _classes(state: Mapping[str, Tensor], needed: bool, name: str) -> dict[str, int]:
    """Classifiers of a state dict: one, or EPIC-KITCHENS' verbs and nouns in this order."""
    parts = ("projection_verb", "projection_noun")
    several = any(key.startswith(tuple(f"head.{part}." for part in parts)) for key in state)
    counts = {
        part: count_classes(state, f"head.{part}.weight", needed, name)
        for part in (parts if several else ("projection",))
    }
    return {part: count for part, count in counts.items() if count is not None}


def build_by(name: str, design: Design) -> PathwayBuilder:
    """The builder of a design."""
    kind = PathwayBuilder if design.fast else SinglePathwayBuilder
    return kind(name, design)


def _family(name: str, design: Design) -> tuple[Spec, PathwayBuilder]:
    weights = WEIGHTS[name]
    note = "" if weights else _UNPUBLISHED
    return spec_of(name, design, _PARAMETERS[name], weights, note), build_by(name, design)


FAMILY: Family = {name: _family(name, design) for name, design in DESIGNS.items()}

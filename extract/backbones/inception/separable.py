"""Convolutions taken apart into space and time (Xie et al., 2018, arXiv:1712.04851, section 4.2).

A k×k×k kernel becomes 1×k×k and then k×1×1, each with its own batch norm and ReLU. Names tell
which is which: `spatial` and `temporal`; a unit that does not look along time has no `temporal`.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from egofeat.extract.backbones.backbone import Clip, Spec
from egofeat.extract.backbones.stages import GlobalMean

FOLD = (("conv", "bn"),)
"""Names of the (convolution, batch norm) of every unit here."""

Axes = tuple[int, int, int]


class Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: Axes, stride: Axes, padding: Axes
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=1e-3)

    def forward(self, maps_BCTHW: Tensor) -> Tensor:
        """`[B, C, T, H, W]` to `[B, C', T', H', W']`."""
        return F.relu(self.bn(self.conv(maps_BCTHW)), inplace=True)


class Inner(nn.Module):
    """All frames but so many at both ends."""

    def __init__(self, ends: int) -> None:
        super().__init__()
        self.ends = ends

    def forward(self, maps_BCTHW: Tensor) -> Tensor:
        """`[B, C, T, H, W]` to `[B, C, T - 2 ends, H, W]`."""
        return maps_BCTHW[:, :, self.ends : maps_BCTHW.shape[2] - self.ends]


class SeparableConv(nn.Sequential):
    """A convolution over space and, where it has an extent there, one over time after it."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int] = (1, 1),
        *,
        extent: int | None = None,
        stride: int = 1,
        padded: bool = True,
        joint: bool = False,
    ) -> None:
        """Make the one or two units.

        Args:
            inputs: channels.
            outputs: channels.
            kernel: height and width.
            extent: frames that the kernel spans; by default as many as it spans pixels, and 1
                gives a 2-D convolution.
            stride: along all three axes, also where the extent is 1.
            padded: by half a kernel on both sides, or not at all.
            joint: not taken apart: one 3-D kernel, padded, with a stride of 1.
        """
        super().__init__()
        height, width = kernel
        extent = max(kernel) if extent is None else extent
        if joint:
            around = (extent // 2, height // 2, width // 2)
            unit = Unit(inputs, outputs, (extent, height, width), (1, 1, 1), around)
            self.add_module("spatial", unit)
            return
        if extent == 1 and not padded:
            # As many frames as where the window reaches over several: those in its middle.
            self.add_module("inner", Inner(max(kernel) // 2))
        around = (0, height // 2, width // 2) if padded else (0, 0, 0)
        steps = (1 if extent > 1 else stride, stride, stride)
        self.add_module("spatial", Unit(inputs, outputs, (1, height, width), steps, around))
        if extent > 1:
            around = (extent // 2, 0, 0) if padded else (0, 0, 0)
            along = Unit(outputs, outputs, (extent, 1, 1), (stride, 1, 1), around)
            self.add_module("temporal", along)


class Branches(nn.ModuleDict):
    """Modules that see the same maps; their outputs stand one after another in the channels."""

    def __init__(self, branches: Mapping[str, nn.Module]) -> None:
        super().__init__(branches)

    def forward(self, maps_BCTHW: Tensor) -> Tensor:
        """`[B, C, T, H, W]` to `[B, sum of C', T', H', W']`."""
        return torch.cat([branch(maps_BCTHW) for branch in self.values()], dim=1)


class AveragePool(nn.Module):
    """Mean over 3×3×3 neighbours, stride 1.

    Zeros beyond the frame's border count, as they do in Inception-v3; before the first frame
    and after the last stand copies of them, so that a still clip stays still.
    """

    def forward(self, maps_BCTHW: Tensor) -> Tensor:
        """`[B, C, T, H, W]` to the same shape."""
        # avg_pool3d has no bfloat16 on a CPU, and refuses maps smaller than its window.
        frames_BTCHW = maps_BCTHW.transpose(1, 2)
        blurred = F.avg_pool2d(frames_BTCHW.flatten(0, 1), 3, stride=1, padding=1)
        steps = blurred.view(frames_BTCHW.shape).transpose(1, 2)
        long = torch.cat([steps[:, :, :1], steps, steps[:, :, -1:]], dim=2)
        return (long[:, :, :-2] + long[:, :, 1:-1] + long[:, :, 2:]) / 3


_FROZEN = (
    "With image weights, which are inflated, it sees each frame by itself: order changes nothing. "
    "Train its last blocks with egofeat fit-head tail, or give weights of your own."
)

Conv = Callable[..., SeparableConv]
Layers = Mapping[str, Callable[[Conv], nn.Module]]
"""Name to a function from the convolution to use to the layer."""


def joint_sevens(
    inputs: int, outputs: int, kernel: tuple[int, int] = (1, 1), **rest: Any
) -> SeparableConv:
    """A `SeparableConv`, but kernels of 1×7 and 7×1 are 7×1×7 and 7×7×1, not taken apart."""
    if 7 in kernel:
        rest |= {"extent": 7, "joint": True}
    return SeparableConv(inputs, outputs, kernel, **rest)


def make_separable(
    layers: Layers,
    flat_layers: int,
    features: int,
    classes: int,
    temporal: Conv = SeparableConv,
) -> nn.Sequential:
    """A fresh chain of layers, a mean over time and space, and a classifier.

    Args:
        layers: in the network's order.
        flat_layers: so many from the first have no temporal convolution.
        features: channels of the last layer.
        classes: of the classifier.
        temporal: the convolution of the others.
    """
    network = nn.Sequential()
    for number, (name, make) in enumerate(layers.items(), start=1):
        conv = functools.partial(SeparableConv, extent=1)
        network.add_module(name, make(conv if number <= flat_layers else temporal))
    network.add_module("pool", GlobalMean())
    network.add_module("fc", nn.Linear(features, classes))
    return network


def spec_of(
    name: str, layers: Sequence[str], parameters: int, fewest: int, note: str, grew_from: str
) -> Spec:
    """The spec of a network of such layers, whose clips are at 25 frames a second as I3D's."""
    return Spec(
        name=name,
        taps=("stem", *layers[1:-1], "map", "gap", "logits"),
        default_tap="gap",
        parameters=parameters,
        grew_from=(grew_from,),
        size=224,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        clip=Clip(frames=64, stride=1, fps=25.0, fewest=fewest),
        note=f"{_FROZEN} {note}".strip(),
    )

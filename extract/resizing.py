"""Frames to another size by torch's kernels, to the numbers that torchvision gives.

Torchvision itself is not imported: that takes as long as to import torch.
"""

import functools
import platform
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_KERNELS = {
    ("bilinear", True): "_upsample_bilinear2d_aa",
    ("bilinear", False): "upsample_bilinear2d",
    ("bicubic", True): "_upsample_bicubic2d_aa",
    ("bicubic", False): "upsample_bicubic2d",
}
"""Interpolation, and whether it filters first, to what `F.interpolate` calls."""


def resize_in_uint8(
    frame_CHW: Tensor,
    sides: Sequence[int],
    kind: str = "bilinear",
    *,
    antialias: bool,
    until: Sequence[int] | None = None,
) -> Tensor:
    """By the kernel for bytes, where this processor has one; else as floats, rounded.

    A GPU has none that filters first. The two are at most a level apart.

    Args:
        frame_CHW: uint8.
        sides: height and width, or the shorter of them alone.
        kind: `bilinear` or `bicubic`.
        antialias: whether shrinking filters first.
        until: rows and columns of the new size that are wanted, from the first ones: of the others
            some may be left out. None: all.
    """
    size = resized_size(frame_CHW, sides)
    if size == tuple(frame_CHW.shape[1:]):
        return frame_CHW
    # As one of a batch whose channels are last; a batch of one could be either, and is not.
    images = frame_CHW.permute(1, 2, 0)[None].permute(0, 3, 1, 2)
    if images.device.type == "cpu" and (kind == "bicubic" or _has_kernel()):
        return _resized(images, size, kind, antialias, until or size)[0]
    return _rounded(_resized(images.float(), size, kind, antialias, until or size), kind)[0]


def resize_in_float32(
    frame_CHW: Tensor,
    sides: Sequence[int],
    kind: str = "bilinear",
    *,
    antialias: bool,
    until: Sequence[int] | None = None,
) -> Tensor:
    """As floats, rounded to uint8; see `resize_in_uint8`."""
    size = resized_size(frame_CHW, sides)
    if size == tuple(frame_CHW.shape[1:]):
        return frame_CHW
    images = frame_CHW[None].float()
    return _rounded(_resized(images, size, kind, antialias, until or size), kind)[0]


def resized_size(frame_CHW: Tensor, sides: Sequence[int]) -> tuple[int, int]:
    """Height and width of a frame with these sides, or with this shorter one."""
    if len(sides) == 2:
        return sides[0], sides[1]
    (short,), (height, width) = sides, frame_CHW.shape[1:]
    if width <= height:
        return int(short * height / width), short
    return short, int(short * width / height)


def _resized(
    images: Tensor, size: tuple[int, int], kind: str, antialias: bool, until: Sequence[int]
) -> Tensor:
    """Rows and columns up to `until`, to the numbers that they have among all.

    A number depends on its place and on the scales, which `F.interpolate` takes in place of the
    size; and of bytes on the largest weight of all, by which the library chooses how exact the
    weights are. They mirror each other about the middle, and so what is past it is always made.
    """
    # An axis that is made as long as it was would be taken for one that is not resized.
    axes = list(zip(images.shape[2:], size, until, strict=True))
    ends = [min(whole, max(stop, (whole + 1) // 2 + 1)) for _, whole, stop in axes]
    made = [
        whole if stop == before else stop
        for (before, whole, _), stop in zip(axes, ends, strict=True)
    ]
    scales = [whole / before for before, whole, _ in axes]
    resize: Any = getattr(torch.ops.aten, _KERNELS[kind, antialias]).default
    resized: Tensor = resize(images, made, False, *scales)
    return resized


def _rounded(images: Tensor, kind: str) -> Tensor:
    if kind == "bicubic":  # which overshoots
        images = images.clamp(0, 255)
    return images.round().to(torch.uint8)


@functools.cache
def _has_kernel() -> bool:
    vectors = torch.backends.cpu.get_cpu_capability()
    return vectors in ("AVX2", "AVX512") or platform.machine() in ("aarch64", "arm64")

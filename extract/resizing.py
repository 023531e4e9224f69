"""Frames to another size by torch's kernels, to the numbers that torchvision gives.

Torchvision itself is not imported: that takes as long as to import torch.
"""

import functools
import platform
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def resize_in_uint8(
    frame_CHW: Tensor, sides: Sequence[int], kind: str = "bilinear", *, antialias: bool
) -> Tensor:
    """By the kernel for bytes, where this processor has one; else as floats, rounded.

    A GPU has none that filters first. The two are at most a level apart.

    Args:
        frame_CHW: uint8.
        sides: height and width, or the shorter of them alone.
        kind: `bilinear` or `bicubic`.
        antialias: whether shrinking filters first.
    """
    size = _size(frame_CHW, sides)
    if size == tuple(frame_CHW.shape[1:]):
        return frame_CHW
    # As one of a batch whose channels are last; a batch of one could be either, and is not.
    images = frame_CHW.permute(1, 2, 0)[None].permute(0, 3, 1, 2)
    if images.device.type == "cpu" and (kind == "bicubic" or _has_kernel()):
        return _resized(images, size, kind, antialias)[0]
    return _rounded(_resized(images.float(), size, kind, antialias), kind)[0]


def resize_in_float32(
    frame_CHW: Tensor, sides: Sequence[int], kind: str = "bilinear", *, antialias: bool
) -> Tensor:
    """As floats, rounded to uint8; see `resize_in_uint8`."""
    size = _size(frame_CHW, sides)
    if size == tuple(frame_CHW.shape[1:]):
        return frame_CHW
    return _rounded(_resized(frame_CHW[None].float(), size, kind, antialias), kind)[0]


def _resized(images: Tensor, size: tuple[int, int], kind: str, antialias: bool) -> Tensor:
    resized: Tensor = F.interpolate(
        images, size, mode=kind, align_corners=False, antialias=antialias
    )
    return resized


def _rounded(images: Tensor, kind: str) -> Tensor:
    if kind == "bicubic":  # which overshoots
        images = images.clamp(0, 255)
    return images.round().to(torch.uint8)


def _size(frame_CHW: Tensor, sides: Sequence[int]) -> tuple[int, int]:
    if len(sides) == 2:
        return sides[0], sides[1]
    (short,), (height, width) = sides, frame_CHW.shape[1:]
    if width <= height:
        return int(short * height / width), short
    return short, int(short * width / height)


@functools.cache
def _has_kernel() -> bool:
    vectors = torch.backends.cpu.get_cpu_capability()
    return vectors in ("AVX2", "AVX512") or platform.machine() in ("aarch64", "arm64")

"""Convolutions and max pools of a frozen network on a processor, by the quicker way of two.

PyTorch leaves small convolutions, and all whose kernels see one pixel while one thread runs, to
code of its own that oneDNN is up to five times faster than; its rule counts the frames of a clip
as rows of an image. It pools clips position by position. Networks need not know: their calls are
answered otherwise while `quick` lasts.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_CONVOLVE: Callable[..., Tensor] | None = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
Sides = int | tuple[int, ...]


def quick(device: torch.device) -> AbstractContextManager[object]:
    """On a CPU, convolve and pool by the quicker way; for networks that need no gradient."""
    there = device.type == "cpu" and _CONVOLVE and torch._C._has_mkldnn
    return _Quick() if there else nullcontext()


class _Quick(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func in (torch.conv2d, torch.conv3d) and not given:
            return _convolve(func, *args)
        if func is F.max_pool3d:
            return _pool(func, *args, **given)
        return func(*args, **given)


def _convolve(
    func: Callable[..., Tensor],
    batch: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sides = 1,
    padding: Sides | str = 0,
    dilation: Sides = 1,
    groups: int = 1,
) -> Tensor:
    """What `func` of these gives, but for rounding."""
    rank = 2 if func is torch.conv2d else 3
    if isinstance(padding, str) or not _gains(batch, rank):
        return func(batch, weight, bias, stride, padding, dilation, groups)
    assert _CONVOLVE is not None
    sides = (_each(side, rank) for side in (padding, stride, dilation))
    return _CONVOLVE(batch, weight, bias, *sides, groups, "none", [], "")


def _gains(batch: Tensor, rank: int) -> bool:
    """Whether oneDNN takes it, and gains: not in bf16, nor for an image alone, nor for none."""
    known = batch.ndim == 2 + rank and batch.dtype == torch.float32
    return known and len(batch) > (rank == 2)


def _pool(
    func: Callable[..., Any],
    input: Tensor,  # noqa: A002, the name is that of `F.max_pool3d`
    kernel_size: Sides,
    stride: Sides | None = None,
    padding: Sides = 0,
    dilation: Sides = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """What `F.max_pool3d` gives, the same bits: over space, then over time."""
    if return_indices or not _gains(input, 3) or _each(dilation, 3) != [1, 1, 1]:
        return func(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    kernel, pad = _each(kernel_size, 3), _each(padding, 3)
    step = _each(kernel_size if stride is None else stride, 3)
    frames = input.contiguous(memory_format=torch.channels_last_3d).transpose(1, 2)
    rows, times = frames.shape[:2]
    maps = F.max_pool2d(
        frames.flatten(0, 1), kernel[1:], step[1:], pad[1:], ceil_mode=ceil_mode
    ).permute(0, 2, 3, 1)
    sides = maps.shape[1:]
    if (kernel[0], step[0]) != (1, 1):
        # The positions and channels of a frame as channels of an image that is one pixel wide.
        line = maps.reshape(rows, times, 1, -1).permute(0, 3, 1, 2)
        line = F.max_pool2d(line, (kernel[0], 1), (step[0], 1), (pad[0], 0), ceil_mode=ceil_mode)
        maps = line.permute(0, 2, 3, 1)
    return maps.reshape(rows, -1, *sides).permute(0, 4, 1, 2, 3)


def _each(side: Any, rank: int) -> list[int]:
    return [side] * rank if isinstance(side, int) else list(side)

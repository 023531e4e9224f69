"""Convolutions and max pools of a frozen network on a processor, by the quicker way of two.

PyTorch leaves small convolutions, and all whose kernels see one pixel while one thread runs, to
code of its own that oneDNN is up to five times faster than; its rule counts the frames of a clip
as rows of an image. It pools clips position by position. Networks need not know: their calls are
answered otherwise while `quick` lasts.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

CONVOLVE: Callable[..., Tensor] | None = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
"""None in PyTorch without it."""
Sides = int | tuple[int, ...]
_now: ContextVar[bool] = ContextVar("_now", default=False)


def quick(device: torch.device) -> AbstractContextManager[object]:
    """On a CPU, convolve and pool by the quicker way; for networks that need no gradient."""
    there = device.type == "cpu" and CONVOLVE and torch._C._has_mkldnn
    return _lasting() if there else nullcontext()


@contextmanager
def _lasting() -> Iterator[None]:
    before = _now.set(True)
    try:
        with _Quick():
            yield
    finally:
        _now.reset(before)


def is_quick(batch: Tensor) -> bool:
    """Whether `quick` lasts, and a convolution of this batch gains by it."""
    return _now.get() and gains(batch, batch.ndim - 2)


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
    if isinstance(padding, str) or not gains(batch, rank):
        return func(batch, weight, bias, stride, padding, dilation, groups)
    assert CONVOLVE is not None
    sides = (_each(side, rank) for side in (padding, stride, dilation))
    return CONVOLVE(batch, weight, bias, *sides, groups, "none", [], "")


def gains(batch: Tensor, rank: int) -> bool:
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
    kernel, pad = _each(kernel_size, 3), _each(padding, 3)
    step = _each(kernel_size if stride is None else stride, 3)
    asked = return_indices or _each(dilation, 3) != [1, 1, 1] or not gains(input, 3)
    steps = 0 if asked else _windows(input.shape[2], kernel[0], step[0], pad[0], ceil_mode)
    if steps < 1 or 2 * pad[0] > kernel[0]:  # which PyTorch refuses, in its words
        return func(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    frames = input.contiguous(memory_format=torch.channels_last_3d).transpose(1, 2)
    maps = F.max_pool2d(
        frames.flatten(0, 1), kernel[1:], step[1:], pad[1:], ceil_mode=ceil_mode
    ).permute(0, 2, 3, 1)
    maps = maps.reshape(*frames.shape[:2], *maps.shape[1:])
    if (kernel[0], step[0]) != (1, 1):
        starts = range(-pad[0], steps * step[0] - pad[0], step[0])
        maps = _pool_time(maps, [slice(max(at, 0), at + kernel[0]) for at in starts])
    return maps.permute(0, 4, 1, 2, 3)


def _windows(size: int, kernel: int, step: int, pad: int, ceil_mode: bool) -> int:
    """How many windows there are along an axis: none begins behind what is padded before it."""
    count = (size + 2 * pad - kernel + (step - 1) * ceil_mode) // step + 1
    return count - ((count - 1) * step >= size + pad)


def _pool_time(maps_BTHWC: Tensor, windows: list[slice]) -> Tensor:
    """Largest of the frames in each window, `[B, windows, H, W, C]`."""
    rows, _, *sides = maps_BTHWC.shape
    pooled = maps_BTHWC.new_empty((rows, len(windows), *sides))
    for place, window in enumerate(windows):
        first, *others = maps_BTHWC[:, window].unbind(1)
        largest = pooled[:, place].copy_(first)
        for frame in others:
            torch.maximum(largest, frame, out=largest)
    return pooled


def _each(side: Any, rank: int) -> list[int]:
    return [side] * rank if isinstance(side, int) else list(side)

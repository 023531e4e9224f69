"""A convolution that clips its output where it writes it, on a processor."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as everywhere

from egofeat.extract.backbones.onednn import CONVOLVE, is_quick

_BOUND = 1e10
_ONE = [nn.Conv2d, nn.Identity, nn.ReLU6]
_bounded: ContextVar[bool] = ContextVar("_bounded", default=False)


@contextmanager
def bounding(network: nn.Module, batch: Tensor, kinds: Collection[type]) -> Iterator[None]:
    """Have `clipped` clip within the convolution where no sum can leave the range of float32.

    For networks that clip before every sum but those of a few blocks: with inputs and weights
    below 1e10 nothing reaches 1e30, so that nothing becomes infinite and then no number. They are
    looked at each time, for anything may have been changed. A hook sees what it always saw.

    Args:
        network: where `clipped` is called.
        batch: that it is given.
        kinds: of all layers that it is known to have.
    """
    known = all(type(layer) in kinds and not _is_watched(layer) for layer in network.modules())
    bounded = known and is_quick(batch) and _below(_BOUND, [batch, *network.parameters()])
    before = _bounded.set(bounded)
    try:
        yield
    finally:
        _bounded.reset(before)


def _below(bound: float, tensors: list[Tensor]) -> bool:
    """Whether all numbers are numbers, and smaller: no norm is less than one of its numbers."""
    return all(tensor.dtype == torch.float32 for tensor in tensors) and bool(
        torch.stack(torch._foreach_norm(tensors)).max() <= bound
    )


def clipped(layers: nn.Sequential, maps_BCHW: Tensor) -> Tensor:
    """What a convolution, its folded batch norm and a clip to [0, 6] give, the same bits.

    As oneDNN's clip makes 0 of what is no number, it is asked only within `bounding`.
    """
    convolution: Any = layers[0]
    if not _bounded.get() or [type(layer) for layer in layers] != _ONE:
        for layer in layers:
            maps_BCHW = layer(maps_BCHW)
        return maps_BCHW
    assert CONVOLVE is not None
    sides = (convolution.padding, convolution.stride, convolution.dilation, convolution.groups)
    weights = (convolution.weight, convolution.bias)
    return CONVOLVE(maps_BCHW, *weights, *sides, "hardtanh", [0.0, 6.0], "")


def _is_watched(layer: nn.Module) -> bool:
    return "forward" in vars(layer) or any(
        (
            *(layer._forward_hooks, layer._forward_pre_hooks),
            *(everywhere._global_forward_hooks, everywhere._global_forward_pre_hooks),
        )
    )

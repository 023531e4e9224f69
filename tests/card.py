"""A card that is not there: tensors of a CPU that say they lie on it, and leave it when asked to.

What they are asked for otherwise on the host is an error: values, NumPy's view, a copy of another
kind. Several threads may have such tensors.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

CARD = torch.device("meta")


class OnCard(Tensor):
    """A tensor that lies on the card; operations with it give others."""

    inner: Tensor
    may_leave = False
    """Whether one may be copied to the host."""

    @staticmethod
    def __new__(cls, inner: Tensor) -> "OnCard":
        make: Any = Tensor._make_wrapper_subclass
        made: OnCard = make(
            cls, inner.shape, strides=inner.stride(), dtype=inner.dtype, device=CARD
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func._schema.name.removeprefix("aten::")
        to = CARD
        assert name != "_local_scalar_dense", f"the host waits in {func}"
        if name in ("_to_copy", "copy_"):
            to = (kwargs.get("device") or CARD) if name == "_to_copy" else args[0].device
            assert to == CARD or cls.may_leave, "a tensor of the card goes to the host"
        if "device" in kwargs:
            kwargs["device"] = torch.device("cpu")
        args, kwargs = tree_map(_inner, (args, kwargs))
        made = func(*args, **kwargs)
        return made if to != CARD else tree_map(_there, made)


def _inner(one: Any) -> Any:
    return one.inner if isinstance(one, OnCard) else one


def _there(one: Any) -> Any:
    return OnCard(one) if isinstance(one, Tensor) and not isinstance(one, OnCard) else one

"""Networks without numbers: shapes and costs are known, and weights loaded, with none drawn."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

Module = TypeVar("Module", bound=nn.Module)

_FACTORIES = (torch.empty, torch.zeros, torch.ones)


def blank(make: Callable[[], Module]) -> Module:
    """The network that `make` makes, on the `meta` device: nothing is allocated or drawn.

    Where weights are to be loaded, `to_empty` allocates them.
    """
    with _Unallocated():
        module = make()
    return module.to("meta")


class _Unallocated(TorchFunctionMode):
    """Only what layers allocate their weights with goes to `meta`.

    A default device would send everything there, and constructors that compute widths or
    window indices with small tensors could not read them back.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _FACTORIES:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)

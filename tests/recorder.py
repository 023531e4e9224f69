"""A stand-in for graphs of a GPU: operations of a CPU, recorded with their tensors and replayed.

As of a graph, what Python decided and which numbers it had stay as they were at the recording.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAIT = ("_local_scalar_dense", "is_nonzero", "nonzero", "equal", "masked_select", "_unique2")
"""Operations that hold up the host until a GPU has their result."""


def _waits(func: Any, args: Any) -> bool:
    """Whether the host must know values of the device; an index of truths is `nonzero` within."""
    name = func._schema.name.removeprefix("aten::")
    indices = tree_leaves(args[1]) if name in ("index", "index_put", "index_put_") else []
    return name in WAIT or any(isinstance(i, Tensor) and i.dtype == torch.bool for i in indices)


class NoWaiting(TorchDispatchMode):
    """Raises where a GPU would be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen += 1
        assert not _waits(func, args), f"the host waits in {func}"
        return func(*args, **(kwargs or {}))


def _aliases(made: Tensor, given: list[Tensor]) -> bool:
    storage = made.untyped_storage()._cdata
    return any(one.untyped_storage()._cdata == storage for one in given)


def _written(func: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """Tensors that an operation writes to."""
    arguments = func._schema.arguments
    given = dict(zip((one.name for one in arguments), args, strict=False)) | kwargs
    written = [one.name for one in arguments if one.alias_info and one.alias_info.is_write]
    leaves = tree_leaves([given.get(name) for name in written])
    return [one for one in leaves if isinstance(one, Tensor)]


class _Recording(TorchDispatchMode):
    def __init__(self, refused: str) -> None:
        super().__init__()
        self._refused = refused
        self._before: list[tuple[Tensor, Tensor]] = []
        """What was written to, as it was."""
        self.operations: list[tuple[Any, Any, Any, list[tuple[int, Tensor]]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if _waits(func, args) or func._schema.name == f"aten::{self._refused}":
            raise RuntimeError(f"{func} cannot be recorded")
        kwargs = kwargs or {}
        self._before += [(one, one.clone()) for one in _written(func, args, kwargs)]
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        out = func(*args, **kwargs)
        made = [
            (place, one)
            for place, one in enumerate(tree_leaves(out))
            if isinstance(one, Tensor) and not _aliases(one, given)
        ]
        self.operations.append((func, args, kwargs, made))
        return out

    def undo(self) -> None:
        """A graph is not run by being recorded, and this was."""
        with torch.no_grad():
            for one, before in reversed(self._before):
                one.copy_(before)

    def replay(self) -> None:
        with torch.inference_mode():
            for func, args, kwargs, made in self.operations:
                again = tree_leaves(func(*args, **kwargs))
                for place, one in made:
                    one.copy_(again[place])


class StandIn:
    """A `Recorder` of a CPU; how often it did what is counted.

    Args:
        refused: operation that it cannot record.
    """

    def __init__(self, refused: str = "") -> None:
        self._refused = refused
        self.apart_, self.recorded, self.replayed = 0, 0, 0

    def apart(self, work: Any) -> Any:
        self.apart_ += 1
        return work()

    def record(self, work: Any) -> tuple[Any, Any]:
        recording, number = _Recording(self._refused), self.replayed
        try:
            with recording:
                given = work()
        except RuntimeError:
            recording.undo()
            raise
        self.recorded += 1

        def replay() -> None:
            # A graph is not run by being recorded, and this was.
            if self.replayed > number:
                recording.replay()
            self.replayed += 1

        return given, replay

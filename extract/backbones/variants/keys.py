"""What keys of a description take, each said in one clause where something else is given."""

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field

from egofeat.words import quoted

_MOST_KERNEL = 31
_MOST_BLOCKS = 200
_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Depth of a ResNet of bottlenecks to the blocks of stages 2 to 5 (He et al., 2016, Table 1)."""

_Read = TypeVar("_Read")
Turn = int | tuple[int, ...]
"""One kernel, or several that blocks take in turn."""


def _reads(read: Callable[[Any], _Read | None], what: str) -> BeforeValidator:
    """Make a validator that answers what cannot be read with `what` the key takes."""

    def check(value: Any) -> _Read:
        found = read(value)
        if found is None:
            raise ValueError(f"takes {what}, not {quoted(value)}")
        return found

    return BeforeValidator(check)


def _is_kernel(value: Any) -> bool:
    return type(value) is int and value % 2 == 1 and 0 < value <= _MOST_KERNEL


def _kernel(value: Any) -> int | None:
    return value if _is_kernel(value) else None


def _kernels(value: Any) -> tuple[Turn, ...] | None:
    """The same network has the same list: `[3, 3]` is 3, and `[3, 1, 3, 1]` is `[3, 1]`."""
    if not isinstance(value, list | tuple) or len(value) != 5 or not _is_kernel(value[0]):
        return None
    read: list[Turn] = []
    for one in value:
        turn = tuple(one) if isinstance(one, list | tuple) else (one,)
        if not 0 < len(turn) <= _MOST_BLOCKS or not all(map(_is_kernel, turn)):
            return None
        turn = _period(turn)
        read.append(turn[0] if len(turn) == 1 else turn)
    return tuple(read)


def _period(turn: tuple[int, ...]) -> tuple[int, ...]:
    """The shortest list that a list repeats."""
    lengths = (n for n in range(1, len(turn) + 1) if len(turn) % n == 0)
    return next(turn[:n] for n in lengths if turn[:n] * (len(turn) // n) == turn)


def _depth(value: Any) -> int | tuple[int, ...] | None:
    """The number of layers, where blocks have one."""
    if type(value) is int:
        return value if value in _BLOCKS else None
    blocks = _counts(value, fewest=1)
    return blocks and next((depth for depth in _BLOCKS if _BLOCKS[depth] == blocks), blocks)


def _counts(value: Any, fewest: int = 0) -> tuple[int, ...] | None:
    """Four numbers of blocks."""
    if not isinstance(value, list | tuple) or len(value) != 4:
        return None
    fit = all(type(one) is int and fewest <= one <= _MOST_BLOCKS for one in value)
    return tuple(value) if fit else None


def _places(value: Any) -> tuple[int, ...] | None:
    """Numbers of blocks, from 0, each once."""
    if not isinstance(value, list | tuple) or len(value) > _MOST_BLOCKS:
        return None
    fit = all(type(one) is int and one >= 0 for one in value) and len({*value}) == len(value)
    return tuple(sorted(value)) if fit else None


def _pool(value: Any) -> tuple[int, ...] | None:
    if not isinstance(value, list | tuple) or len(value) != 3:
        return None
    return tuple(value) if all(type(one) is int and 1 <= one <= 16 for one in value) else None


def _fraction(value: Any) -> str | None:
    fits = isinstance(value, str) and re.fullmatch(r"1/[1-9]\d?", value)
    return value if fits else None


def blocks_of(depth: int | tuple[int, ...]) -> tuple[int, ...]:
    """Blocks of stages 2 to 5."""
    return _BLOCKS[depth] if isinstance(depth, int) else depth


_IN_TURN = "each of which may be a list that its blocks take in turn"
Kernel = Annotated[
    int, _reads(_kernel, f"an odd number of frames from 1 to {_MOST_KERNEL}"), Field(strict=True)
]
Kernels = Annotated[
    tuple[Turn, ...],
    _reads(
        _kernels,
        "five odd numbers of frames, of the stem and of stages 2 to 5, "
        f"{_IN_TURN}, as [1, 1, 1, 3, [3, 1]]",
    ),
]
Depth = Annotated[
    int | tuple[int, ...],
    _reads(_depth, "50, 101 or 152, or four numbers of blocks such as [2, 2, 2, 2]"),
]
Blocks = Annotated[tuple[int, ...], _reads(_counts, "four numbers of blocks such as [3, 4, 6, 3]")]
Places = Annotated[
    tuple[int, ...],
    _reads(_places, "numbers of blocks, counted from 0 and each once, such as [1, 3]"),
]
Pool = Annotated[
    tuple[int, ...], _reads(_pool, "three sizes (T, H, W) from 1 to 16, such as [1, 2, 2]")
]
Fraction = Annotated[str, _reads(_fraction, "a fraction such as 1/8")]
Frames = Annotated[int, Field(ge=1, le=10_000)]

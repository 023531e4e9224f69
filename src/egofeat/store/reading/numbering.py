"""Numbers in place of texts and tuples, so that a million of them are compared in NumPy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MIX = 0x9E3779B97F4A7C15
"""An odd number of 64 bits."""
_ALL = (1 << 64) - 1


def numbered(*columns: NDArray[Any]) -> NDArray[np.int64]:
    """Number rows [rows], two of them alike exactly where all their columns are.

    Args:
        columns: [rows] each, of texts, whole numbers or finite and infinite ones.
    """
    hashes = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        hashes = hashes * np.uint64(_MIX) ^ hashes >> np.uint64(29)
        hashes += _hashed(column)
    _, firsts, numbers = np.unique(hashes, return_index=True, return_inverse=True)
    # Hashes that differ tell rows apart; those that are equal are held against the rows.
    if all(bool((column[firsts][numbers] == column).all()) for column in columns):
        return np.asarray(numbers, np.int64)
    known: dict[Any, int] = {}
    rows: Sequence[list[Any]] = [column.tolist() for column in columns]
    return np.array([known.setdefault(row, len(known)) for row in zip(*rows, strict=True)])


def _hashed(column: NDArray[Any]) -> NDArray[np.uint64]:
    if column.dtype.kind != "U":
        wide = column.astype(np.float64 if column.dtype.kind == "f" else np.int64)
        wide += 0  # of the two zeros one
        return wide.view(np.uint64) * np.uint64(_MIX)
    # A shorter text ends in zeros, which count nothing, whatever the width of its column.
    characters = np.ascontiguousarray(column).view(np.uint32)
    characters = characters.reshape(len(column), column.dtype.itemsize // 4)
    hashes = np.zeros(len(column), np.uint64)
    weight = _MIX
    for place in range(characters.shape[1]):
        weight = (weight * _MIX ^ weight >> 31) & _ALL | 1
        hashes += characters[:, place] * np.uint64(weight)
    return hashes ^ hashes >> np.uint64(32)

"""What every gathering of rows checks first: which rows, and into what."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def numbered(rows: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Row numbers [n] from numbers, or from a mask [count].

    Raises:
        IndexError: a row number is not in `0…count`, or is no whole number.
    """
    rows = np.asarray(rows)
    if rows.dtype == np.bool_ and rows.shape == (count,):
        return np.flatnonzero(rows).astype(np.int64)
    if rows.size and not np.issubdtype(rows.dtype, np.integer):
        raise IndexError(f"rows are {rows.dtype}, not whole numbers or a mask [{count}]")
    if rows.size and not 0 <= rows.min() <= rows.max() < count:
        raise IndexError(f"rows reach from {rows.min()} to {rows.max()}, not in 0…{count}")
    return rows.astype(np.int64, copy=False)


def receiving(
    out: NDArray[Any] | None, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Where to gather: `out`, or a new array.

    Raises:
        ValueError: `out` has another shape, or is not C-contiguous.
    """
    if out is None:
        return np.empty(shape, dtype)
    if out.shape != shape or not out.flags.c_contiguous:
        raise ValueError(f"out is {out.shape}, not a C-contiguous {shape}")
    return out

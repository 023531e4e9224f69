"""Rows of flat stores: a segment is a stretch of rows, as many as its windows were.

A shard's offsets [segments + 1] say where each stretch begins and the last one ends.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.store.mapping import AddressRange
from egofeat.store.selection import Selection
from egofeat.store.shards import Shard, ShardFormat, TapArray, reading


def offsets_of(shard: Shard) -> NDArray[np.int64]:
    """Offsets of a flat shard, [segments + 1].

    Raises:
        StoreError: they are absent, do not begin at 0, do not rise, or are too few or many.
    """
    with reading(shard.path):
        offsets = shard.offsets
        if offsets is None:
            raise ValueError("it has no offsets")
        if offsets.shape != (len(shard.ids) + 1,):
            raise ValueError(f"its offsets are {offsets.shape}, not {(len(shard.ids) + 1,)}")
        # The bytes of a mapped row are found by these: a wrong one would read beyond the file.
        if offsets[0] != 0 or (np.diff(offsets) <= 0).any():
            raise ValueError("its offsets do not rise from 0")
        return offsets


class FlatRows:
    """The selected segments of one tap over all shards of a flat store."""

    def __init__(
        self,
        form: ShardFormat,
        shards: Sequence[Shard],
        arrays: Sequence[TapArray],
        selection: Selection,
        tap: str,
        row_shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None:
        self._form = form
        self._shards = shards
        self._shard_of = selection.shard_of
        self._array = f"taps/{tap}"
        self._row_shape = row_shape
        self._dtype = dtype
        self._row_bytes = math.prod(row_shape) * dtype.itemsize
        offsets = [offsets_of(shard) for shard in shards]
        whole = np.dtype(np.int64)
        self._firsts: NDArray[np.int64] = selection.column([o[:-1] for o in offsets], whole)
        """[segments] number of the first row in its shard."""
        self.lengths: NDArray[np.int64] = selection.column([np.diff(o) for o in offsets], whole)
        """[segments] rows of each."""
        places = [
            (array.place, array.shape[0] * self._row_bytes) for array in arrays if array.place
        ]
        self.mapped = len(places) == len(arrays)
        self._range = AddressRange(places) if self.mapped else None

    def row(self, number: int) -> NDArray[Any]:
        """Features of one segment [n, *row_shape], read-only; where mapped, nothing is copied."""
        shard, first, count = self._stretch(number)
        if self._range:
            offset = int(self._range.offsets[shard]) + first * self._row_bytes
            return self._range.array(offset, (count, *self._row_shape), self._dtype)
        stretch = slice(first, first + count)
        values = self._form.read(self._shards[shard].path, self._array, stretch)
        values.flags.writeable = False
        return values

    def times(self) -> NDArray[np.float64]:
        """Start, centre and end of every row's window, segment after segment, [rows, 3] seconds."""
        parts = [self._form.read(shard.path, "times", None) for shard in self._shards]
        stretches = [self._stretch(number) for number in range(len(self.lengths))]
        taken = [parts[shard][first : first + count] for shard, first, count in stretches]
        return np.concatenate([np.empty((0, 3)), *taken])

    def _stretch(self, number: int) -> tuple[int, int, int]:
        """Return a segment's shard, its first row there and how many they are."""
        return (
            int(self._shard_of[number]),
            int(self._firsts[number]),
            int(self.lengths[number]),
        )

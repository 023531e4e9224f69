"""Rows of flat stores: a segment is a stretch of rows, as many as its windows or persons were.

A shard's offsets [segments + 1] say where each stretch begins and the last one ends.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.store.damage import reading
from egofeat.store.formats.shard import Shard
from egofeat.store.reading.mapping import MappedRows
from egofeat.store.reading.selection import Addresses
from egofeat.store.reading.unmapped import LibraryRows


def offsets_of(shard: Shard) -> NDArray[np.int64]:
    """Offsets of a flat shard, [segments + 1].

    Raises:
        StoreError: there are none.
    """
    with reading(shard.path):
        offsets = shard.offsets
        if offsets is None:
            raise ValueError("it has no offsets")
        return offsets


class FlatRows:
    """The selected segments of one tap over all shards of a flat store."""

    def __init__(
        self,
        single: MappedRows | LibraryRows,
        addresses: Addresses,
        lengths: NDArray[np.int64],
    ) -> None:
        self.single = single
        """Every row by a number of its own, segment after segment."""
        self.addresses = addresses
        """[rows] where each of these is."""
        self.lengths = lengths
        """[segments] rows of each."""
        self._firsts = np.cumsum(lengths) - lengths
        """[segments] number of each one's first row."""

    @property
    def mapped(self) -> bool:
        """Whether rows are read from mapped files."""
        return self.single.mapped

    def stretch(self, number: int) -> slice:
        """Numbers of a segment's rows."""
        first = int(self._firsts[number])
        return slice(first, first + int(self.lengths[number]))

    def row(self, number: int) -> NDArray[Any]:
        """Features of one segment [n, *row_shape], read-only; where mapped, nothing is copied."""
        stretch = self.stretch(number)
        return self.single.stretch(stretch.start, stretch.stop - stretch.start)

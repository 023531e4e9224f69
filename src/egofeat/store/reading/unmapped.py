"""Rows of compressed shards, read through the format's library: the same values, slower."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.store.formats.shard import Shard, ShardFormat
from egofeat.store.reading.selection import Addresses


class LibraryRows:
    """Selected rows of one tap over all shards; each access opens the shards it needs."""

    mapped = False

    def __init__(
        self, form: ShardFormat, shards: Sequence[Shard], addresses: Addresses, tap: str
    ) -> None:
        self._form = form
        self._shards = shards
        self._addresses = addresses
        self._array = f"taps/{tap}"

    def row(self, number: int) -> NDArray[Any]:
        """One row, read-only."""
        return np.asarray(self.stretch(number, 1)[0])

    def stretch(self, first: int, count: int) -> NDArray[Any]:
        """Rows that stand one after the other in a shard, at least one; read-only."""
        shard = self._shards[self._addresses.shard_of[first]]
        place = int(self._addresses.row_of[first])
        values = self._form.read(shard.path, self._array, slice(place, place + count))
        values.flags.writeable = False
        return values

    def take(self, rows: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Read rows into `out` [n, *row_shape], widening them when it is wider."""
        shard_of, row_of = self._addresses.shard_of[rows], self._addresses.row_of[rows]
        for shard in np.unique(shard_of).tolist():
            places = np.flatnonzero(shard_of == shard)
            wanted, back = np.unique(row_of[places], return_inverse=True)
            out[places] = self._form.read(self._shards[shard].path, self._array, wanted)[back]

    def advise(self, rows: NDArray[np.int64]) -> None:
        """Nothing to do: the library reads when it is asked."""

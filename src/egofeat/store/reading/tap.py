"""The selected rows of one tap over all shards: mapped, or read through the format's library."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.recipe import Recipe
from egofeat.store.damage import reading
from egofeat.store.formats.shard import Shard, ShardFormat
from egofeat.store.reading.mapping import MappedRows
from egofeat.store.reading.selection import Addresses


def open_tap(
    form: ShardFormat, shards: Sequence[Shard], addresses: Addresses, recipe: Recipe, tap: str
) -> "MappedRows | LibraryRows":
    """Map rows of a tap, or have them read through the library where one shard is compressed.

    Raises:
        StoreError: a shard does not hold what the recipe says.
    """
    arrays = []
    for shard in shards:
        with reading(shard.path):
            arrays.append(shard.tap(tap, recipe.taps[tap], recipe.dtype))
    if all(array.place for array in arrays):
        return MappedRows(arrays, addresses, tuple(recipe.taps[tap]), np.dtype(recipe.dtype))
    return LibraryRows(form, shards, addresses, tap)


class LibraryRows:
    """Rows of compressed shards: the same values, slower; each access opens the shards it needs."""

    mapped = False

    def __init__(
        self, form: ShardFormat, shards: Sequence[Shard], addresses: Addresses, tap: str
    ) -> None:
        self._form = form
        self._shards = shards
        self._addresses = addresses
        self._array = f"taps/{tap}"

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

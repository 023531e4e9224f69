"""The selected rows of one tap over all shards: mapped, or read file by file."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.recipe import Recipe
from egofeat.store.damage import PlainFiles, reading
from egofeat.store.formats.shard import ShardFormat
from egofeat.store.reading.files import FileRows
from egofeat.store.reading.mapping import MappedRows, Piece, can_map
from egofeat.store.reading.selection import Addresses
from egofeat.store.reading.shards import UNFIT, Shards


def open_tap(
    form: ShardFormat, shards: Shards, addresses: Addresses, recipe: Recipe, tap: str
) -> "MappedRows | FileRows | LibraryRows":
    """Map rows of a tap, or have them read through the library where one shard is compressed.

    Raises:
        StoreError: a shard does not hold what the recipe says.
    """
    row_shape, dtype = tuple(recipe.taps[tap]), np.dtype(recipe.dtype)
    offsets, files = shards.by_shard[f"offset/{tap}"], shards.by_shard[f"file/{tap}"]
    shards.refuse(offsets == UNFIT, form, lambda shard: shard.tap(tap, row_shape, recipe.dtype))
    if (offsets < 0).any():
        return LibraryRows(form, shards, addresses, tap)
    sizes = shards.by_shard["rows"] * math.prod(row_shape) * dtype.itemsize
    pieces = [
        Piece(_file(shards, number, file, size), offset, size)
        for number, (file, offset, size) in enumerate(
            zip(files.tolist(), offsets.tolist(), sizes.tolist(), strict=True)
        )
    ]
    rows_of = MappedRows if can_map(len(pieces)) else FileRows
    return rows_of(pieces, addresses, row_shape, dtype)


def _file(shards: Shards, number: int, name: str, size: int) -> str:
    """Path of a shard that is a file; or of a file in one that is a folder, all of it the rows.

    Raises:
        StoreError: it is behind a link, or has another size.
    """
    path = f"{shards.folder}/{shards.by_shard['name'][number]}"
    if not name:
        return path
    with reading(Path(path)):
        if (found := PlainFiles(Path(path)).size(name)) != size:
            raise ValueError(f"its {name} is {found} bytes, and should be {size}")
    return f"{path}/{name}"


class LibraryRows:
    """Rows of compressed shards: the same values, slower; each access opens the shards it needs."""

    mapped = False

    def __init__(self, form: ShardFormat, shards: Shards, addresses: Addresses, tap: str) -> None:
        self._form = form
        self._shards = shards
        self._addresses = addresses
        self._array = f"taps/{tap}"

    def stretch(self, first: int, count: int) -> NDArray[Any]:
        """Rows that stand one after the other in a shard, at least one; read-only."""
        shard, place = (int(part[0]) for part in self._addresses.of(np.array([first])))
        part = slice(place, place + count)
        values = self._form.read(self._shards.path(shard), self._array, part)
        values.flags.writeable = False
        return values

    def take(self, rows: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Read rows into `out` [n, *row_shape], widening them when it is wider."""
        shard_of, row_of = self._addresses.of(rows)
        for shard in np.unique(shard_of).tolist():
            places = np.flatnonzero(shard_of == shard)
            wanted, back = np.unique(row_of[places], return_inverse=True)
            out[places] = self._form.read(self._shards.path(shard), self._array, wanted)[back]

    def advise(self, rows: NDArray[np.int64]) -> None:
        """Nothing to do: the library reads when it is asked."""

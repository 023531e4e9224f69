"""Rows that are not mapped: of more files than can be, or compressed; read when asked for."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.recipe import Recipe
from egofeat.store.damage import PlainFiles
from egofeat.store.reading.mapping import Piece
from egofeat.store.reading.places import Places
from egofeat.store.reading.selection import Addresses
from egofeat.store.reading.shards import UNFIT, Shards
from egofeat.store.reading.stamps import Seen


class FileRows:
    """Selected rows of one tap over all shards; a file is open only while it is read.

    What is compressed is read through the library, which is slower.

    Raises:
        StoreError: a shard does not hold what the recipe says.
    """

    mapped = False

    def __init__(self, places: Places, recipe: Recipe, tap: str) -> None:
        self.row_shape = tuple(recipe.taps[tap])
        self.dtype = np.dtype(recipe.dtype)
        self._row_bytes = math.prod(self.row_shape) * self.dtype.itemsize
        self._places = places
        self._recipe, self._tap = recipe, tap
        refuse_unfit(places.shards, recipe, tap)

    def stretch(self, first: int, count: int) -> NDArray[Any]:
        """Rows that stand one after the other in a shard, at least one; read-only."""
        values = np.empty((count, *self.row_shape), self.dtype)

        def fill(shards: Shards, addresses: Addresses) -> None:
            (shard,), (row,) = addresses.of(np.array([first]))
            self._read(shards, int(shard), np.arange(row, row + count), values, slice(None))

        self._places.read(fill)
        values.flags.writeable = False
        return values

    def take(self, rows: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Read rows into `out` [n, *row_shape], widening them when it is wider."""

        def fill(shards: Shards, addresses: Addresses) -> None:
            shard_of, row_of = addresses.of(rows)
            order = np.lexsort((row_of, shard_of))
            begins = np.flatnonzero(np.diff(shard_of[order]) > 0) + 1
            for places in np.split(order, begins):
                self._read(shards, int(shard_of[places[0]]), row_of[places], out, places)

        self._places.read(fill)

    def _read(
        self,
        shards: Shards,
        shard: int,
        rows: NDArray[np.int64],
        out: NDArray[Any],
        places: NDArray[np.int64] | slice,
    ) -> None:
        """Read rows of a shard, rising, into places of `out`."""
        wanted, back = np.unique(rows, return_inverse=True)
        seen, offset = shards.seen(shard), int(shards.by_shard[f"offset/{self._tap}"][shard])
        if offset == UNFIT:
            refuse_unfit(shards, self._recipe, self._tap)
        with seen.reading():
            if offset < 0:
                first, last = int(wanted[0]), int(wanted[-1])
                part = slice(first, last + 1) if last - first + 1 == len(wanted) else wanted
                found = shards.form.read(shards.path(shard), f"taps/{self._tap}", part)
            else:
                found = self._bytes(piece_of(shards, shard, self._tap, self._row_bytes), wanted)
        out[places] = found[back]

    def _bytes(self, piece: Piece, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Read rows of a file, rising, [n, *row_shape]; neighbours at once."""
        found = np.empty((len(rows), *self.row_shape), self.dtype)
        begins = np.concatenate([[0], np.flatnonzero(np.diff(rows) != 1) + 1]).tolist()
        file = piece.opened()
        try:
            for first, stop in zip(begins, [*begins[1:], len(rows)], strict=True):
                part = found[first:stop].reshape(-1).view(np.uint8).data
                _fill(file, part, piece.offset + int(rows[first]) * self._row_bytes)
        finally:
            os.close(file)
        return found

    def advise(self, rows: NDArray[np.int64]) -> None:
        """Nothing to do: a row is read when it is asked for."""


def _fill(file: int, part: memoryview, start: int) -> None:
    while part:
        if not (count := os.preadv(file, [part], start)):
            raise ValueError("it is cut short")
        part, start = part[count:], start + count


def refuse_unfit(shards: Shards, recipe: Recipe, tap: str) -> None:
    """Refuse shards whose tap is not what the recipe says.

    Raises:
        StoreError: on the first of them.
    """
    unfit = shards.by_shard[f"offset/{tap}"] == UNFIT
    shards.refuse(unfit, lambda shard: shard.tap(tap, recipe.taps[tap], recipe.dtype))


def pieces_of(shards: Shards, tap: str, row_bytes: int) -> Sequence[Piece]:
    """Where all shards have the rows of a tap; none is compressed."""
    of, head = shards.by_shard, shards.form.head
    columns = (of["name"], of["stamp"], of[f"file/{tap}"], of[f"offset/{tap}"], of["rows"])
    return [
        _piece(Seen(f"{shards.folder}/{name}", head, tuple(stamp)), file, offset, rows * row_bytes)
        for name, stamp, file, offset, rows in zip(
            *(column.tolist() for column in columns), strict=True
        )
    ]


def piece_of(shards: Shards, number: int, tap: str, row_bytes: int) -> Piece:
    """Where a shard has the rows of a tap: in itself, or in a file of it that holds only these.

    Raises:
        MovedError: the shard is another one by now.
        StoreError: the file is behind a link, or has another size.
    """
    of = shards.by_shard
    name, size = str(of[f"file/{tap}"][number]), int(of["rows"][number]) * row_bytes
    return _piece(shards.seen(number), name, int(of[f"offset/{tap}"][number]), size)


def _piece(seen: Seen, name: str, offset: int, size: int) -> Piece:
    if name:
        with seen.reading():
            if (found := PlainFiles(Path(seen.path)).size(name)) != size:
                raise ValueError(f"its {name} is {found} bytes, and should be {size}")
    file = f"{seen.path}/{name}" if name else seen.path
    return Piece(file, offset, size, seen)

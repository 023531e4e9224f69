"""Rows of more files than can be mapped: each is read from its file when it is asked for."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.store.damage import reading
from egofeat.store.reading.mapping import Piece
from egofeat.store.reading.selection import Addresses


class FileRows:
    """Selected rows of one tap over all shards; a file is open only while it is read."""

    mapped = False

    def __init__(
        self,
        pieces: Sequence[Piece],
        addresses: Addresses,
        row_shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None:
        self.row_shape = row_shape
        self.dtype = dtype
        self._row_bytes = math.prod(row_shape) * dtype.itemsize
        self._pieces = pieces
        self._addresses = addresses

    def stretch(self, first: int, count: int) -> NDArray[Any]:
        """Rows that stand one after the other in a shard, at least one; read-only."""
        (shard,), (row,) = self._addresses.of(np.array([first]))
        values = np.empty((count, *self.row_shape), self.dtype)
        self._read(int(shard), [int(row)], [values])
        values.flags.writeable = False
        return values

    def take(self, rows: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Read rows into `out` [n, *row_shape], widening them when it is wider."""
        shard_of, row_of = self._addresses.of(rows)
        order = np.lexsort((row_of, shard_of))
        narrow = out if out.dtype == self.dtype else np.empty(out.shape, self.dtype)
        begins = np.flatnonzero(np.diff(shard_of[order]) > 0) + 1
        for places in np.split(order, begins):
            targets = [narrow[place : place + 1] for place in places.tolist()]
            self._read(int(shard_of[places[0]]), row_of[places].tolist(), targets)
        if narrow is not out:
            out[...] = narrow

    def _read(self, shard: int, rows: Sequence[int], targets: Sequence[NDArray[Any]]) -> None:
        """Fill each target with the rows from a row of a shard on."""
        piece = self._pieces[shard]
        with reading(Path(piece.file)):
            file = piece.opened()
            try:
                for row, target in zip(rows, targets, strict=True):
                    part, start = target.data.cast("B"), piece.offset + row * self._row_bytes
                    while part:
                        if not (count := os.preadv(file, [part], start)):
                            raise ValueError("it is cut short")
                        part, start = part[count:], start + count
            finally:
                os.close(file)

    def advise(self, rows: NDArray[np.int64]) -> None:
        """Nothing to do: a row is read when it is asked for."""

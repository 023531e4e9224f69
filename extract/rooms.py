"""Room for the rows of one segment until the last has come: memory, or a file where they are many.

An hour of dense windows with maps takes gigabytes, and every thread may have such a video under
way. The file has no name, so a process that dies leaves nothing.
"""

import math
import os
import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.store.damage import writing

MEMORY = 64 * 2**20
"""Bytes of a tap of one segment that are kept in memory."""


def room(shape: tuple[int, ...], dtype: np.dtype[Any], folder: Path | None) -> "Room":
    """Make room for `[rows, …]`.

    Args:
        shape: of all rows.
        dtype: of what is kept.
        folder: where there may be a file; None: all is kept in memory.
    """
    many = math.prod(shape) * dtype.itemsize > MEMORY
    return _File(shape, dtype, folder) if folder and many else _Memory(shape, dtype)


class Room(ABC):
    """Rows that come in any order."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.dtype = dtype

    @abstractmethod
    def put(self, places: Sequence[int], row: NDArray[Any]) -> None:
        """Keep a row at each of these places.

        Raises:
            StoreError: the disk refuses.
        """

    @property
    @abstractmethod
    def rows(self) -> NDArray[Any]:
        """All rows `[rows, …]`, when they have come; not to be written to.

        Raises:
            StoreError: the disk refuses.
        """

    @abstractmethod
    def only(self, kept: NDArray[np.bool_]) -> "Room":
        """Room with these rows alone, `[rows]`.

        Raises:
            StoreError: the disk refuses.
        """


class _Memory(Room):
    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        super().__init__(shape, dtype)
        self._rows = np.empty(shape, dtype)

    def put(self, places: Sequence[int], row: NDArray[Any]) -> None:
        for place in places:  # of one place a third of the time that a list of places takes
            self._rows[place] = row

    @property
    def rows(self) -> NDArray[Any]:
        return self._rows

    def only(self, kept: NDArray[np.bool_]) -> Room:
        found = _Memory((int(kept.sum()), *self.shape[1:]), self.dtype)
        found._rows = self._rows[kept]
        return found


class _File(Room):
    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], folder: Path) -> None:
        super().__init__(shape, dtype)
        self._folder = folder
        self._row_bytes = math.prod(shape[1:]) * dtype.itemsize
        with writing(folder):
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
            # Open as long as there may be rows to put; what is mapped needs it no more.
            weakref.finalize(self, self._file.close)
            os.ftruncate(self._file.fileno(), shape[0] * self._row_bytes)

    def put(self, places: Sequence[int], row: NDArray[Any]) -> None:
        content = np.ascontiguousarray(row, self.dtype).data.cast("B")
        with writing(self._folder):
            for place in places:
                written = 0
                while written < self._row_bytes:
                    at = place * self._row_bytes + written
                    written += os.pwrite(self._file.fileno(), content[written:], at)

    @property
    def rows(self) -> NDArray[Any]:
        with writing(self._folder):
            return np.memmap(self._file, self.dtype, "r", shape=self.shape)

    def only(self, kept: NDArray[np.bool_]) -> Room:
        found = room((int(kept.sum()), *self.shape[1:]), self.dtype, self._folder)
        rows = self.rows
        for place, old in enumerate(np.flatnonzero(kept)):
            found.put([place], rows[old])
        return found

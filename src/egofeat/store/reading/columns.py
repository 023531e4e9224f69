"""Columns in one file: numbers and texts by name, each with a checksum.

The file begins with the length and the crc32 of a JSON text, which says where each column lies.
Nobody's word is taken: whatever does not fit is a ValueError, before it is used.
"""

import errno
import json
import math
import os
import struct
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from egofeat.schema import parse
from egofeat.store.damage import open_plain
from egofeat.store.reading.packing import Packed
from egofeat.store.schemas import ColumnsText

_START = struct.Struct("<8sQI")
_MAGIC = b"egofeat\x02"
_ALIGNMENT = 64
_BLOCK = 1 << 20
_MOST = 1 << 24
"""Bytes of the JSON text."""
_KINDS = {"text": "US", "whole": "i", "second": "f", "truth": "b"}
_NARROW: dict[str, tuple[np.dtype[Any], int, int]] = {
    "U": (np.dtype("<u4"), 0, 0x10FFFF),
    "S": (np.dtype("|u1"), 0, 0x7F),
    "b": (np.dtype("|u1"), 0, 1),
}
"""What the bytes may say of kinds of which not every pattern means something."""
_RUNS = "#runs"
"""After the name of a column, that of the rows that each of its values stands for."""


def write_columns(
    file: BinaryIO, notes: Any, columns: Mapping[str, NDArray[Any]], apart: Collection[str] = ()
) -> None:
    """Write notes, as JSON, and packed columns to a new file; one under two names only once.

    Args:
        file: that is written.
        notes: what stands beside the columns.
        columns: by name.
        apart: names of those that have a value a row, whatever they are.

    Raises:
        OSError: the disk refuses, or the notes are longer than would be read.
    """
    packed: dict[int, Packed] = {}
    places: dict[int, tuple[int, int]] = {}
    entries = {}
    laid: list[NDArray[Any]] = []
    end = 0
    for name, column in columns.items():
        if id(column) not in packed:
            packed[id(column)] = Packed.of(column, in_runs=name not in apart)
        of = packed[id(column)]
        parts = {name: of.values} | ({} if of.runs is None else {name + _RUNS: of.runs})
        for part, values in parts.items():
            if id(values) not in places:
                whole = np.ascontiguousarray(values)
                places[id(values)] = end, zlib.crc32(_bytes(whole))
                laid.append(whole)
                end += _aligned(whole.nbytes)
            entries[part] = [values.dtype.str, list(values.shape), *places[id(values)]]
    text = json.dumps({"notes": notes, "columns": entries}).encode()
    if len(text) > _MOST:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    file.write(_START.pack(_MAGIC, len(text), zlib.crc32(text)) + text)
    file.write(bytes(_aligned(file.tell()) - file.tell()))
    for column in laid:
        file.write(_bytes(column))
        file.write(bytes(_aligned(column.nbytes) - column.nbytes))


class ColumnFile:
    """A file of columns that is open for reading.

    Raises:
        ValueError: it is none, or altered.
        OSError: it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._file, size = open_plain(path)
        try:
            head = os.pread(self._file, _START.size, 0)
            if len(head) < _START.size:
                raise ValueError("it is cut short")
            magic, length, crc = _START.unpack(head)
            if magic != _MAGIC or length > min(size, _MOST):
                raise ValueError("it is no file of columns")
            text = os.pread(self._file, length, _START.size)
            if zlib.crc32(text) != crc:
                raise ValueError("it was altered")
            self._said = parse(ColumnsText, text)
            self.notes = self._said.notes
            self._sound: dict[Any, Packed] = {}
            self.size = size
            self.room = size
            """Bytes that columns may still have, made whole."""
            self._begin = _aligned(_START.size + length)
            self._end = size
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> "ColumnFile":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def column(
        self,
        name: str,
        kind: str,
        rows: int,
        *,
        width: int = 0,
        low: int = 0,
        high: int = 1 << 62,
        apart: bool = False,
    ) -> Packed:
        """Read a column, and compare it with its checksum.

        It is not mapped: on NFS, a mapped file that another machine replaces is a bus error.

        Args:
            name: of the column.
            kind: `text`, `whole` (int64), `second` (float64) or `truth` (bool).
            rows: how many it must have.
            width: how many numbers a row has; 0 for one, without an axis.
            low: least that a whole number may be.
            high: greatest; of texts, the most characters.
            apart: whether it has a value a row.
        """
        known = tuple(self._said.columns.get(part) for part in (name, name + _RUNS)), low, high
        if known in self._sound:  # under another name
            found = self._sound[known]
        else:
            runs = None
            if name + _RUNS in self._said.columns:
                runs = self._array(name + _RUNS, "whole", 1, rows)
            values = self._array(name, kind, low, high)
            dtype = np.dtype(np.int64) if kind == "whole" else values.dtype
            if dtype.kind == "S":
                dtype = np.dtype(f"<U{dtype.itemsize}")
            found = self._sound[known] = Packed(values, runs, dtype)
        values, runs = found.values, found.runs
        held = len(values) if runs is None else int(runs.sum(dtype=np.float64))
        fits = held == rows and (runs is None or (runs.shape == values.shape[:1] and not apart))
        if not fits or values.shape[1:] != ((width,) if width else ()):
            raise ValueError(f"its {name} is {values.shape}")
        if values.dtype.kind not in _KINDS[kind]:
            raise ValueError(f"its {name} is {values.dtype}")
        self.room -= found.nbytes
        if self.room < 0:
            raise ValueError("its columns are wider than they are worth")
        return found

    def _array(self, name: str, kind: str, low: int, high: int) -> NDArray[Any]:
        said = self._said.columns.get(name)
        if said is None:
            raise ValueError(f"it has no {name}")
        code, shape, offset, crc = said
        dtype = np.dtype(code)
        if dtype.kind not in _KINDS[kind]:
            raise ValueError(f"its {name} is {code}")
        if kind == "text" and np.dtype(code).itemsize > high * (4 if dtype.kind == "U" else 1):
            raise ValueError(f"its {name} is {code}")
        count = math.prod(shape)
        if count == 0:
            return np.empty(shape, dtype)
        seen = dtype
        if dtype.kind in _NARROW:
            seen, low, high = _NARROW[dtype.kind]
        first = self._begin + offset
        if first + count * dtype.itemsize > self._end:
            raise ValueError("it is cut short")
        found = np.empty(shape, dtype)
        if self._read(_bytes(found), first, seen, low, high) != crc:
            raise ValueError(f"its {name} was altered")
        found.flags.writeable = False
        return found

    def _read(self, into: memoryview, first: int, dtype: np.dtype[Any], low: int, high: int) -> int:
        """Read a stretch, none of whose values is out of bounds; of seconds any may be.

        Returns:
            Its crc32.
        """
        crc = 0
        for start in range(0, len(into), _BLOCK):
            block = into[start : start + _BLOCK]
            if os.preadv(self._file, [block], first + start) != len(block):
                raise ValueError("it is cut short")
            crc = zlib.crc32(block, crc)
            values = np.frombuffer(block, dtype)
            if dtype.kind != "f" and not low <= values.min() <= values.max() <= high:
                raise ValueError("a number is out of bounds")
        return crc


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _bytes(column: NDArray[Any]) -> memoryview:
    return column.reshape(-1).view(np.uint8).data

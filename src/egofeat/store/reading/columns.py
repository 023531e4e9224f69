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
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from egofeat.schema import parse
from egofeat.store.damage import open_plain
from egofeat.store.schemas import ColumnsText

_START = struct.Struct("<8sQI")
_MAGIC = b"egofeat\x01"
_ALIGNMENT = 64
_BLOCK = 1 << 20
_MOST = 1 << 24
"""Bytes of the JSON text."""
_KINDS = {"text": "U", "whole": "<i8", "second": "<f8", "truth": "|b1"}
_NARROW: dict[str, tuple[np.dtype[Any], int, int]] = {
    "text": (np.dtype("<u4"), 0, 0x10FFFF),
    "truth": (np.dtype("|u1"), 0, 1),
}
"""What the bytes may say of kinds of which not every pattern means something."""


def write_columns(file: BinaryIO, notes: Any, columns: Mapping[str, NDArray[Any]]) -> None:
    """Write notes, as JSON, and columns to a new file; one array under two names only once.

    Raises:
        OSError: the disk refuses, or the notes are longer than would be read.
    """
    places: dict[int, tuple[int, int]] = {}
    entries = {}
    laid: list[NDArray[Any]] = []
    end = 0
    for name, column in columns.items():
        if id(column) not in places:
            whole = np.ascontiguousarray(column)
            places[id(column)] = end, zlib.crc32(_bytes(whole))
            laid.append(whole)
            end += _aligned(whole.nbytes)
        offset, crc = places[id(column)]
        entries[name] = [column.dtype.str, list(column.shape), offset, crc]
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
            self._sound: dict[Any, NDArray[Any]] = {}
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
        self, name: str, kind: str, rows: int, *, width: int = 0, low: int = 0, high: int = 1 << 62
    ) -> NDArray[Any]:
        """Read a column, and compare it with its checksum.

        It is not mapped: on NFS, a mapped file that another machine replaces is a bus error.

        Args:
            name: of the column.
            kind: `text`, `whole` (int64), `second` (float64) or `truth` (bool).
            rows: how many it must have.
            width: how many numbers a row has; 0 for one, without an axis.
            low: least that a whole number may be.
            high: greatest; of texts, the most characters.
        """
        said = self._said.columns.get(name)
        if said is None:
            raise ValueError(f"it has no {name}")
        code, shape, offset, crc = said
        dtype = np.dtype(code)
        if (dtype.kind if kind == "text" else code) != _KINDS[kind] or dtype.str[0] == ">":
            raise ValueError(f"its {name} is {code}")
        if kind == "text" and dtype.itemsize > high * 4:
            raise ValueError(f"its {name} is {code}")
        if tuple(shape) != ((rows, width) if width else (rows,)):
            raise ValueError(f"its {name} is {shape}")
        count = math.prod(shape)
        if count == 0:
            return np.empty(shape, dtype)
        seen = dtype
        if kind in _NARROW:
            seen, low, high = _NARROW[kind]
        known = (said, low, high)
        if known in self._sound:  # under another name
            return self._sound[known]
        first = self._begin + offset
        if first + count * dtype.itemsize > self._end:
            raise ValueError("it is cut short")
        found = np.empty(shape, dtype)
        if self._read(_bytes(found), first, seen, low, high) != crc:
            raise ValueError(f"its {name} was altered")
        found.flags.writeable = False
        self._sound[known] = found
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

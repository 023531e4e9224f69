"""Reading every byte of a shard and holding it against its checksums."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.store.damage import reading
from egofeat.store.formats.checksums import checksums
from egofeat.store.formats.shard import OPENED, Shard, ShardFormat, read_column

_BLOCK = 16 << 20
"""Bytes of features that are read at a time."""
Fault = tuple[str | None, str]
"""Id of a segment, or None for the whole shard, and what is wrong with it."""


def faults_of(shard: Shard, form: ShardFormat) -> Iterator[Fault]:
    """Go through all columns and all features of a shard that is open.

    Raises:
        StoreError: the shard is damaged.
    """
    offsets = np.arange(len(shard.ids) + 1) if shard.offsets is None else shard.offsets
    # A shard says by its checksums which columns it has; those read at its opening are held.
    by_row = [*shard.taps, *shard.person_columns]
    known = {"times", *OPENED, *by_row, *(f"crc32/{name}" for name in by_row)}
    for name in ("times", *(name for name in shard.checksums or () if name not in known)):
        read_column(form, shard, name)
    for name in by_row:
        rows = _altered(shard, form, name)
        verb = "was altered after it was" if name in shard.taps else "were altered after they were"
        for segment in np.unique(np.searchsorted(offsets, rows, "right") - 1).tolist():
            yield shard.ids[segment], f"its {name} {verb} written"
        if name in shard.person_columns and not len(rows):
            read_column(form, shard, name)  # whole, as readers do


def _altered(shard: Shard, form: ShardFormat, name: str) -> NDArray[np.int64]:
    """Numbers of the rows of a tap, or of boxes or scores, whose bytes are not their checksum's."""
    expected = read_column(form, shard, f"crc32/{name}")
    with reading(shard.path):
        found = [checksums(values) for values in _blocks(shard, form, name)]
        return np.flatnonzero(np.concatenate(found) != expected)


def _blocks(shard: Shard, form: ShardFormat, name: str) -> Iterator[NDArray[Any]]:
    """Read rows a part at a time."""
    array = shard.taps[name] if name in shard.taps else shard.person_columns[name]
    row = math.prod(array.shape[1:])
    count = max(1, _BLOCK // max(1, row * array.dtype.itemsize))
    for first in range(0, array.shape[0], count):
        part = slice(first, min(first + count, array.shape[0]))
        if array.place:
            # Not mapped: a file that is cut meanwhile gives too few bytes and no bus error.
            start = array.place.offset + first * row * array.dtype.itemsize
            length = part.stop - part.start
            values = np.fromfile(array.place.file, array.dtype, length * row, offset=start)
            yield values.reshape(length, *array.shape[1:])
        else:
            yield form.read(shard.path, f"taps/{name}" if name in shard.taps else name, part)

"""Which rows of the shards count: those that the manifest still asks for, each once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.store.formats.shard import Shard
from egofeat.store.rows import keys
from egofeat.store.table import Table

Address = tuple[int, int]
"""Number of a shard and of a segment in it."""


@dataclass(frozen=True)
class Addresses:
    """Rows to read, in the order of the shards."""

    shard_of: NDArray[np.int64]
    """[rows] number of the shard."""
    row_of: NDArray[np.int64]
    """[rows] row in that shard."""

    def column(self, parts: Sequence[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Pick the selected rows of a column that stands in parts, one a shard."""
        lengths = [len(part) for part in parts]
        firsts = np.cumsum([0, *lengths])[self.shard_of]
        if not parts:
            return np.empty(0, dtype)
        whole = np.concatenate([np.asarray(part, dtype) for part in parts])
        return np.asarray(whole[firsts + self.row_of])

    def spread(self, offsets: Sequence[NDArray[np.int64]]) -> "Addresses":
        """Put each segment's stretch of rows in its place.

        Args:
            offsets: of each shard, where the rows of its segments begin, [segments + 1].
        """
        whole = np.dtype(np.int64)
        firsts = self.column([of_shard[:-1] for of_shard in offsets], whole)
        lengths = self.column([np.diff(of_shard) for of_shard in offsets], whole)
        return Addresses(np.repeat(self.shard_of, lengths), runs(firsts, lengths))


@dataclass(frozen=True)
class Selection(Addresses):
    """Segments to read, and those passed over."""

    segment_of: NDArray[np.int64]
    """[segments] row in the manifest's table; empty without one."""
    stale: Sequence[Address]
    """Those no longer in the manifest, or with other times there."""
    duplicates: Sequence[Address]
    """Those that stand in an earlier place already."""


def select(shards: Sequence[Shard], wanted: Table | None) -> Selection:
    """Go through the shards by name; the first row of a segment counts."""
    positions = {key: row for row, key in enumerate(wanted.keys)} if wanted is not None else None
    chosen: list[Address] = []
    segments: list[int] = []
    stale: list[Address] = []
    duplicates: list[Address] = []
    seen: set[str] = set()
    for number, shard in enumerate(shards):
        for row, key in enumerate(keys(shard.ids, shard.starts, shard.stops)):
            address = (number, row)
            if positions is not None and key not in positions:
                stale.append(address)
            elif key[0] in seen:
                duplicates.append(address)
            else:
                seen.add(key[0])
                chosen.append(address)
                if positions is not None:
                    segments.append(positions[key])
    table = np.array(chosen, dtype=np.int64).reshape(-1, 2)
    return Selection(
        np.ascontiguousarray(table[:, 0]),
        np.ascontiguousarray(table[:, 1]),
        np.array(segments, dtype=np.int64),
        stale,
        duplicates,
    )


def runs(firsts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Whole numbers `[first, first + length)` of each pair, one run after the other."""
    ends: NDArray[np.int64] = np.cumsum(lengths)
    numbers: NDArray[np.int64] = np.repeat(firsts - (ends - lengths), lengths)
    numbers += np.arange(len(numbers))
    return numbers

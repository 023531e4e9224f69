"""Which segments of the shards count: those that the manifest still asks for, each once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.store.reading.numbering import numbered
from egofeat.store.reading.shards import Shards, runs
from egofeat.store.table import Table


@dataclass(frozen=True)
class Selection:
    """Segments to read, and those passed over, by their number among those of the shards."""

    chosen: NDArray[np.int64]
    """Rising."""
    told: NDArray[np.int64]
    """Row of each chosen one in the manifest's table; empty without one."""
    stale: NDArray[np.int64]
    """Those no longer in the manifest, or with other times there."""
    duplicates: NDArray[np.int64]
    """Those that stand in an earlier place already."""


def select(shards: Shards, wanted: Table | None) -> Selection:
    """Go through the shards by name; the first row of a segment counts."""
    of, count = shards.by_segment, len(shards.by_segment["id"])
    ids, told, stale = of["id"], np.empty(0, np.int64), np.empty(0, np.int64)
    fits = np.arange(count)
    if wanted is not None:
        both = np.concatenate([wanted.ids, ids])
        keys = numbered(
            numbered(both),
            np.concatenate([wanted.starts, of["start"]]),
            np.concatenate([wanted.stops, of["stop"]]),
        )
        row_of = np.full(len(both), -1)
        row_of[keys[: len(wanted)]] = np.arange(len(wanted))
        told = row_of[keys[len(wanted) :]]
        fits, stale = np.flatnonzero(told >= 0), np.flatnonzero(told < 0)
    _, firsts = np.unique(numbered(ids[fits]), return_index=True)
    chosen = fits[np.sort(firsts)]
    duplicates = np.setdiff1d(fits, chosen, assume_unique=True)
    return Selection(chosen, told[chosen] if wanted is not None else told, stale, duplicates)


class Addresses:
    """Where the rows of the chosen segments lie in the shards; rows are numbered one by one.

    Args:
        shards: all of them.
        chosen: numbers of segments.
    """

    def __init__(self, shards: Shards, chosen: NDArray[np.int64]) -> None:
        lengths, rows = shards.by_segment["length"], shards.by_shard["rows"]
        shard_of = shards.shard_of
        first_of = np.cumsum(lengths)
        first_of -= lengths
        first_of -= (np.cumsum(rows) - rows)[shard_of]
        if not np.array_equal(chosen, np.arange(len(lengths))):
            shard_of, first_of, lengths = shard_of[chosen], first_of[chosen], lengths[chosen]
        self.shard_of: NDArray[Any] = _narrow(shard_of)
        """[segments] number of each one's shard."""
        self.first_of: NDArray[Any] = _narrow(first_of)
        """[segments] row in that shard of each one's first row."""
        self.lengths: NDArray[np.int64] = lengths
        """[segments] rows of each."""
        self.flat = bool(shards.by_shard["flat"].any())

    @cached_property
    def firsts(self) -> NDArray[np.int64]:
        """[segments] number of each one's first row."""
        return np.cumsum(self.lengths) - self.lengths

    def of(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Shard of each row, and its row in that shard."""
        if not self.flat:
            segments, places = rows, self.first_of[rows].astype(np.int64)
        else:
            segments = np.searchsorted(self.firsts, rows, "right") - 1
            places = self.first_of[segments] + (rows - self.firsts[segments])
        return self.shard_of[segments].astype(np.int64), places

    def column(self, parts: Sequence[NDArray[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Pick the rows of a column that stands in parts, one a shard."""
        if not parts:
            return np.empty(0, dtype)
        begins = np.cumsum([0, *map(len, parts)])[self.shard_of]
        whole = np.concatenate([np.asarray(part, dtype) for part in parts])
        return np.asarray(whole[runs(begins + self.first_of, self.lengths)])


def _narrow(numbers: NDArray[np.int64]) -> NDArray[Any]:
    """Whole numbers in half the memory, where they fit."""
    fit = not len(numbers) or numbers.max() <= np.iinfo(np.int32).max
    return numbers.astype(np.int32) if fit else numbers

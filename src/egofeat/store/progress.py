"""What a store has already, read without touching it."""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from egofeat.segments import Texts
from egofeat.store.description import Description, begun
from egofeat.store.reading.index import shards_of
from egofeat.store.reading.shards import Shards, runs
from egofeat.store.rows import Failure, Key
from egofeat.store.sidecar.failures import Tell, all_failures

Stamp = tuple[int, int, int, int]
"""Of what a segment was read from: a row of `ShardRows.media_stamps`."""


class Progress:
    """How far a store is: by its shards' names, or segment by segment where somebody asks.

    Args:
        shards: of the store; None of one that has not begun.
    """

    def __init__(self, shards: Shards | None = None) -> None:
        self._shards = shards
        self.failures: list[Failure] = []
        """Of what is not there, and windows lost of what is."""

    @cached_property
    def done(self) -> set[Key]:
        """Segments in published shards."""
        return set(self._read_from)  # of a dict, without working out the keys' hashes again

    @cached_property
    def stamps(self) -> Mapping[Key, Stamp]:
        """Of what segments were read from, where that is known."""
        shards, stamps = self._shards, self._read_from
        if shards is None or shards.by_shard["stamps"].all():
            return stamps
        known = np.repeat(shards.by_shard["stamps"], shards.by_shard["count"]).tolist()
        return {key: stamps[key] for key in itertools.compress(shards.keys, known)}

    @property
    def tried(self) -> frozenset[Key]:
        """Segments that are there, or failed."""
        return frozenset(self.done | {failure.key for failure in self.failures})

    def holds(self, shard: str, segments: int) -> bool:
        """Whether a shard of a cut is there whole: its name says which segments it has."""
        return self._counts.get(shard) == segments

    def are_of(self, shards: Sequence[str], videos: Texts) -> bool:
        """Whether the segments of some shards, shard after shard, are of these videos."""
        if self._shards is None:
            return not len(videos)
        place = {name: number for number, name in enumerate(self._names)}
        counts = self._shards.by_shard["count"]
        chosen = np.array([place[name] for name in shards], np.int64)
        rows = runs((np.cumsum(counts) - counts)[chosen], counts[chosen])
        if len(rows) != len(videos):
            return False
        known, begins = self._shards.in_runs("video")
        run = np.searchsorted(begins, rows, side="right") - 1
        differs = np.ones(len(rows), np.bool_)  # from the row before, here or there
        differs[1:] = (run[1:] != run[:-1]) | (videos[1:] != videos[:-1])
        return np.array_equal(known[run[differs]], videos[differs].astype(np.str_))

    def sources(self, shards: Collection[str]) -> set[tuple[str, Stamp]]:
        """Videos of the segments of some shards, and of what each was read, where that is known."""
        if self._shards is None:
            return set()
        by_shard = self._shards.by_shard
        wanted = np.array([name in shards for name in self._names], np.bool_) & by_shard["stamps"]
        ends = np.cumsum(by_shard["count"])
        (videos, of_video), (stamps, of_stamp) = map(self._shards.in_runs, ("video", "stamp"))
        # Between two of these rows shard, video and stamp are the same.
        rows = np.unique(np.concatenate([of_video, of_stamp, ends - by_shard["count"]]))
        rows = rows[rows < ends[-1:].sum()]
        rows = rows[wanted[np.searchsorted(ends, rows, side="right")]]
        video, stamp = (np.searchsorted(of, rows, side="right") - 1 for of in (of_video, of_stamp))
        return set(zip(videos[video].tolist(), map(tuple, stamps[stamp].tolist()), strict=True))

    @cached_property
    def _read_from(self) -> dict[Key, Stamp]:
        if self._shards is None:
            return {}
        return dict(zip(self._shards.keys, _stamps(self._shards), strict=True))

    @cached_property
    def _names(self) -> list[str]:
        """Of shards, as a cut calls them."""
        if self._shards is None:
            return []
        suffix = self._shards.form.suffix
        return [name.removesuffix(suffix) for name in self._shards.by_shard["name"].tolist()]

    @cached_property
    def _counts(self) -> dict[str, int]:
        if self._shards is None:
            return {}
        return dict(zip(self._names, self._shards.by_shard["count"].tolist(), strict=True))


def progress_of(store: Path, tell: Tell = bool) -> Progress:
    """See how far a store is.

    Args:
        store: its folder; nothing need be there.
        tell: takes a sentence on what is passed over.

    Raises:
        StoreError: the store is damaged.
    """
    if not begun(store):
        return Progress()
    progress = Progress(shards_of(store, Description.read(store)))
    if any(store.glob("failures-*.jsonl")):
        progress.failures = all_failures(store, progress.done, None, tell)
    return progress


def _stamps(shards: Shards) -> Iterator[Stamp]:
    """Stamp of each segment, one object for those of one video."""
    column = shards.by_segment["stamp"]
    begins = np.ones(len(column), np.bool_)
    begins[1:] = (column[1:] != column[:-1]).any(axis=1)
    stamps: list[Any] = list(map(tuple, column[begins].tolist()))
    return map(stamps.__getitem__, (np.cumsum(begins) - 1).tolist())

"""What a store has already, read without touching it."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from egofeat.store.description import Description, begun
from egofeat.store.reading.index import shards_of
from egofeat.store.reading.shards import Shards
from egofeat.store.rows import Failure, Key
from egofeat.store.sidecar.failures import Tell, all_failures

Stamp = tuple[int, int, int, int]
"""Of what a segment was read from: a row of `ShardRows.media_stamps`."""


@dataclass(frozen=True)
class Progress:
    """How far a store is; of one that has not begun, nothing."""

    done: set[Key] = field(default_factory=set)
    """Segments in published shards."""
    failures: list[Failure] = field(default_factory=list)
    """Of what is not there, and windows lost of what is."""
    stamps: Mapping[Key, Stamp] = field(default_factory=dict)
    """Of what segments were read from, where that is known."""

    @property
    def tried(self) -> frozenset[Key]:
        """Segments that are there, or failed."""
        return frozenset(self.done | {failure.key for failure in self.failures})


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
    shards = shards_of(store, Description.read(store))
    stamps: dict[Key, Stamp] = dict(zip(shards.keys, _stamps(shards), strict=True))
    done = set(stamps)  # of a dict, without working out the keys' hashes again
    if not shards.by_shard["stamps"].all():
        known = np.repeat(shards.by_shard["stamps"], shards.by_shard["count"]).tolist()
        stamps = {key: stamps[key] for key in itertools.compress(shards.keys, known)}
    return Progress(done, all_failures(store, done, None, tell), stamps)


def _stamps(shards: Shards) -> Iterator[Stamp]:
    """Stamp of each segment, one object for those of one video."""
    column = shards.by_segment["stamp"]
    begins = np.ones(len(column), np.bool_)
    begins[1:] = (column[1:] != column[:-1]).any(axis=1)
    stamps: list[Any] = list(map(tuple, column[begins].tolist()))
    return map(stamps.__getitem__, (np.cumsum(begins) - 1).tolist())

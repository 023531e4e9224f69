"""Features of single frames, put together into the rows of segments and into shards.

A row is complete when every frame of its plan has come, in whatever order; a shard is
published when each of its segments has come or failed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from egofeat.extract.sampling import FramePlan
from egofeat.extract.shards import Shard
from egofeat.segments import Segment
from egofeat.store import Failure, ShardRows

Features = dict[str, NDArray[np.float32]]
"""Tap name to one frame's features."""


@dataclass(eq=False)
class _Row:
    """A segment being put together."""

    segment: Segment
    plan: FramePlan
    missing: int
    """Different frames that have not come yet."""
    taps: Features = field(default_factory=dict)
    """Tap name to `[T, ...]`."""


@dataclass
class _OpenShard:
    shard: Shard
    missing: int
    rows: dict[str, tuple[_Row, dict[str, NDArray[np.generic]]]] = field(default_factory=dict)
    """Segment id to its row and the row's taps as they are stored."""


class Assembly:
    """Collects features until shards are whole, then hands them to `publish`.

    Args:
        shards: what is to be made; no segment stands in two.
        dtype: of the stored features, float16 or float32.
        publish: called with a shard's name and rows, in the order of its segments.
        fail: called with segments that cannot be made.
        progress: told how many more segments were made or given up.
    """

    def __init__(
        self,
        shards: Iterable[Shard],
        dtype: str,
        publish: Callable[[str, ShardRows], None],
        fail: Callable[[list[Failure]], None],
        progress: Callable[[int], None],
    ) -> None:
        self._dtype = np.dtype(dtype)
        self._publish = publish
        self._fail = fail
        self._progress = progress
        self._shard_of = {s.id: shard for shard in shards for s in shard.segments}
        self._open: dict[str, _OpenShard] = {}
        self._rows: dict[str, _Row] = {}
        """Segment id to its row, while frames are missing."""
        self._wanting: dict[tuple[str, int], list[_Row]] = {}
        """Video and frame to the rows that want it."""
        self.completed = 0

    def begin(self, segment: Segment, plan: FramePlan) -> None:
        """Expect the frames of a segment's plan."""
        indices = np.unique(plan.indices)
        row = _Row(segment, plan, missing=len(indices))
        self._rows[segment.id] = row
        for index in indices:
            self._wanting.setdefault((segment.video, int(index)), []).append(row)

    def add(self, video: str, index: int, features: Features) -> None:
        """Take the features of one frame, for every segment that wants it."""
        for row in self._wanting.pop((video, index), ()):
            frames = row.plan.indices.size
            places = row.plan.indices.ravel() == index
            for tap, values in features.items():
                if tap not in row.taps:
                    row.taps[tap] = np.empty((frames, *values.shape), np.float32)
                row.taps[tap][places] = values
            row.missing -= 1
            if row.missing == 0:
                del self._rows[row.segment.id]
                self._complete(row)

    def fail(self, segments: Sequence[Segment], reason: str) -> None:
        """Give segments up: record why, and let their shards be published without them."""
        self._fail([Failure(s.id, s.video, s.start, s.stop, reason) for s in segments])
        for segment in segments:
            if row := self._rows.pop(segment.id, None):
                for index in np.unique(row.plan.indices):
                    if wanting := self._wanting.get((segment.video, int(index))):
                        wanting.remove(row)
            self._settle(self._shard_of[segment.id])

    def _complete(self, row: _Row) -> None:
        stored: dict[str, NDArray[np.generic]] = {}
        for tap, values in row.taps.items():
            if reason := self._unstorable(tap, values):
                self.fail([row.segment], reason)
                return
            stored[tap] = values.astype(self._dtype)
        row.taps.clear()
        self.completed += 1
        self._settle(self._shard_of[row.segment.id], (row, stored))

    def _unstorable(self, tap: str, values: NDArray[np.float32]) -> str | None:
        largest = float(np.abs(values).max())
        if not np.isfinite(largest):
            return f"the backbone gave a value at tap {tap} that is not a finite number"
        if largest > float(np.finfo(self._dtype).max):
            return f"tap {tap} reaches {largest:.6g}, more than float16 holds: use --dtype float32"
        return None

    def _settle(
        self, shard: Shard, made: tuple[_Row, dict[str, NDArray[np.generic]]] | None = None
    ) -> None:
        opened = self._open.setdefault(shard.name, _OpenShard(shard, len(shard.segments)))
        if made:
            opened.rows[made[0].segment.id] = made
        opened.missing -= 1
        self._progress(1)
        if opened.missing == 0:
            del self._open[shard.name]
            if opened.rows:
                self._publish(shard.name, _shard_rows(opened))


def _shard_rows(opened: _OpenShard) -> ShardRows:
    made = [opened.rows[s.id] for s in opened.shard.segments if s.id in opened.rows]
    rows = [row for row, _ in made]
    return ShardRows(
        ids=[row.segment.id for row in rows],
        videos=[row.segment.video for row in rows],
        starts=np.array([row.segment.start for row in rows], np.float64),
        stops=np.array([row.segment.stop for row in rows], np.float64),
        clipped=np.array([row.plan.clipped for row in rows], np.bool_),
        times=np.stack([row.plan.times.ravel() for row in rows]),
        taps={tap: np.stack([stored[tap] for _, stored in made]) for tap in made[0][1]},
    )

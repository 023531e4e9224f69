"""Features of single views, put together into the rows of segments and into shards.

A row is complete when every view of its plan has come, in whatever order; a shard is
published when each of its segments has come or failed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from egofeat.extract.sampling import FramePlan
from egofeat.extract.shards import Shard
from egofeat.extract.views import View, views_of
from egofeat.segments import Segment
from egofeat.store import Failure, ShardRows

Features = dict[str, NDArray[np.float32]]
"""Tap name to one view's features, `[crops, …]`."""


@dataclass(eq=False)
class _Row:
    """A segment being put together."""

    segment: Segment
    plan: FramePlan
    places: dict[View, list[int]]
    """View to its places in the row."""
    missing: int
    """Different views that have not come yet."""
    taps: Features = field(default_factory=dict)
    """Tap name to `[views, crops, …]`."""


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
        flat: whether segments have numbers of rows of their own.
        publish: called with a shard's name and rows, in the order of its segments.
        fail: called with segments that cannot be made.
        progress: told how many more segments were made or given up.
    """

    def __init__(
        self,
        shards: Iterable[Shard],
        dtype: str,
        flat: bool,
        publish: Callable[[str, ShardRows], None],
        fail: Callable[[list[Failure]], None],
        progress: Callable[[int], None],
    ) -> None:
        self._dtype = np.dtype(dtype)
        self._flat = flat
        self._publish = publish
        self._fail = fail
        self._progress = progress
        self._shard_of = {s.id: shard for shard in shards for s in shard.segments}
        self._open: dict[str, _OpenShard] = {}
        self._rows: dict[str, _Row] = {}
        """Segment id to its row, while frames are missing."""
        self._wanting: dict[tuple[str, View], list[_Row]] = {}
        """Video and view to the rows that want it."""
        self.completed = 0

    def begin(self, segment: Segment, plan: FramePlan) -> None:
        """Expect the views of a segment's plan."""
        places: dict[View, list[int]] = {}
        for place, view in enumerate(views_of(plan)):
            places.setdefault(view, []).append(place)
        row = _Row(segment, plan, places, missing=len(places))
        self._rows[segment.id] = row
        for view in places:
            self._wanting.setdefault((segment.video, view), []).append(row)

    def add(self, video: str, view: View, features: Features) -> None:
        """Take the features of one view, for every segment that wants it."""
        for row in self._wanting.pop((video, view), ()):
            views = len(row.plan.indices)
            for tap, values in features.items():
                if tap not in row.taps:
                    row.taps[tap] = np.empty((views, *values.shape), np.float32)
                row.taps[tap][row.places[view]] = values
            row.missing -= 1
            if row.missing == 0:
                del self._rows[row.segment.id]
                self._complete(row)

    def fail(self, segments: Sequence[Segment], reason: str) -> None:
        """Give segments up: record why, and let their shards be published without them."""
        self._fail([Failure(s.id, s.video, s.start, s.stop, reason) for s in segments])
        for segment in segments:
            if row := self._rows.pop(segment.id, None):
                for view in row.places:
                    if wanting := self._wanting.get((segment.video, view)):
                        wanting.remove(row)
            self._settle(self._shard_of[segment.id])

    def _complete(self, row: _Row) -> None:
        stored: dict[str, NDArray[np.generic]] = {}
        for tap, values in row.taps.items():
            if reason := self._unstorable(tap, values):
                self.fail([row.segment], reason)
                return
            # Views are clip by clip, and crop by crop of each.
            stored[tap] = values.reshape(-1, *values.shape[2:]).astype(self._dtype)
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
                self._publish(shard.name, _shard_rows(opened, self._flat))


def _shard_rows(opened: _OpenShard, flat: bool) -> ShardRows:
    made = [opened.rows[s.id] for s in opened.shard.segments if s.id in opened.rows]
    rows = [row for row, _ in made]
    together = np.concatenate if flat else np.stack
    taps = {tap: together([stored[tap] for _, stored in made]) for tap in made[0][1]}
    times = [row.plan.times for row in rows]
    if not flat:
        crops = next(iter(taps.values())).shape[1] // len(times[0])
        times = [np.repeat(seconds, crops) for seconds in times]
    return ShardRows(
        ids=[row.segment.id for row in rows],
        videos=[row.segment.video for row in rows],
        starts=np.array([row.segment.start for row in rows], np.float64),
        stops=np.array([row.segment.stop for row in rows], np.float64),
        clipped=np.array([row.plan.clipped for row in rows], np.bool_),
        times=together(times),
        taps=taps,
        offsets=np.cumsum([0, *map(len, times)]) if flat else None,
    )

"""Features of single views, put together into the rows of segments and into shards.

A row is complete when every view of its plan has come, in whatever order; a shard is
published when each of its segments has come or failed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.boxes import Boxes
from egofeat.extract.sampling import FramePlan, View
from egofeat.extract.shards import Shard
from egofeat.segments import Segment
from egofeat.store import Failure, ShardRows

Features = dict[str, NDArray[np.float32]]
"""Tap name to one view's features, `[crops, …]`; of persons `[boxes, …]`, those of all rows that
want the view."""


@dataclass(eq=False)
class _Row:
    """A segment being put together."""

    segment: Segment
    plan: FramePlan
    places: dict[View, list[int]]
    """View to its places in the row."""
    missing: int
    """Different views that have not come yet."""
    boxes: Boxes | None
    """Of a plan by boxes: those of this segment, which are its rows."""
    taps: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    """Tap name to `[views, crops, …]`, as it is stored."""


@dataclass
class _OpenShard:
    shard: Shard
    missing: int
    rows: dict[str, _Row] = field(default_factory=dict)
    """Segment id to its row."""


class Assembly:
    """Collects features until shards are whole, then hands them to `publish`.

    Args:
        shards: what is to be made; no segment stands in two.
        dtype: of the stored features, float16 or float32.
        flat: whether segments have numbers of rows of their own.
        boxes: of each segment, where its rows are its boxes.
        publish: called with a shard's name and rows, in the order of its segments.
        fail: called with segments that cannot be made.
        progress: told how many more segments were made or given up.
    """

    def __init__(
        self,
        shards: Iterable[Shard],
        dtype: str,
        flat: bool,
        boxes: Mapping[str, Boxes] | None,
        publish: Callable[[str, ShardRows], None],
        fail: Callable[[list[Failure]], None],
        progress: Callable[[int], None],
    ) -> None:
        self._dtype = np.dtype(dtype)
        self._flat = flat
        self._boxes = boxes
        self._publish = publish
        self._fail = fail
        self._progress = progress
        self._shard_of = {s.id: shard for shard in shards for s in shard.segments}
        self._open: dict[str, _OpenShard] = {}
        self._rows: dict[str, _Row] = {}
        """Segment id to its row, while views are missing."""
        self._wanting: dict[tuple[str, View], list[_Row]] = {}
        """Video and view to the rows that want it."""
        self.completed = 0

    def begin(self, segment: Segment, plan: FramePlan) -> None:
        """Expect the views of a segment's plan."""
        places: dict[View, list[int]] = {}
        for place, view in enumerate(plan.views):
            places.setdefault(view, []).append(place)
        boxes = None if self._boxes is None else self._boxes[segment.id]
        row = _Row(segment, plan, places, missing=len(places), boxes=boxes)
        self._rows[segment.id] = row
        for view in places:
            self._wanting.setdefault((segment.video, view), []).append(row)

    def boxes_in(self, video: str, view: View) -> NDArray[np.float32]:
        """Boxes of every segment that wants a view, `[n, 4]`, one segment's after the other's."""
        rows = self._wanting.get((video, view), ())
        corners = [row.boxes.corners for row in rows if row.boxes is not None]
        return np.concatenate([np.empty((0, 4), np.float32), *corners])

    def add(self, video: str, view: View, features: Features) -> None:
        """Take the features of one view, for every segment that wants it."""
        rows = self._wanting.pop((video, view), ())
        if rows and (reason := self._unstorable(features)):
            self.fail([row.segment for row in rows], reason)
            return
        first = 0
        for row in rows:
            own = slice(None)
            if row.boxes is not None:
                own = slice(first, first + len(row.boxes))
                first = own.stop
            for tap, of_view in features.items():
                values = of_view[own]
                if tap not in row.taps:
                    shape = (len(row.plan.indices), *values.shape)
                    row.taps[tap] = np.empty(shape, self._dtype)
                row.taps[tap][row.places[view]] = values
            row.missing -= 1
            if row.missing == 0:
                del self._rows[row.segment.id]
                self.completed += 1
                self._settle(self._shard_of[row.segment.id], row)

    def fail(self, segments: Sequence[Segment], reason: str) -> None:
        """Give segments up: record why, and let their shards be published without them."""
        self._fail([Failure(s.id, s.video, s.start, s.stop, reason) for s in segments])
        for segment in segments:
            if row := self._rows.pop(segment.id, None):
                for view in row.places:
                    wanting = self._wanting.get((segment.video, view), [])
                    if row in wanting:
                        wanting.remove(row)
                    if not wanting:
                        self._wanting.pop((segment.video, view), None)
            self._settle(self._shard_of[segment.id])

    def _unstorable(self, features: Features) -> str | None:
        for tap, values in features.items():
            largest = float(np.abs(values).max())
            if not np.isfinite(largest):
                return f"the backbone gave a value at tap {tap} that is not a finite number"
            if largest > float(np.finfo(self._dtype).max):
                return (
                    f"tap {tap} reaches {largest:.6g}, more than float16 holds: use --dtype float32"
                )
        return None

    def _settle(self, shard: Shard, made: _Row | None = None) -> None:
        opened = self._open.setdefault(shard.name, _OpenShard(shard, len(shard.segments)))
        if made:
            opened.rows[made.segment.id] = made
        opened.missing -= 1
        self._progress(1)
        if opened.missing == 0:
            del self._open[shard.name]
            if opened.rows:
                self._publish(shard.name, _shard_rows(opened, self._flat))


def _shard_rows(opened: _OpenShard, flat: bool) -> ShardRows:
    rows = [opened.rows[s.id] for s in opened.shard.segments if s.id in opened.rows]
    times = [row.plan.times for row in rows]
    boxes = [row.boxes for row in rows if row.boxes is not None]
    if boxes:
        times = [np.repeat(t, len(of), axis=0) for t, of in zip(times, boxes, strict=True)]
    if not flat:
        crops = next(iter(rows[0].taps.values())).shape[1]
        times = [np.repeat(seconds, crops) for seconds in times]
    return ShardRows(
        ids=[row.segment.id for row in rows],
        videos=[row.segment.video for row in rows],
        starts=np.array([row.segment.start for row in rows], np.float64),
        stops=np.array([row.segment.stop for row in rows], np.float64),
        clipped=np.array([row.plan.clipped for row in rows], np.bool_),
        times=_together(times, flat),
        # Views are clip by clip, and crop by crop of each.
        taps={
            tap: _together([row.taps[tap].reshape(-1, *first.shape[2:]) for row in rows], flat)
            for tap, first in rows[0].taps.items()
        },
        offsets=np.cumsum([0, *map(len, times)]) if flat else None,
        boxes=np.concatenate([one.corners for one in boxes]) if boxes else None,
        scores=np.concatenate([one.scores for one in boxes]) if boxes else None,
    )


def _together(rows: Sequence[NDArray[Any]], flat: bool) -> NDArray[Any]:
    """One after the other, or each by itself; a whole video alone is not copied."""
    if not flat:
        return np.stack(rows)
    return rows[0] if len(rows) == 1 else np.concatenate(rows)

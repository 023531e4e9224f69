"""Features of single views, put together into the rows of segments and into shards.

A row is complete when every view of its plan has come, in whatever order, or is lost; a shard is
published when each of its segments has come or failed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.boxes import Boxes
from egofeat.console import Advance
from egofeat.errors import OVERFLOW, MediaError
from egofeat.extract.batches.filling import ViewKey
from egofeat.extract.decoding.events import Stamp
from egofeat.extract.lost_windows import LostWindows, Why
from egofeat.extract.rooms import Room, room
from egofeat.extract.shards import Shard, shard_of
from egofeat.recipe import FramePlan, Recipe, View
from egofeat.segments import Segment
from egofeat.store import Failure, ShardRows

Features = dict[str, NDArray[np.float32]]
"""Tap name to the features of a batch, `[views × crops, …]`; of persons `[boxes, …]`, view by view
those of all rows that want it."""


@dataclass(eq=False)
class _Row:
    """A segment being put together."""

    segment: Segment
    plan: FramePlan
    stamp: Stamp
    views: int
    """Different ones."""
    missing: int
    """Of them, those that have not come yet."""
    boxes: Boxes | None
    """Of a plan by boxes: those of this segment, which are its rows."""
    share: float
    """What of the segment it is."""
    taps: dict[str, Room] = field(default_factory=dict)
    """Tap name to `[views, crops, …]`, as it is stored."""
    lost: LostWindows = field(default_factory=LostWindows)

    @property
    def done(self) -> float:
        """How much of its segment has come."""
        return self.share * (1 - self.missing / self.views) if self.views else 0.0


Place = tuple[_Row, list[int]]
"""A row that wants a view, and where in it."""


@dataclass(frozen=True)
class Claim:
    """Who is given a view's features: those who want it when it is handed to the network."""

    places: list[Place]

    @property
    def boxes(self) -> NDArray[np.float32]:
        """Of all rows, `[n, 4]`, one row's after the other's."""
        corners = [row.boxes.corners for row, _ in self.places if row.boxes is not None]
        return np.concatenate([np.empty((0, 4), np.float32), *corners])


@dataclass
class _OpenShard:
    shard: Shard
    missing: set[str]
    """Ids of segments that have neither come nor failed."""
    rows: dict[str, _Row] = field(default_factory=dict)
    """Segment id to its row."""


class Assembly:
    """Collects features until shards are whole, then hands them to `publish`.

    Args:
        recipe: of the features.
        boxes: of each segment, where its rows are its boxes.
        scratch: folder for files of what is too large to wait in memory; None: all is kept there.
        publish: called with a shard, and its rows in the order of its segments, or None where all
            of them failed; or with what of it is whole, when the extraction ends before its time.
        fail: called with segments that cannot be made.
        progress: told how many more segments were made or given up.
        blame: called when a value is no finite number; raises where no video is to blame.
    """

    def __init__(
        self,
        recipe: Recipe,
        boxes: Mapping[str, Boxes] | None,
        scratch: Path | None,
        publish: Callable[[Shard, ShardRows | None], None],
        fail: Callable[[list[Failure]], None],
        progress: Advance,
        blame: Callable[[], None],
    ) -> None:
        self._dtype = np.dtype(recipe.dtype)
        self._most = float(np.finfo(self._dtype).max)
        self._backbone = recipe.network
        self._flat = recipe.flat
        self._boxes = boxes
        self._scratch = scratch
        self._of_windows = recipe.flat and boxes is None
        self._publish = publish
        self._fail = fail
        self._progress = progress
        self._blame = blame
        self._shard_of: dict[str, Shard] = {}
        """Segment id to its shard, which is not published yet."""
        self._open: dict[str, _OpenShard] = {}
        self._rows: dict[str, _Row] = {}
        """Segment id to its row, while views are missing."""
        self._wanting: dict[ViewKey, list[Place]] = {}
        """A view to who wants it, until it is claimed."""
        self._told = 0.0
        """Segments that came to be done and of which `progress` was not told yet."""
        self._windows = 0
        """The same of windows."""
        self.completed = 0

    def expect(self, shard: Shard) -> None:
        """Make a shard; no segment stands in two that are under way."""
        self._shard_of |= dict.fromkeys((segment.id for segment in shard.segments), shard)

    def begin(self, segment: Segment, plan: FramePlan, stamp: Stamp) -> None:
        """Expect the views of a segment's plan, from a video of that stamp."""
        places: dict[View, list[int]] = {}
        for place, view in enumerate(plan.views):
            places.setdefault(view, []).append(place)
        boxes = None if self._boxes is None else self._boxes[segment.id]
        share = self._shard_of[segment.id].share
        row = _Row(segment, plan, stamp, len(places), len(places), boxes, share)
        self._rows[segment.id] = row
        if not places:  # a piece in which no window begins
            self._told += share
            self._complete(row)
        for view, of_view in places.items():
            self._wanting.setdefault((segment.video, view), []).append((row, of_view))

    def claim(self, keys: Iterable[ViewKey]) -> list[Claim]:
        """Hand views to the network, which nobody can want any more."""
        return [Claim(self._wanting.pop(key, [])) for key in keys]

    def add(self, claims: Sequence[Claim], features: Features) -> None:
        """Take the features of a batch of claimed views, for every segment that wanted them."""
        sound = self._unstorable(features) is None
        crops = 0 if self._boxes is not None else len(next(iter(features.values()))) // len(claims)
        stop = 0
        for claim in claims:
            first, stop = stop, stop + crops
            for place in claim.places:
                if (boxes := place[0].boxes) is not None:
                    first, stop = stop, stop + len(boxes)
                of_view = {tap: values[first:stop] for tap, values in features.items()}
                if not sound and (why := self._unstorable(of_view)):
                    self._lose([place], why)
                elif self._is_missing(place[0]):
                    self._put(place, of_view)
        self._tell()

    def _put(self, place: Place, of_view: Features) -> None:
        row, places = place
        for tap, values in of_view.items():
            if tap not in row.taps:
                shape = (len(row.plan.indices), *values.shape)
                row.taps[tap] = room(shape, self._dtype, self._scratch)
            row.taps[tap].put(places, values)
        self._go_on(place)

    def lose(self, video: str, views: Iterable[View], reason: str) -> None:
        """Give views up: of windows these alone, else the segments that want them."""
        for view in views:
            self._lose(self._wanting.pop((video, view), []), Why(reason))
        self._tell()

    def _lose(self, places: Sequence[Place], why: Why) -> None:
        missing = [place for place in places if self._is_missing(place[0])]
        if not self._of_windows:
            self.fail([row.segment for row, _ in missing], *why)
            return
        for row, of_view in missing:
            row.lost.add(of_view, why)
            self._go_on((row, of_view))

    def fail(self, segments: Sequence[Segment], reason: str, cause: str = MediaError.cause) -> None:
        """Give segments up: record why, and let their shards be published without them.

        What was made of them before is thrown away, where it is not published yet.
        """
        given_up = [segment for segment in segments if segment.id in self._shard_of]
        self._fail([Failure(s.id, s.video, s.start, s.stop, reason, cause) for s in given_up])
        for segment in given_up:
            opened = self._opened(segment)
            if opened.rows.pop(segment.id, None):
                self.completed -= opened.shard.piece is None
            elif row := self._rows.pop(segment.id, None):
                self._let_go(row)
                self._told -= row.done
        for segment in given_up:  # none of them is among the rows any more
            opened = self._opened(segment)
            if segment.id in opened.missing:
                self._told += opened.shard.share
                self._settle(opened, segment)
        self._tell()

    def publish_whole(self) -> None:
        """Publish what is complete of shards that are not, so that it need not be made again.

        What is left of such a shard is another one, when the extraction goes on. What cannot be
        written is passed over: there is another error already.
        """
        for opened in self._open.values():
            if opened.rows:
                whole = [s for s in opened.shard.segments if s.id in opened.rows]
                part = shard_of(opened.shard.number, whole) if opened.missing else opened.shard
                with suppress(Exception):
                    self._publish(part, _shard_rows(opened, self._flat))

    def _go_on(self, place: Place) -> None:
        """A view of a row has come or is lost."""
        row, places = place
        row.missing -= 1
        self._told += row.share / row.views
        self._windows += len(places) if self._of_windows else 0
        if not row.missing:
            self._complete(row)

    def _complete(self, row: _Row) -> None:
        """All of a row has come or is lost; of a piece it may be that all is."""
        whole = self._shard_of[row.segment.id].piece is None
        if whole and (why := row.lost.reason_of_all(len(row.plan.indices))):
            self.fail([row.segment], *why)
            return
        if lost := row.lost.failures(row.segment, row.plan):
            self._fail(lost)
            row.plan, kept = row.lost.kept_of(row.plan)
            row.taps = {tap: of_tap.only(kept) for tap, of_tap in row.taps.items()}
        del self._rows[row.segment.id]
        self.completed += whole
        opened = self._opened(row.segment)
        opened.rows[row.segment.id] = row
        self._settle(opened, row.segment)

    def _tell(self) -> None:
        if self._told or self._windows:
            told, windows = self._told, self._windows
            self._told, self._windows = 0.0, 0
            self._progress(told, windows)

    def _is_missing(self, row: _Row) -> bool:
        """Whether it has neither come nor failed."""
        return self._rows.get(row.segment.id) is row

    def _let_go(self, row: _Row) -> None:
        for view in set(row.plan.views):
            key = (row.segment.video, view)
            wanting = [place for place in self._wanting.pop(key, []) if place[0] is not row]
            if wanting:
                self._wanting[key] = wanting

    def _unstorable(self, features: Features) -> Why | None:
        for tap, values in features.items():
            # The largest of what is not a number is none either.
            largest = max(float(values.max()), -float(values.min())) if values.size else 0.0
            if not np.isfinite(largest):
                self._blame()
                return Why(f"the backbone gave a value at tap {tap} that is not a finite number")
            if largest > self._most:
                return Why(
                    f"tap {tap} of {self._backbone} reaches {largest:.6g}, more than "
                    f"{self._dtype} holds ({self._most:.0f}): use `dtype` float32",
                    OVERFLOW,
                )
        return None

    def _opened(self, segment: Segment) -> _OpenShard:
        shard = self._shard_of[segment.id]
        if shard.name not in self._open:
            self._open[shard.name] = _OpenShard(shard, {one.id for one in shard.segments})
        return self._open[shard.name]

    def _settle(self, opened: _OpenShard, segment: Segment) -> None:
        opened.missing.discard(segment.id)
        if not opened.missing:
            rows = _shard_rows(opened, self._flat) if opened.rows else None
            self._publish(opened.shard, rows)
            # Only now: who is interrupted before this still has the rows.
            del self._open[opened.shard.name]
            for one in opened.shard.segments:
                del self._shard_of[one.id]


def _shard_rows(opened: _OpenShard, flat: bool) -> ShardRows:
    rows = [opened.rows[s.id] for s in opened.shard.segments if s.id in opened.rows]
    times = [row.plan.times for row in rows]
    boxes = [row.boxes for row in rows if row.boxes is not None]
    if boxes:
        times = [np.repeat(t, len(of), axis=0) for t, of in zip(times, boxes, strict=True)]
    if not flat:
        crops = next(iter(rows[0].taps.values())).shape[1]  # of [views, crops, …]
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
            tap: _together([row.taps[tap].rows.reshape(-1, *first.shape[2:]) for row in rows], flat)
            for tap, first in rows[0].taps.items()
        },
        offsets=np.cumsum([0, *map(len, times)]) if flat else None,
        boxes=np.concatenate([one.corners for one in boxes]) if boxes else None,
        scores=np.concatenate([one.scores for one in boxes]) if boxes else None,
        media_stamps=np.array([row.stamp for row in rows], np.int64),
    )


def _together(rows: Sequence[NDArray[Any]], flat: bool) -> NDArray[Any]:
    """One after the other, or each by itself; a whole video alone is not copied."""
    if not flat:
        return np.stack(rows)
    return rows[0] if len(rows) == 1 else np.concatenate(rows)

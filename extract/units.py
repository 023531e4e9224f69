"""What a worker takes on at a time: a shard of every store that one decode serves."""

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from egofeat.extract.pieces.cut import Piece
from egofeat.extract.shards import Shard, cut, piece_of, shards_in
from egofeat.extract.video import FrameSource
from egofeat.extract.video.files import stamp_of
from egofeat.segments import Media, Segment, Segments
from egofeat.store import Key

_SHARED = 16
"""Threads of a worker that has many."""


@dataclass(frozen=True)
class Unit:
    """Shards of the same stretch of the data set, one a task, which are made by one decode."""

    name: str
    """Of a whole cut's shard: the same for whoever cuts the same segments."""
    shards: tuple[Shard | None, ...]
    """`[tasks]` what is left of the shard; None where nothing is."""
    media: Mapping[str, Media | FrameSource]
    """Of its videos: where each is; or opened already, for many units."""
    again: bool = False
    """Whether something of it is there, which it takes the place of."""

    @property
    def cost(self) -> tuple[float, float]:
        """What decoding it takes, to compare: seconds of video; of whole videos, their bytes.

        Seconds are those of one of `_SHARED` threads, or of the longest stretch: segments that
        follow each other without a gap are decoded by one thread.
        """
        share = self._share
        of_video: dict[str, list[tuple[float, float]]] = {}
        whole = Segments.join(self.segments)
        for (_, start, stop), video in dict(zip(whole.keys, whole.videos, strict=True)).items():
            of_video.setdefault(video, []).append((start, stop))
        seconds, longest, size = 0.0, 0.0, 0.0
        for video, spans in of_video.items():
            reached = run = 0.0
            for start, stop in sorted(spans):
                more = max(0.0, stop - max(start, reached))
                run = run + more if start < reached else more
                seconds, longest, reached = seconds + more, max(longest, run), max(reached, stop)
            if math.isinf(reached):
                size += max(0, stamp_of(self.media[video].path)[0]) * share
        return max(seconds / _SHARED, longest), size

    @property
    def size(self) -> float:
        """Segments, or what of one it is, each counted for each task that makes it."""
        return sum(map(len, self.segments)) * self._share

    @property
    def _share(self) -> float:
        return max((shard.share for shard in self.shards if shard), default=1.0)

    @property
    def segments(self) -> tuple[Sequence[Segment], ...]:
        """`[tasks]` segments that are wanted."""
        return tuple(shard.segments if shard else () for shard in self.shards)


def all_units(
    segments: Iterable[Segment],
    row_bytes: Sequence[int],
    media: Mapping[str, Media | FrameSource],
) -> list[Unit]:
    """Units of segments of which nothing is made yet; `row_bytes` are those of each task."""
    shards = shards_in(cut(segments, max(row_bytes)))
    return units_of([shards] * len(row_bytes), [shards] * len(row_bytes), media)


def units_of(
    cuts: Sequence[Sequence[Shard]],
    left: Sequence[Sequence[Shard]],
    media: Mapping[str, Media | FrameSource],
    again: Set[Key] = frozenset(),
) -> list[Unit]:
    """Units of several tasks, the longest first: then nobody is left with a long one at the end.

    Args:
        cuts: `[tasks]` the whole cut of each.
        left: `[tasks]` what is left of it; a shard keeps its number.
        media: of all videos.
        again: segments that are there and are made once more.
    """
    names = [{shard.number: shard.name for shard in cut} for cut in cuts]
    found: dict[str, list[Shard | None]] = {}
    for task, shards in enumerate(left):
        for shard in shards:
            of_tasks = found.setdefault(names[task][shard.number], [None] * len(left))
            of_tasks[task] = shard
    units = []
    for name, of_tasks in found.items():
        whole = Segments.join(shard.segments for shard in of_tasks if shard)
        of_unit = {video: media[video] for video in dict.fromkeys(whole.videos.tolist())}
        is_again = any(key in again for key in whole.keys)
        units.append(Unit(name, tuple(of_tasks), of_unit, is_again))
    return sorted(units, key=lambda unit: unit.cost, reverse=True)


def in_pieces(unit: Unit, pieces: Sequence[Piece]) -> list[Unit]:
    """A unit of one whole video as a unit a piece; itself where there is one alone."""
    if len(pieces) < 2:
        return [unit]
    return [
        replace(
            unit,
            name=f"{unit.name}.{piece.name}",
            shards=tuple(shard and piece_of(shard, piece) for shard in unit.shards),
        )
        for piece in pieces
    ]


@dataclass(frozen=True)
class Pass:
    """One decode of one video, for all its wanted segments of a unit."""

    unit: Unit
    video: str
    segments: tuple[tuple[Segment, ...], ...]
    """`[lanes]` segments that each lane wants."""

    @property
    def media(self) -> Media | FrameSource:
        """Where it is; or opened already, for many passes: then it stays open."""
        return self.unit.media[self.video]


def passes_over(unit: Unit) -> list[Pass]:
    """One pass a video of a unit, videos by name."""
    videos: dict[str, tuple[list[Segment], ...]] = {}
    for lane, segments in enumerate(unit.segments):
        for segment in segments:
            lanes = videos.setdefault(segment.video, tuple([] for _ in unit.shards))
            lanes[lane].append(segment)
    return [Pass(unit, video, tuple(map(tuple, lanes))) for video, lanes in sorted(videos.items())]

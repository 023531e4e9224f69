"""A worker's session: networks and stores, opened once, and units taken until none is left."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from egofeat import console
from egofeat.engines.board import Board
from egofeat.engines.turns import WHY, take_turns
from egofeat.errors import MediaError
from egofeat.extract.extractor import Tally, TaskTally, extract
from egofeat.extract.shards import Shard, rest_of
from egofeat.extract.task import Task
from egofeat.extract.units import Unit
from egofeat.extract.video import FrameSource
from egofeat.extract.video.files import stamp_of
from egofeat.segments import Media, Segment
from egofeat.store import Failure, ShardRows, StoreWriter


@dataclass
class Sink:
    """A store that is also told of which file a failure was."""

    writer: StoreWriter
    media: dict[str, Media | FrameSource] = field(default_factory=dict)
    """Of the videos of all units that were taken."""
    tell: Callable[[list[Failure]], None] = lambda failures: None

    @property
    def scratch(self) -> Path:
        """Where shards are written."""
        return self.writer.scratch

    def write_shard(self, name: str, rows: ShardRows) -> object:
        """Publish the rows of one shard."""
        return self.writer.write_shard(name, rows)

    def record_failures(self, failures: list[Failure]) -> None:
        """Note what cannot be read, as it stands there now."""
        files = {one.video: stamp_of(self.media[one.video].path) for one in failures}
        self.writer.record_failures([replace(one, file=files[one.video]) for one in failures])
        self.tell(failures)


@dataclass(frozen=True)
class Session:
    """What one worker does: it takes units that nobody has, until all are done."""

    board: Board
    tasks: Sequence[Task]
    sinks: Sequence[Sink]
    """`[tasks]` where features go."""
    decoder: str
    workers: int
    """Decoding threads."""

    def work(
        self,
        units: Mapping[str, Callable[[], Unit]],
        progress: console.Advance,
        decoded: Callable[[int], None] = lambda frames: None,
        finished: Callable[[float], None] = lambda segments: None,
    ) -> Iterator[Tally]:
        """Make the units, the first ones first; yields what was done, now and then.

        Args:
            units: name to what gives the unit.
            progress: see `extract`.
            decoded: told how many more frames were decoded.
            finished: told how many of the segments are done for good, with their unit.
        """

        def done(unit: Unit) -> None:
            self.board.done(unit.name)
            finished(unit.size)

        def make(names: Iterator[str]) -> Tally:
            return extract(
                self._fresh(units[name]() for name in names),
                self.tasks,
                decoder=self.decoder,
                workers=self.workers,
                progress=progress,
                decoded=decoded,
                done=done,
            )

        def give_up(name: str) -> None:
            unit = units[name]()
            self._give_up(unit)
            progress(unit.size)
            finished(unit.size)

        return take_turns(self.board, units, make, give_up)

    def _fresh(self, units: Iterable[Unit]) -> Iterator[Unit]:
        """Units without what others have published of them since they were planned."""
        for unit in units:
            left = unit
            if not unit.again:
                shards = zip(unit.shards, self.sinks, strict=True)
                left = replace(unit, shards=tuple(_rest(shard, sink) for shard, sink in shards))
            for sink in self.sinks:
                sink.media |= unit.media
            if any(left.shards):
                yield left
            else:
                self.board.done(unit.name)

    def _give_up(self, unit: Unit) -> None:
        for shard, sink in zip(unit.shards, self.sinks, strict=True):
            sink.media |= unit.media
            if shard:
                sink.record_failures([_failure(one) for one in shard.segments])


def no_tally(tasks: int) -> Tally:
    """What was done before anything was."""
    return Tally(0, 0.0, (TaskTally(0, 0, 0),) * tasks)


def both(one: Tally, other: Tally) -> Tally:
    """What was done in two."""
    tasks = (
        TaskTally(a.extracted + b.extracted, a.frames + b.frames, a.views + b.views)
        for a, b in zip(one.tasks, other.tasks, strict=True)
    )
    return Tally(one.decoded + other.decoded, one.seconds + other.seconds, tuple(tasks))


def _rest(shard: Shard | None, sink: Sink) -> Shard | None:
    """What is left of a shard now."""
    return shard and rest_of(shard, sink.writer.published(shard.number))


def _failure(segment: Segment) -> Failure:
    span = (segment.start, segment.stop)
    return Failure(segment.id, segment.video, *span, WHY, MediaError.cause)

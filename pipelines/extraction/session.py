"""A worker's session: networks and stores, opened once, and units taken until none is left."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from egofeat import console
from egofeat.engines.board import Board
from egofeat.engines.turns import WHY, take_turns
from egofeat.errors import MediaError
from egofeat.extract.extractor import Tally, TaskTally, extract
from egofeat.extract.pieces.sink import StoreSink
from egofeat.extract.task import Task
from egofeat.extract.units import Unit
from egofeat.segments import Segment
from egofeat.store import Failure


@dataclass(frozen=True)
class Session:
    """What one worker does: it takes units that nobody has, until all are done."""

    board: Board
    tasks: Sequence[Task]
    sinks: Sequence[StoreSink]
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
            tally = extract(
                self._fresh(units[name]() for name in names),
                self.tasks,
                decoder=self.decoder,
                workers=self.workers,
                progress=progress,
                decoded=decoded,
                done=done,
            )
            pairs = zip(tally.tasks, self.sinks, strict=True)
            tasks = (replace(a, extracted=a.extracted + s.take_joined()) for a, s in pairs)
            return replace(tally, tasks=tuple(tasks))

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
            for shard, sink in zip(unit.shards, self.sinks, strict=True):
                sink.expect(unit.media, shard)
            if not unit.again:
                pairs = zip(unit.shards, self.sinks, strict=True)
                left = replace(unit, shards=tuple(s and sink.rest(s) for s, sink in pairs))
            if any(left.shards):
                yield left
            else:
                self.board.done(unit.name)

    def _give_up(self, unit: Unit) -> None:
        for shard, sink in zip(unit.shards, self.sinks, strict=True):
            sink.expect(unit.media, shard)
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


def _failure(segment: Segment) -> Failure:
    span = (segment.start, segment.stop)
    return Failure(segment.id, segment.video, *span, WHY, MediaError.cause)

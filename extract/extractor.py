"""The one loop of stage one: decoding, the network and the disk, all three at once.

Threads decode; this thread has the networks run over batches of one fixed shape that cross
segments and videos (the last is padded), so a feature never depends on its neighbours: on a GPU
one after the other, on a processor as many as it has cores. One more thread writes shards. Several
networks share one decode.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from egofeat import console
from egofeat.extract.assembly import Assembly
from egofeat.extract.batches.abreast import Threads, side_by_side
from egofeat.extract.batches.running import Batches
from egofeat.extract.decoding.events import (
    Begun,
    Decoded,
    Event,
    Failed,
    Filled,
    Lane,
    Lost,
    Opened,
)
from egofeat.extract.decoding.together import decode_all
from egofeat.extract.shards import Shard
from egofeat.extract.task import Sink, Task
from egofeat.extract.units import Unit
from egofeat.store import ShardRows

WAITING_FRAMES = 64
"""Prepared frames of whole batches that wait for the network: 13 MB at 256 pixels."""


@dataclass(frozen=True)
class TaskTally:
    """What one task did."""

    extracted: int
    """Segments."""
    frames: int
    """Different frames that it took; those that another task took too are counted in each."""
    views: int
    """Different views run through the network, each crop of one counted."""


@dataclass(frozen=True)
class Tally:
    """What an extraction did."""

    decoded: int
    """Frames decoded, for however many tasks."""
    seconds: float
    tasks: tuple[TaskTally, ...]


def extract(
    units: Iterable[Unit],
    tasks: Sequence[Task],
    *,
    decoder: str = "pyav",
    workers: int = 1,
    progress: console.Advance = lambda units, steps=0: None,
    decoded: Callable[[int], None] = lambda frames: None,
    done: Callable[[Unit], None] = lambda unit: None,
) -> Tally:
    """Decode every unit once, run every network, publish every shard.

    Args:
        units: what is made, in order, each asked for when a decoding thread has nothing else to do.
        tasks: who makes it, as many as a unit has shards.
        decoder: one of `DECODERS`.
        workers: decoding threads.
        progress: told how many more segments are settled, or which part of one, each counted for
            each task; and how many windows.
        decoded: told how many more frames were decoded.
        done: told a unit of which all is on the disk, by one of several threads.

    What is whole when it is interrupted, or ends with an error, is published before that is raised.
    """
    began = time.perf_counter()
    with ThreadPoolExecutor(max_workers=1) as disk, side_by_side(tasks) as threads:
        ledger = _Ledger(done)
        under_way = [_TaskUnderWay(task, threads, disk, progress, ledger.settle) for task in tasks]
        with decode_all(
            units,
            [Lane(task.recipe.plan, task.recipe.transform) for task in tasks],
            [task.filling for task in under_way],
            decoder=decoder,
            workers=workers,
            waiting_frames=max(WAITING_FRAMES, *(2 * task.frames_a_batch for task in under_way)),
            turns=threads is None and tasks[0].backbone.device.type == "cpu",
        ) as events:
            try:
                frames = _take_all(events, under_way, ledger, decoded)
                tallies = tuple(task.finish() for task in under_way)
            except BaseException:
                for task in under_way:
                    task.save()
                raise
            finally:
                for task in under_way:
                    task.end()
    return Tally(frames, time.perf_counter() - began, tallies)


def _take_all(
    events: Iterable[Event],
    under_way: Sequence["_TaskUnderWay"],
    ledger: "_Ledger",
    decoded: Callable[[int], None],
) -> int:
    """Give each task what is its; returns the number of frames that were decoded."""
    frames = 0
    for event in events:
        if isinstance(event, Begun):
            if ledger.open(event.unit):
                for task, shard in zip(under_way, event.unit.shards, strict=True):
                    task.expect(shard)
        elif isinstance(event, Decoded):
            frames += event.frames
            decoded(event.frames)
            for task, of_lane in zip(under_way, event.by_lane, strict=True):
                task.frames += of_lane
        else:
            under_way[event.lane].take(event)
    return frames


class _Ledger:
    """Units under way, and what of each is not on the disk yet."""

    def __init__(self, done: Callable[[Unit], None]) -> None:
        self._done = done
        self._unit_of: dict[int, Unit] = {}
        """Each shard, itself, to its unit: of another cut, another has its number or its name."""
        self._missing: dict[str, int] = {}
        """Name of a unit to its shards that are not settled."""
        self._lock = threading.Lock()

    def open(self, unit: Unit) -> bool:
        """Whether it was not under way, and is from now on."""
        if unit.name in self._missing:
            return False
        shards = [shard for shard in unit.shards if shard]
        self._unit_of |= {id(shard): unit for shard in shards}
        self._missing[unit.name] = len(shards)
        return True

    def settle(self, shard: Shard) -> None:
        """A shard is published, or has nothing to publish."""
        unit = self._unit_of.get(id(shard))
        if unit is None:
            return  # what was whole of one, at the end before its time
        with self._lock:
            self._missing[unit.name] -= 1
            over = self._missing[unit.name] == 0
        if over:
            self._done(unit)


class _TaskUnderWay:
    """One task's part of the loop: from what was decoded to what is on disk."""

    def __init__(
        self,
        task: Task,
        threads: Threads | None,
        disk: ThreadPoolExecutor,
        progress: console.Advance,
        settled: Callable[[Shard], None],
    ) -> None:
        self._publisher = Publisher(disk, task.sink, settled)
        self._assembly = Assembly(
            task.recipe,
            task.persons.boxes if task.persons else None,
            task.sink.scratch,
            self._publisher.publish,
            task.sink.record_failures,
            progress,
            cache(lambda: task.backbone.check_on_noise(*task.view_sides)),
        )
        self._batches = Batches(task, self._assembly.claim, threads)
        self.filling = self._batches.filling
        self.frames_a_batch = self._batches.frames_a_batch
        self.frames = 0

    def expect(self, shard: Shard | None) -> None:
        """Make this shard of a unit that is begun; None: there is nothing to make."""
        if shard:
            self._assembly.expect(shard)

    def take(self, event: Opened | Failed | Lost | Filled) -> None:
        """Go on with what was decoded."""
        match event:
            case Opened(_, plans, stamp):
                for segment, frame_plan in plans:
                    self._assembly.begin(segment, frame_plan, stamp)
            case Failed(_, segments, reason, cause):
                self._assembly.fail(segments, reason, cause)
            case Lost(_, video, views, reason):
                self._assembly.lose(video, views, reason)
            case Filled(_, batch):
                for claims, features in self._batches.run(batch):
                    self._assembly.add(claims, features)

    def finish(self) -> TaskTally:
        """Run what waits for a batch, and wait until every shard is on disk."""
        for claims, features in self._batches.finish():
            self._assembly.add(claims, features)
        self._publisher.finish()
        return TaskTally(self._assembly.completed, self.frames, self._batches.views)

    def save(self) -> None:
        """Keep what is whole, when the extraction ends before its time; what is under way is lost.

        Another error than the first is not told.
        """
        self._publisher.wait()
        self._assembly.publish_whole()
        self._publisher.wait()

    def end(self) -> None:
        """Let go of the network and of the memory of batches."""
        self._batches.end()


class Publisher:
    """Writes shards in a thread of its own; at most two wait.

    Args:
        disk: the thread.
        sink: where they go.
        settled: told each that is there.
    """

    def __init__(
        self, disk: ThreadPoolExecutor, sink: Sink, settled: Callable[[Shard], None]
    ) -> None:
        self._disk = disk
        self._sink = sink
        self._settled = settled
        self._writing: deque[Future[object]] = deque()

    def publish(self, shard: Shard, rows: ShardRows | None) -> None:
        """Have a shard written, if it has rows; an error of an earlier one is raised here."""
        while len(self._writing) >= 2:
            self._writing.popleft().result()
        self._writing.append(self._disk.submit(self._write, shard, rows))

    def _write(self, shard: Shard, rows: ShardRows | None) -> None:
        if rows is not None:
            self._sink.write_shard(shard.name, rows)
        self._settled(shard)

    def finish(self) -> None:
        """Wait until every shard is on disk."""
        while self._writing:
            self._writing.popleft().result()

    def wait(self) -> None:
        """Wait until nothing is being written any more, be it on disk or not."""
        while self._writing:
            with suppress(Exception):
                self._writing.popleft().result()

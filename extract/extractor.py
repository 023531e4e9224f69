"""The one loop of stage one: decoding, the network and the disk, all three at once.

Threads decode; this thread runs the networks over batches of one fixed shape that cross
segments and videos (the last is padded), so a feature never depends on its neighbours;
one more thread writes shards. Several networks share one decode.
"""

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from egofeat import console
from egofeat.extract.assembly import Assembly
from egofeat.extract.batches import Batches
from egofeat.extract.decoding import (
    Decoded,
    Failed,
    Lane,
    Lost,
    Pass,
    Pixels,
    Planned,
    decode_all,
)
from egofeat.extract.task import Sink, Task
from egofeat.store import ShardRows

WAITING_FRAMES = 64
"""Prepared frames that wait for the network: 13 MB at 256 pixels."""


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
    passes: Sequence[Pass],
    tasks: Sequence[Task],
    *,
    decoder: str = "pyav",
    workers: int = 1,
    progress: console.Advance = lambda units, steps=0: None,
) -> Tally:
    """Decode every pass once, run every network, publish every shard.

    Args:
        passes: what is decoded, in order; their lanes are the tasks.
        tasks: what is done with it.
        decoder: one of `DECODERS`.
        workers: decoding threads.
        progress: told how many more segments are settled, or which part of one, each counted for
            each task; and how many windows.

    What is whole when it is interrupted, or ends with an error, is published before that is raised.
    """
    began = time.perf_counter()
    reading = decode_all(
        passes,
        [Lane(task.recipe.plan, task.recipe.transform) for task in tasks],
        decoder=decoder,
        workers=workers,
        waiting_frames=max(WAITING_FRAMES, *(2 * task.frames_a_batch for task in tasks)),
        turns=tasks[0].backbone.device.type == "cpu",
    )
    decoded = 0
    with ThreadPoolExecutor(max_workers=1) as disk, reading as events:
        under_way = [_TaskUnderWay(task, disk, progress) for task in tasks]
        try:
            for event in events:
                if isinstance(event, Decoded):
                    decoded += event.frames
                    for task, frames in zip(under_way, event.by_lane, strict=True):
                        task.frames += frames
                else:
                    under_way[event.lane].take(event)
            tallies = tuple(task.finish() for task in under_way)
        except BaseException:
            for task in under_way:
                task.save()
            raise
    return Tally(decoded, time.perf_counter() - began, tallies)


class _TaskUnderWay:
    """One task's part of the loop: from what was decoded to what is on disk."""

    def __init__(self, task: Task, disk: ThreadPoolExecutor, progress: console.Advance) -> None:
        self._publisher = Publisher(disk, task.sink)
        self._assembly = Assembly(
            task.shards,
            task.recipe.dtype,
            task.recipe.flat,
            task.persons.boxes if task.persons else None,
            self._publisher.publish,
            task.sink.record_failures,
            progress,
        )
        self._batches = Batches(task, self._assembly.boxes_in)
        self.frames = 0

    def take(self, event: Planned | Failed | Lost | Pixels) -> None:
        """Go on with what was decoded."""
        match event:
            case Planned(_, plans, stamp):
                for segment, frame_plan in plans:
                    self._assembly.begin(segment, frame_plan, stamp)
            case Failed(_, segments, reason, cause):
                self._assembly.fail(segments, reason, cause)
            case Lost(_, video, views, reason):
                self._assembly.lose(video, views, reason)
            case Pixels(_, video, view, frames_FKHWC):
                for key, features in self._batches.add((video, view), frames_FKHWC):
                    self._assembly.add(*key, features)

    def finish(self) -> TaskTally:
        """Run what waits for a batch, and wait until every shard is on disk."""
        for key, features in self._batches.finish():
            self._assembly.add(*key, features)
        self._publisher.finish()
        return TaskTally(self._assembly.completed, self.frames, self._batches.views)

    def save(self) -> None:
        """Keep what is whole, when the extraction ends before its time; what is under way is lost.

        Another error than the first is not told.
        """
        self._publisher.wait()
        self._assembly.publish_whole()
        self._publisher.wait()


class Publisher:
    """Writes shards in a thread of its own; at most two wait."""

    def __init__(self, disk: ThreadPoolExecutor, sink: Sink) -> None:
        self._disk = disk
        self._sink = sink
        self._writing: deque[Future[object]] = deque()

    def publish(self, name: str, rows: ShardRows) -> None:
        """Have a shard written; an error of an earlier one is raised here."""
        while len(self._writing) >= 2:
            self._writing.popleft().result()
        self._writing.append(self._disk.submit(self._sink.write_shard, name, rows))

    def finish(self) -> None:
        """Wait until every shard is on disk."""
        while self._writing:
            self._writing.popleft().result()

    def wait(self) -> None:
        """Wait until nothing is being written any more, be it on disk or not."""
        while self._writing:
            with suppress(Exception):
                self._writing.popleft().result()

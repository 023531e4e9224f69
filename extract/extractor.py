"""The one loop of stage one: decoding, the network and the disk, all three at once.

Threads decode; this thread runs the networks over batches of one fixed shape that cross
segments and videos (the last is padded), so a feature never depends on its neighbours;
one more thread writes shards. Several networks share one decode.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat import console
from egofeat.device import Room
from egofeat.extract.assembly import Assembly, Features
from egofeat.extract.backbones import Backbone
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
from egofeat.extract.roi import Persons
from egofeat.extract.sampling import Plan, View
from egofeat.extract.shards import Shard
from egofeat.extract.transforms import Transform
from egofeat.store import Failure, ShardRows

WAITING_FRAMES = 64
"""Prepared frames that wait for the network: 13 MB at 256 pixels."""

ViewKey = tuple[str, View]
"""Video and frames of a view."""


class Sink(Protocol):
    """Where features and failures go: a store, or memory."""

    def write_shard(self, name: str, rows: ShardRows) -> object:
        """Keep the rows of one shard."""

    def record_failures(self, failures: list[Failure]) -> None:
        """Keep segments that could not be read, and why."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One backbone's part of an extraction."""

    backbone: Backbone
    plan: Plan
    """Which frames of a segment are taken."""
    transform: Transform
    shards: Sequence[Shard]
    """How the segments are published together."""
    dtype: str
    """Of the features as kept, `float16` or `float32`."""
    sink: Sink
    batch_size: int
    """Views that the network runs at once, or fewer where there is no room for so many; it changes
    nothing beyond rounding."""
    persons: Persons | None = None
    """Of a plan by boxes: whose features are kept."""

    @property
    def frames_a_batch(self) -> int:
        """Prepared frames of a whole batch, each crop of one counted."""
        return self.batch_size * self.plan.view_frames * self.transform.crops


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
        [Lane(task.plan, task.transform) for task in tasks],
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
            task.dtype,
            task.plan.flat,
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


class Batches:
    """Views in, features out, through batches of one fixed shape for each size of frames.

    Two batches of views wait at most, whatever sizes they have: then the size that waits longest
    is run, padded. One batch is always under way on a GPU: what it gives is copied back beside
    the next one's work, and taken only when that has been handed to the device. Where the memory
    of the device runs out, batches are halved.

    Args:
        task: what is done with views.
        boxes_in: of persons, the boxes `[n, 4]` that are cut out of the maps of a view.
    """

    def __init__(self, task: Task, boxes_in: Callable[[str, View], NDArray[np.float32]]) -> None:
        self._backbone = task.backbone
        self._device = task.backbone.device
        self._transform = task.transform
        self._persons = task.persons
        self._room = Room(self._device, task.batch_size, console.note)
        self._is_clip = task.backbone.spec.clip is not None
        motion = task.transform.motion
        self._move = motion.on_device(self._device) if motion else None
        self._waiting: dict[tuple[int, ...], list[tuple[ViewKey, NDArray[np.generic]]]] = {}
        """Shape of a view to those that wait to fill a batch."""
        self._boxes_in = boxes_in
        self._under_way = _UnderWay([], {}, [], None)
        self.views = 0

    def add(
        self, key: ViewKey, frames_FKHWC: NDArray[np.generic]
    ) -> Iterator[tuple[ViewKey, Features]]:
        """Take one prepared view; yields the features that are ready by now."""
        self.views += frames_FKHWC.shape[1]
        waiting = self._waiting.setdefault(frames_FKHWC.shape, [])
        waiting.append((key, frames_FKHWC))
        if len(waiting) >= self._room.size:
            yield from self._run(frames_FKHWC.shape)
        elif sum(map(len, self._waiting.values())) > 2 * self._room.size:
            yield from self._run(next(iter(self._waiting)))

    def finish(self) -> Iterator[tuple[ViewKey, Features]]:
        """Yield the features of every view that was added and has not come out."""
        for shape in list(self._waiting):
            yield from self._run(shape)
        yield from self._under_way.view_by_view()

    def _run(self, shape: tuple[int, ...]) -> Iterator[tuple[ViewKey, Features]]:
        left = self._waiting.pop(shape)
        while left:
            size = self._room.size
            keys, views = zip(*left[:size], strict=True)
            launched = self._room.run(size, partial(self._launch, keys, views, size))
            if launched is not None:
                left = left[size:]
                ready, self._under_way = self._under_way, launched
                yield from ready.view_by_view()

    def _launch(
        self, keys: Sequence[ViewKey], views: Sequence[NDArray[np.generic]], size: int
    ) -> "_UnderWay":
        """Hand a batch of `size` to the device, padded, without waiting for what it gives."""
        padding = [np.zeros_like(views[0])] * (size - len(views))
        views_NFKHWC = self._to_device(torch.from_numpy(np.stack([*views, *padding])))
        if self._persons is None:
            outputs = self._outputs(views_NFKHWC)
            counts = [self._transform.crops] * len(keys)
        else:
            # What they are is sent ahead: a copy after the network would wait for it.
            boxes = [torch.from_numpy(self._boxes_in(*key)) for key in keys]
            height, width = views_NFKHWC.shape[3:5]
            align = self._persons.align
            regions = self._to_device(align.regions((height, width), boxes))
            pooled = align.pool(self._outputs(views_NFKHWC), regions)
            outputs = {tap: pooled[tap] for tap in self._persons.taps}
            counts = [len(of_view) for of_view in boxes]
        if self._device.type != "cuda":
            return _UnderWay(keys, outputs, counts, None)
        outputs = {tap: out.to("cpu", non_blocking=True) for tap, out in outputs.items()}
        # Recorded on the current device, which `Room.run` has made the network's.
        done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        done.record()
        return _UnderWay(keys, outputs, counts, done)

    def _to_device(self, values: Tensor) -> Tensor:
        """Only from pinned memory, and back into it, do copies not hold up this thread."""
        if self._device.type != "cuda":
            return values
        return values.pin_memory().to(self._device, non_blocking=True)

    def _outputs(self, views_NFKHWC: Tensor) -> dict[str, Tensor]:
        """What is kept of each crop of each view by itself, `[N × crops, …]`."""
        if self._move:
            views_NFKHWC = self._move(views_NFKHWC)
        clips = views_NFKHWC.transpose(1, 2).flatten(0, 1)  # […, F, H, W, C], F 1 of images
        batch = self._transform.normalise(clips if self._is_clip else clips[:, 0])
        return self._transform.kept(self._backbone(batch))


@dataclass(frozen=True)
class _UnderWay:
    """A batch that the device has; its features are on the host once `done` has passed."""

    keys: Sequence[ViewKey]
    outputs: dict[str, Tensor]
    counts: Sequence[int]
    """Rows of the outputs that each view has: its crops, or the persons in it."""
    done: torch.cuda.Event | None

    def view_by_view(self) -> Iterator[tuple[ViewKey, Features]]:
        if self.done:
            self.done.synchronize()
        arrays = {tap: output.numpy() for tap, output in self.outputs.items()}
        first = 0
        for key, count in zip(self.keys, self.counts, strict=True):
            yield key, {tap: array[first : first + count] for tap, array in arrays.items()}
            first += count


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

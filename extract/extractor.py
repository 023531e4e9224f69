"""The one loop of stage one: decoding, the network and the disk, all three at once.

Threads decode; this thread runs the network over batches of one fixed shape that cross
segments and videos (the last is padded), so a feature never depends on its neighbours;
one more thread writes shards.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat.extract.assembly import Assembly, Features
from egofeat.extract.backbones import Backbone
from egofeat.extract.decoding import Failed, Pass, Pixels, Planned, decode_all
from egofeat.extract.sampling import Uniform
from egofeat.extract.shards import Shard
from egofeat.extract.transforms import Transform
from egofeat.store import Failure, ShardRows

WAITING_FRAMES = 64
"""Prepared frames that wait for the network: 13 MB at 256 pixels."""

FrameKey = tuple[str, int]
"""Video and index of a frame."""


class Sink(Protocol):
    """Where features and failures go: a store, or memory."""

    def write_shard(self, name: str, rows: ShardRows) -> object:
        """Keep the rows of one shard."""

    def record_failures(self, failures: list[Failure]) -> None:
        """Keep segments that could not be read, and why."""


@dataclass(frozen=True, kw_only=True)
class Machinery:
    """How the work is done; none of it changes the numbers beyond rounding."""

    batch_size: int
    workers: int
    decoder: str = "pyav"


@dataclass(frozen=True)
class Tally:
    """What an extraction did."""

    extracted: int
    frames: int
    """Different frames decoded and run through the network."""
    seconds: float

    @property
    def frames_per_second(self) -> float:
        """Frames through the whole road a second, 0 where nothing was done."""
        return self.frames / self.seconds if self.frames else 0.0


def extract(
    passes: Sequence[Pass],
    shards: Sequence[Shard],
    *,
    backbone: Backbone,
    plan: Uniform,
    transform: Transform,
    dtype: str,
    sink: Sink,
    machinery: Machinery,
    progress: Callable[[int], None] = lambda _: None,
) -> Tally:
    """Decode every pass, run the network, publish every shard.

    Args:
        passes: what is decoded, in order.
        shards: how the segments of the passes are published together.
        backbone: frozen network of images.
        plan: which frames of a segment are taken.
        transform: decoded frame to network input.
        dtype: of the features as kept, `float16` or `float32`.
        sink: takes shards and failures.
        machinery: batch size, threads, decoder.
        progress: told how many more segments are settled.
    """
    began = time.perf_counter()
    batches = Batches(backbone, transform, machinery.batch_size)
    events = decode_all(
        passes,
        plan,
        transform,
        decoder=machinery.decoder,
        workers=machinery.workers,
        waiting_frames=max(WAITING_FRAMES, 2 * machinery.batch_size),
        turns=backbone.device.type == "cpu",
    )
    with ThreadPoolExecutor(max_workers=1) as disk, closing(events):
        publisher = Publisher(disk, sink)
        assembly = Assembly(shards, dtype, publisher.publish, sink.record_failures, progress)
        for event in events:
            match event:
                case Planned(plans):
                    for segment, frame_plan in plans:
                        assembly.begin(segment, frame_plan)
                case Failed(segments, reason):
                    assembly.fail(segments, reason)
                case Pixels(video, index, frame_HWC):
                    for key, features in batches.add((video, index), frame_HWC):
                        assembly.add(*key, features)
        for key, features in batches.finish():
            assembly.add(*key, features)
        publisher.finish()
    seconds = time.perf_counter() - began
    return Tally(assembly.completed, batches.frames, seconds)


class Batches:
    """Frames in, features out, through batches of one fixed shape.

    One batch is always under way on a GPU: what it gives is copied back beside the next
    one's work, and taken only when that has been handed to the device.
    """

    def __init__(self, backbone: Backbone, transform: Transform, batch_size: int) -> None:
        self._backbone = backbone
        self._transform = transform
        self._batch_size = batch_size
        self._keys: list[FrameKey] = []
        self._frames: list[NDArray[np.uint8]] = []
        self._under_way = _UnderWay([], {}, None)
        self.frames = 0

    def add(
        self, key: FrameKey, frame_HWC: NDArray[np.uint8]
    ) -> Iterator[tuple[FrameKey, Features]]:
        """Take one prepared frame; yields the features that are ready by now."""
        self.frames += 1
        self._keys.append(key)
        self._frames.append(frame_HWC)
        if len(self._keys) == self._batch_size:
            yield from self._run()

    def finish(self) -> Iterator[tuple[FrameKey, Features]]:
        """Yield the features of every frame that was added and has not come out."""
        if self._keys:
            padding = [np.zeros_like(self._frames[0])] * (self._batch_size - len(self._keys))
            self._frames += padding
            yield from self._run()
        yield from self._under_way.frame_by_frame()

    def _run(self) -> Iterator[tuple[FrameKey, Features]]:
        frames_NHWC = torch.from_numpy(np.stack(self._frames))
        done = None
        if self._backbone.device.type == "cuda":
            # Only from pinned memory, and back into it, do copies not hold up this thread.
            frames_NHWC = frames_NHWC.pin_memory().to(self._backbone.device, non_blocking=True)
        outputs = self._backbone(self._transform.normalise(frames_NHWC))
        if self._backbone.device.type == "cuda":
            outputs = {tap: out.to("cpu", non_blocking=True) for tap, out in outputs.items()}
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record()
        ready, self._under_way = self._under_way, _UnderWay(self._keys, outputs, done)
        self._keys, self._frames = [], []
        yield from ready.frame_by_frame()


@dataclass(frozen=True)
class _UnderWay:
    """A batch that the device has; its features are on the host once `done` has passed."""

    keys: Sequence[FrameKey]
    outputs: dict[str, Tensor]
    done: torch.cuda.Event | None

    def frame_by_frame(self) -> Iterator[tuple[FrameKey, Features]]:
        if self.done:
            self.done.synchronize()
        arrays = {tap: output.numpy() for tap, output in self.outputs.items()}
        for place, key in enumerate(self.keys):
            yield key, {tap: array[place] for tap, array in arrays.items()}


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

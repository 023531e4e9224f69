"""Videos to prepared frames, by several threads, each with one video at a time.

One pass over a video serves all its segments: a frame that several of them want is
decoded, resized and sent once. What cannot be read becomes a `Failed` for exactly the
segments that needed it, and the rest goes on.
"""

import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from egofeat.errors import MediaError
from egofeat.extract.handover import Handover
from egofeat.extract.sampling import FramePlan, Uniform
from egofeat.extract.transforms import Transform
from egofeat.extract.video import open_video
from egofeat.segments import Media, Segment


@dataclass(frozen=True)
class Pass:
    """One decode of one video, for all its wanted segments."""

    video: str
    media: Media
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Planned:
    """A video was opened: the frames that each readable segment will be made of."""

    plans: tuple[tuple[Segment, FramePlan], ...]


@dataclass(frozen=True)
class Pixels:
    """One prepared frame, uint8 `[size, size, 3]`."""

    video: str
    index: int
    frame_HWC: NDArray[np.uint8]


@dataclass(frozen=True)
class Failed:
    """Segments that cannot be read, for one reason."""

    segments: tuple[Segment, ...]
    reason: str


Event = Planned | Pixels | Failed


def decode(work: Pass, plan: Uniform, transform: Transform, decoder: str) -> Iterator[Event]:
    """Read one video: its plans first, then each wanted frame once, in order of time."""
    try:
        source = open_video(work.media, decoder)
    except MediaError as error:
        yield Failed(work.segments, str(error))
        return
    with source:
        planned = []
        for segment in work.segments:
            try:
                frames = plan.plan(segment.start, segment.stop, source.times, source.stop)
            except MediaError as error:
                yield Failed((segment,), f"{work.video}: {error}")
            else:
                planned.append((segment, frames))
        yield Planned(tuple(planned))
        reached = -1
        while wanted := _wanted_after(reached, planned):
            try:
                for index, frame in source.scan(wanted):
                    yield Pixels(work.video, index, transform.prepare(frame))
                    reached = index
            except MediaError as error:
                stuck = next(index for index in wanted if index > reached)
                lost = tuple(s for s, frames in planned if stuck in frames.indices)
                planned = [(s, frames) for s, frames in planned if stuck not in frames.indices]
                yield Failed(lost, str(error))


def decode_all(
    passes: Sequence[Pass],
    plan: Uniform,
    transform: Transform,
    *,
    decoder: str,
    workers: int,
    waiting_frames: int,
    turns: bool,
) -> Generator[Event]:
    """Decode many videos in `workers` threads; events of one video stay in order.

    At most `waiting_frames` prepared frames wait, and as many are in the consumer's hands,
    however long the videos are; `turns` has the threads rest while it works. Closing the
    generator stops the threads.
    """
    handover: Handover[Event | BaseException] = Handover(workers, waiting_frames, turns=turns)
    remaining = iter(passes)
    lock = threading.Lock()

    def next_pass() -> Pass | None:
        with lock:
            return next(remaining, None)

    def work() -> None:
        torch.set_num_threads(1)  # a resize is too small to share out
        try:
            while task := next_pass():
                for event in decode(task, plan, transform, decoder):
                    if not handover.put(event):
                        return
        except BaseException as error:  # a defect: raised again where the caller can see it
            handover.put(error)
        finally:
            handover.finish()

    network_threads = torch.get_num_threads()
    threads = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        for event in handover:
            if isinstance(event, BaseException):
                raise event
            yield event
    finally:
        handover.close()
        for thread in threads:
            thread.join()
        # What a thread sets for itself is also what threads begun later start from.
        torch.set_num_threads(network_threads)


def passes_over(segments: Sequence[Segment], media: Mapping[str, Media]) -> list[Pass]:
    """Group segments into one pass a video, videos in the order of their first segment."""
    videos: dict[str, list[Segment]] = {}
    for segment in segments:
        videos.setdefault(segment.video, []).append(segment)
    return [Pass(video, media[video], tuple(members)) for video, members in videos.items()]


def _wanted_after(reached: int, planned: Sequence[tuple[Segment, FramePlan]]) -> list[int]:
    wanted = {int(index) for _, frames in planned for index in frames.indices.flat}
    return sorted(index for index in wanted if index > reached)

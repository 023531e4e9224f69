"""Videos to prepared views, by several threads, each with one video at a time.

One pass over a video serves all its segments and every network that wants it: a frame is
decoded once, resized once for all that want it alike, and a view is sent once. What
cannot be read becomes a `Failed` for exactly the segments that needed it, and the rest
goes on.
"""

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from egofeat.errors import MediaError
from egofeat.extract.sampling import FramePlan, Plan, View
from egofeat.extract.threads import in_threads
from egofeat.extract.transforms import Transform
from egofeat.extract.video import FlowSource, FrameSource, open_video
from egofeat.extract.views import ViewBuilder
from egofeat.segments import Media, Segment


@dataclass(frozen=True)
class Lane:
    """What one network takes of every segment."""

    plan: Plan
    transform: Transform


@dataclass(frozen=True)
class Pass:
    """One decode of one video, for all its wanted segments."""

    video: str
    media: Media
    segments: tuple[tuple[Segment, ...], ...]
    """`[lanes]` segments that each lane wants."""


@dataclass(frozen=True)
class Planned:
    """A video was opened: the frames that each readable segment will be made of."""

    lane: int
    plans: tuple[tuple[Segment, FramePlan], ...]


@dataclass(frozen=True)
class Pixels:
    """One prepared view, `[frames, crops, size, size, channels]`: uint8, or float32 of motion."""

    lane: int
    video: str
    view: View
    frames_FKHWC: NDArray[np.generic]


@dataclass(frozen=True)
class Failed:
    """Segments that cannot be read, for one reason."""

    lane: int
    segments: tuple[Segment, ...]
    reason: str


@dataclass(frozen=True)
class Decoded:
    """A pass is over."""

    frames: int
    """Decoded."""
    by_lane: tuple[int, ...]
    """`[lanes]` frames that each took of them."""


Event = Planned | Pixels | Failed | Decoded


def decode(work: Pass, lanes: Sequence[Lane], decoder: str) -> Iterator[Event]:
    """Read one video: its plans first, then each wanted view once, in order of its last frame."""
    try:
        source = open_video(work.media, decoder)
    except MediaError as error:
        for number, segments in enumerate(work.segments):
            if segments:
                yield Failed(number, segments, str(error))
        return
    with source:
        under_way = []
        for number, lane in enumerate(lanes):
            planned = []
            for segment in work.segments[number]:
                try:
                    _check_kind(source, lane.transform)
                    frames = lane.plan.plan(
                        segment.start,
                        segment.stop,
                        source.times,
                        source.stop,
                        lane.transform.beside,
                        source.lasting,
                    )
                except MediaError as error:
                    yield Failed(number, (segment,), f"{work.video}: {error}")
                else:
                    planned.append((segment, frames))
            yield Planned(number, tuple(planned))
            under_way.append(_LaneUnderWay(number, lane.transform, planned))
        yield from _scan(work.video, source, under_way)


def _check_kind(source: FrameSource, transform: Transform) -> None:
    wants_flow = transform.motion is not None and transform.motion.of_flow_frames
    if isinstance(source, FlowSource) and not wants_flow:
        raise MediaError(f"{source.path} holds flow and no colours: give --motion frames")
    if wants_flow and not isinstance(source, FlowSource):
        raise MediaError(
            f"{source.path} holds colours and no flow, which are images in u/ and v/: choose "
            "another --motion"
        )


class _LaneUnderWay:
    """One lane's segments of the video that is being read."""

    def __init__(
        self, number: int, transform: Transform, planned: Sequence[tuple[Segment, FramePlan]]
    ) -> None:
        self.number = number
        self.transform = transform
        self.taken = 0
        self._move = transform.motion.beside_decoder() if transform.motion else None
        self._wanting = list(planned)
        self.builder = ViewBuilder(view for _, plan in planned for view in plan.views)

    def add(
        self, index: int, frame_KHWC: NDArray[np.uint8]
    ) -> Iterator[tuple[View, NDArray[np.generic]]]:
        """Take the next prepared frame; yields views that are whole, or their motion."""
        self.taken += 1
        for view, frames_FKHWC in self.builder.add(index, frame_KHWC):
            yield view, self._move(view, frames_FKHWC) if self._move else frames_FKHWC

    def give_up(self, index: int) -> tuple[Segment, ...]:
        """Let go of the segments that want a frame which cannot be read."""
        lost, kept = [], []
        for segment, plan in self._wanting:
            if index in plan.indices:
                lost.append(segment)
            else:
                kept.append((segment, plan))
        self._wanting = kept
        self.builder.keep_only({view for _, plan in kept for view in plan.views})
        return tuple(lost)


def _scan(video: str, source: FrameSource, lanes: Sequence[_LaneUnderWay]) -> Iterator[Event]:
    reached = -1
    decoded = 0
    while wanted := sorted(set().union(*(lane.builder.wanted_after(reached) for lane in lanes))):
        try:
            for index, frame in source.scan(wanted):
                reached = index
                decoded += 1
                yield from _prepared(video, index, frame, lanes)
        except MediaError as error:
            stuck = next(index for index in wanted if index > reached)
            for lane in lanes:
                if lost := lane.give_up(stuck):
                    yield Failed(lane.number, lost, str(error))
    yield Decoded(decoded, tuple(lane.taken for lane in lanes))


def _prepared(
    video: str, index: int, frame_HWC: NDArray[np.uint8], lanes: Sequence[_LaneUnderWay]
) -> Iterator[Pixels]:
    """Prepare a frame once for all lanes that want it alike."""
    shared: dict[object, NDArray[np.uint8]] = {}
    for lane in lanes:
        if lane.builder.wants(index):
            pixels = lane.transform.pixels
            if pixels not in shared:
                shared[pixels] = lane.transform.prepare(frame_HWC)
            for view, frames in lane.add(index, shared[pixels]):
                yield Pixels(lane.number, video, view, frames)


def decode_all(
    passes: Sequence[Pass],
    lanes: Sequence[Lane],
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

    def work(one: Pass) -> Iterator[Event]:
        torch.set_num_threads(1)  # a resize is too small to share out
        yield from decode(one, lanes, decoder)

    network_threads = torch.get_num_threads()
    try:
        yield from in_threads(
            passes, work, threads=workers, waiting=waiting_frames, weigh=_frames_in, turns=turns
        )
    finally:
        # What a thread sets for itself is also what threads begun later start from.
        torch.set_num_threads(network_threads)


def _frames_in(event: Event) -> int:
    """Prepared frames that an event holds, each crop of one counted; at least 1."""
    return math.prod(event.frames_FKHWC.shape[:2]) if isinstance(event, Pixels) else 1


def passes_over(wanted: Sequence[Sequence[Segment]], media: Mapping[str, Media]) -> list[Pass]:
    """One pass a video, videos by name, for the segments `[lanes]` that each lane wants."""
    videos: dict[str, tuple[list[Segment], ...]] = {}
    for lane, segments in enumerate(wanted):
        for segment in segments:
            lanes = videos.setdefault(segment.video, tuple([] for _ in wanted))
            lanes[lane].append(segment)
    return [
        Pass(video, media[video], tuple(map(tuple, lanes)))
        for video, lanes in sorted(videos.items())
    ]

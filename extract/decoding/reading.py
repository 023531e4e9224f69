"""One video, or a stretch of it, to prepared views.

One pass over a video serves all its segments and every network that wants it: a frame is
decoded once, and resized once for all that want it alike. A long video is divided into stretches
that threads decode side by side, each from the key frame before it. What cannot be read becomes a
`Failed` for exactly the segments that needed it, or a `Lost` for the windows, and the rest goes on.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from egofeat.errors import MediaError, UnreadableMediaError
from egofeat.extract.decoding.events import Begun, Decoded, Failed, Lane, Lost, Opened, Pixels, Read
from egofeat.extract.decoding.stretches import Planned, Wanted, divide
from egofeat.extract.decoding.views import ViewBuilder
from egofeat.extract.flow import beside_decoder
from egofeat.extract.transforms import prepare
from egofeat.extract.units import Pass
from egofeat.extract.video import FlowSource, FrameSource, open_video
from egofeat.extract.video.files import stamp_of
from egofeat.recipe import FramePlan, Transform, View, Windows
from egofeat.segments import Media, Segment


@dataclass(frozen=True)
class Stretch:
    """Part of a pass, decoded by itself."""

    work: Pass
    source: FrameSource
    """Its video, opened; `again` opens it for each stretch."""
    file: tuple[int, int]
    """What stood there when it was opened."""
    wanted: tuple[Wanted, ...]
    """`[lanes]` what each takes."""


def decode(
    work: Pass | Stretch,
    lanes: Sequence[Lane],
    decoder: str,
    further: Callable[[Sequence[Stretch]], object],
) -> Iterator[Read]:
    """Read one video: its plans and its first stretch; or another stretch.

    Args:
        work: the video, or a stretch of it.
        lanes: who takes what.
        decoder: one of `DECODERS`.
        further: told the stretches after the first, for any thread.
    """
    if isinstance(work, Stretch):
        try:
            with work.source.again() as source:
                yield from _decode_stretch(work, source, lanes)
        except MediaError as error:
            yield from _all_failed(work.work.segments, error)
        return
    yield Begun(work.unit)
    try:
        file = stamp_of(work.media.path)
        with _opened(work.media, decoder) as source:
            plans, failed = [], []
            for number, lane in enumerate(lanes):
                planned, lacking = _plan(work, number, lane, source)
                plans.append(planned)
                failed += lacking
                yield Opened(number, planned, (*file, *source.counting))
            anywhere = all(lane.plan.views == 1 for lane in lanes)
            divided = divide(plans, source.times, source.entries, anywhere=anywhere)
            stretches = [Stretch(work, source, file, wanted) for wanted in divided]
            further(stretches[1:])
            yield from _decode_stretch(stretches[0], source, lanes, failed)
    except MediaError as error:
        yield from _all_failed(work.segments, error)


def _decode_stretch(
    stretch: Stretch, source: FrameSource, lanes: Sequence[Lane], failed: Sequence[Failed] = ()
) -> Iterator[Read]:
    """Each wanted view once, in order of its last frame.

    A frame that is damaged costs who wants it. Where the disk fails or the file changes while it is
    read, all segments of the pass fail, also of its other stretches: the last views, without which
    none of a stretch is made whole, are held back until that is known; and so are single segments
    that fail, which a file that is still being written may have tomorrow.

    Args:
        stretch: what is decoded.
        source: its video, for it alone.
        lanes: who takes what.
        failed: what failed before anything was decoded.
    """
    path, video = stretch.work.media.path, stretch.work.video
    told, last = list(failed), dict[int, Pixels]()
    try:
        under_way = [
            _LaneUnderWay(number, lane, wanted)
            for number, (lane, wanted) in enumerate(zip(lanes, stretch.wanted, strict=True))
        ]
        for event in _scan(video, source, under_way):
            if isinstance(event, Pixels):
                before, last[event.lane] = last.get(event.lane), event
                if before:
                    yield before
            elif isinstance(event, Failed):
                told.append(event)
            else:
                yield event
        if stamp_of(path) != stretch.file:
            raise UnreadableMediaError(
                f"{path} changed while it was read: extract it again when it is complete"
            )
        yield from told
        yield from last.values()
    except MediaError as error:
        yield from _all_failed(stretch.work.segments, error)


def _all_failed(lanes: Sequence[tuple[Segment, ...]], error: MediaError) -> Iterator[Failed]:
    for number, segments in enumerate(lanes):
        if segments:
            yield Failed(number, segments, str(error), error.cause)


def _opened(media: Media | FrameSource, decoder: str) -> FrameSource | nullcontext[FrameSource]:
    return nullcontext(media) if isinstance(media, FrameSource) else open_video(media, decoder)


def _plan(
    work: Pass, number: int, lane: Lane, source: FrameSource
) -> tuple[tuple[Planned, ...], list[Failed]]:
    planned, failed = [], []
    for segment in work.segments[number]:
        try:
            _check_kind(source, lane.transform)
            frames = lane.plan.plan(
                segment.start,
                segment.stop,
                source.times,
                source.stop,
                lane.transform.neighbours,
                source.lasting,
            )
        except MediaError as error:
            failed.append(Failed(number, (segment,), f"{work.video}: {error}", error.cause))
        else:
            shard = work.unit.shards[number]
            piece = shard and shard.piece
            planned.append((segment, piece.of(frames) if piece else frames))
    return tuple(planned), failed


def _check_kind(source: FrameSource, transform: Transform) -> None:
    wants_flow = transform.motion is not None and transform.motion.of_flow_frames
    if isinstance(source, FlowSource) and not wants_flow:
        raise MediaError("it holds flow and no colours: give `motion` frames")
    if wants_flow and not isinstance(source, FlowSource):
        raise MediaError(
            "it holds colours and no flow (images in u/ and v/): choose another `motion`"
        )


class _LaneUnderWay:
    """One lane's segments of the stretch that is being read."""

    def __init__(self, number: int, lane: Lane, wanted: Wanted) -> None:
        self.number = number
        self.transform = lane.transform
        self.decoded = 0
        self._windows = isinstance(lane.plan, Windows)
        motion = lane.transform.motion
        self._move = beside_decoder(motion) if motion else None
        self._wanting = list(wanted.plans)
        self.builder = ViewBuilder(wanted.views)

    def add(self, video: str, index: int, frame_KHWC: Tensor) -> Iterator[Pixels | Failed | Lost]:
        """Take the next prepared frame; yields views that are whole, or their motion."""
        self.decoded += 1
        for view, frames in self.builder.add(index, frame_KHWC):
            if any(frame.shape != frame_KHWC.shape for frame in frames):
                yield from self._unlike(video, view)
            elif self._move:
                yield Pixels(self.number, video, view, [*self._move(view, torch.stack(frames))])
            else:
                yield Pixels(self.number, video, view, frames)

    def _unlike(self, video: str, view: View) -> Iterator[Failed | Lost]:
        reason = f"{video} changes its frame size between frames {min(view)} and {max(view)}"
        if self._windows:
            yield Lost(self.number, video, (view,), reason)
        else:
            yield from self._fail(lambda plan: view in plan.views, reason)

    def give_up(self, video: str, index: int, error: MediaError) -> Iterator[Failed | Lost]:
        """Let go of the segments, or of the windows, that want a frame which cannot be read."""
        if self._windows:
            if views := self.builder.views_of(index):
                self.builder.give_up(views)
                yield Lost(self.number, video, tuple(views), str(error))
            return
        yield from self._fail(lambda plan: index in plan.indices, str(error), error.cause)

    def _fail(
        self, lacks: Callable[[FramePlan], bool], reason: str, cause: str = MediaError.cause
    ) -> Iterator[Failed]:
        """Let go of segments, and of the views that nobody else wants."""
        lost: list[Planned] = []
        kept: list[Planned] = []
        for segment, plan in self._wanting:
            (lost if lacks(plan) else kept).append((segment, plan))
        self._wanting = kept
        still = {view for _, plan in kept for view in plan.views}
        self.builder.give_up(v for _, plan in lost for v in plan.views if v not in still)
        if lost:
            yield Failed(self.number, tuple(segment for segment, _ in lost), reason, cause)


def _scan(video: str, source: FrameSource, lanes: Sequence[_LaneUnderWay]) -> Iterator[Read]:
    """Views of one video as they become whole; raises what is not the fault of one frame."""
    reached = -1
    decoded = 0
    wanted = sorted(set().union(*(lane.builder.wanted_after(-1) for lane in lanes)))
    while wanted:
        try:
            for index, frame in source.tensors(wanted):
                reached = index
                decoded += 1
                yield from _prepared(video, index, frame, lanes)
            wanted = []
        except MediaError as error:
            if error.cause != MediaError.cause:
                raise
            stuck = next(index for index in wanted if index > reached)
            for lane in lanes:
                yield from lane.give_up(video, stuck, error)
            wanted = [
                index
                for index in wanted
                if index > stuck and any(lane.builder.wants(index) for lane in lanes)
            ]
    yield Decoded(decoded, tuple(lane.decoded for lane in lanes))


def _prepared(
    video: str, index: int, frame_HWC: Tensor, lanes: Sequence[_LaneUnderWay]
) -> Iterator[Pixels | Failed | Lost]:
    """Prepare a frame once for all lanes that want it alike."""
    shared: dict[object, Tensor] = {}
    for lane in lanes:
        if lane.builder.wants(index):
            pixels = lane.transform.pixels
            if pixels not in shared:
                shared[pixels] = prepare(lane.transform, frame_HWC)
            yield from lane.add(video, index, shared[pixels])

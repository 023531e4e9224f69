"""The ways of taking frames of a segment."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import MediaError
from egofeat.recipe.form import Count, Rate
from egofeat.recipe.moments import (
    PHASE,
    Neighbours,
    frames_at,
    inside,
    on_show,
    refuse_holes,
    with_neighbours,
)
from egofeat.recipe.plan import Asked, FramePlan, OfClips, Plan
from egofeat.recipe.steps import Stretches, of_frames

_CLOCK = 1e-6
"""Of seconds, and of frames: what rounding may take from a whole number."""
_MANY, _MANY_EACH = 100_000, 1000
"""Nominal frames of a segment: up to so many at all, or for each frame that is there, a film may
stand still; beyond, windows would fill the memory with one picture."""


@dataclass(frozen=True)
class Uniform(Plan):
    """`frames` frames, one at the centre of each of as many equal parts of the segment.

    A segment with fewer frames than that repeats frames, so every row has one shape.
    This is the sampling of the MobileNetV2 + temporal head recipe (N = 20). Each frame is a
    view of its own.
    """

    frames: Count = 20
    sampling: Literal["uniform"] = field(default="uniform", kw_only=True, repr=False)
    short: Literal["repeat"] = field(default="repeat", kw_only=True, repr=False)

    counted: ClassVar[str] = "frames"

    @property
    def view_frames(self) -> int:
        """A frame is a view."""
        return 1

    def _choose(self, asked: Asked) -> FramePlan:
        start, last, times, _, neighbours, lasting = asked
        centres = start + (np.arange(self.frames) + 0.5) * (last - start) / self.frames
        indices = frames_at(centres, times, lasting)
        views = indices[:, np.newaxis]
        if any(neighbours):
            ends = on_show(inside(np.array([start, last]), start, last), times).clip(0)
            views = with_neighbours(indices, times, neighbours, (ends[0], ends[1]), lasting)
        return FramePlan(views, times[indices])

    def stretches(
        self, steps: int, starts: NDArray[np.float64], times: NDArray[np.float64]
    ) -> Stretches:
        """See `Plan.stretches`."""
        return of_frames(starts, times)


@dataclass(frozen=True)
class Clips(OfClips):
    """`clips` clips spread over the segment, the first at its start and the last at its end.

    One clip alone stands in the middle. A clip takes `frames` frames, `stride` apart at
    `fps`; where the segment is shorter, its last frame is repeated.

    By a publisher's rule the frames are spread over the `n` frames that a clip lasts, from the
    first to the last of them, and counted in frames of the video: clip k of K begins at k / K
    (`pyslowfast`) or k / (K - 1) (`pytorchvideo`) of what is left beside one, alone at the start.
    """

    clips: Count
    frames: Count
    stride: Count
    fps: Rate
    sampling: Literal["clips"] = field(default="clips", kw_only=True, repr=False)
    short: Literal["repeat"] = field(default="repeat", kw_only=True, repr=False)
    rule: Literal["pyslowfast", "pytorchvideo"] | None = field(default=None, kw_only=True)
    """Whose test places the clips; None: as above."""

    counted: ClassVar[str] = "clips"

    def _choose(self, asked: Asked) -> FramePlan:
        start, last, times, _, neighbours, lasting = asked
        if self.rule:
            return self._as_published(asked)
        spare = max(0.0, last - start - self.seconds)
        along = np.linspace(0.0, 1.0, self.clips) if self.clips > 1 else np.array([0.5])
        begins = start + spare * along
        places = np.arange(-neighbours[0], self.frames + neighbours[1])
        offsets = (places * self.stride + PHASE) / self.fps
        wanted = inside(begins[:, np.newaxis] + offsets, start, last)
        return FramePlan(
            frames_at(wanted, times, lasting), begins + min(self.seconds, last - start) / 2
        )

    def _as_published(self, asked: Asked) -> FramePlan:
        start, last, times, _, (before, after), _ = asked
        found = np.searchsorted(times, np.array([start, last]) - _CLOCK)
        first = min(int(found[0]), len(times) - 1)
        count = max(1, int(found[1]) - first)
        length = self.seconds * count / (last - start)  # of a clip, in frames of the video
        apart = self.clips if self.rule == "pyslowfast" else max(self.clips - 1, 1)
        begins = max(0.0, count - length) * np.arange(self.clips) / apart
        ends = begins + length - 1
        if self.rule == "pytorchvideo":  # whole frames: those within [begin, begin + length)
            begins, ends = np.ceil(begins - _CLOCK), np.ceil(begins + length - _CLOCK) - 1
            ends = np.minimum(ends, count - 1)
        steps = np.arange(-before, self.frames + after) / max(1, self.frames - 1)
        places = begins[:, np.newaxis] + (ends - begins)[:, np.newaxis] * steps
        indices = first + np.clip(np.floor(places + _CLOCK), 0, count - 1).astype(np.int64)
        of_frame = (last - start) / count
        return FramePlan(indices, start + begins * of_frame + min(self.seconds, last - start) / 2)


@dataclass(frozen=True)
class Windows(OfClips):
    """Windows of `size` frames, `stride` apart at `fps`, over the whole segment.

    Each segment has as many as fit; the last is shifted back to end with the segment (Ego4D's
    rule). Of each window `frames` frames are taken, evenly spread from its first to its last;
    one alone is the middle one. Windows that want a frame in a hole of the images are `lost`, and
    fail only all together.
    """

    size: Count
    stride: Count
    fps: Rate
    frames: Count
    sampling: Literal["windows"] = field(default="windows", kw_only=True, repr=False)
    last: Literal["shift-back"] = field(default="shift-back", kw_only=True, repr=False)

    @property
    def flat(self) -> bool:
        """Always."""
        return True

    @property
    def seconds(self) -> float:
        """Seconds of a window."""
        return self.size / self.fps

    def _choose(self, asked: Asked) -> FramePlan:
        start, last, times, _, neighbours, lasting = asked
        length = max(1, round((last - start) * self.fps))
        _refuse_jumps(length, self.fps, times[(start <= times) & (times < last)])
        begins = window_starts(length, self.size, self.stride)
        wanted = start + (begins[:, np.newaxis] + self._spread(neighbours) + PHASE) / self.fps
        wanted = inside(wanted, start, last)
        indices = on_show(wanted, times, lasting)
        first = start + begins / self.fps
        stops = np.minimum(first + self.seconds, last)
        spans = np.stack([first, (first + stops) / 2, stops], axis=1)
        whole = (indices >= 0).all(axis=1)
        if not whole.any():
            refuse_holes(wanted, indices, times)
        return FramePlan(indices[whole], spans[whole], lost=spans[~whole])

    def _spread(self, neighbours: Neighbours) -> NDArray[np.int64]:
        """Frames of a window that are taken, counted from its first, with neighbours."""
        spread = np.array([(self.size - 1) // 2])
        if self.frames > 1:
            spread = np.arange(self.frames) * (self.size - 1) // (self.frames - 1)
        step = spread[-1] - spread[-2] if self.frames > 1 else 1
        before, after = (np.arange(1, number + 1) * step for number in neighbours)
        return np.concatenate([spread[0] - before[::-1], spread, spread[-1] + after])


@dataclass(frozen=True)
class KeyFrames(OfClips):
    """One clip around the moment at which each segment begins, reaching past the segment's ends.

    Of `frames` frames, `stride` apart at `fps`, the one at `frames // 2` is the frame on show at
    the moment; beyond an end of the video its outermost frame is repeated. With boxes, the times
    of a view are the clip's start, the moment and the clip's end.
    """

    frames: Count
    stride: Count
    fps: Rate
    boxes: str | None = None
    """Digest of the boxes by which each clip is stored, a row each; None: the clip is the row."""
    sampling: Literal["key-frames"] = field(default="key-frames", kw_only=True, repr=False)
    short: Literal["repeat"] = field(default="repeat", kw_only=True, repr=False)

    @property
    def flat(self) -> bool:
        """With boxes."""
        return self.boxes is not None

    def _choose(self, asked: Asked) -> FramePlan:
        start, _, times, end, neighbours, lasting = asked
        moment = frames_at(np.array([start]), times, lasting)
        if self.frames == 1:
            views = with_neighbours(moment, times, neighbours, (0, len(times) - 1), lasting)
        else:
            places = np.arange(-neighbours[0], self.frames + neighbours[1]) - self.frames // 2
            wanted = inside(start + (places * self.stride + PHASE) / self.fps, times[0], end)
            views = frames_at(wanted, times, lasting)[np.newaxis]
            views[0, neighbours[0] + self.frames // 2] = moment[0]
        return FramePlan(views, self.stretch(start)[np.newaxis] if self.flat else np.array([start]))

    def stretch(self, moment: float) -> NDArray[np.float64]:
        """Seconds `[3]` at which the clip around a moment begins, is in the middle, and ends."""
        before = self.frames // 2
        places = [-before, 0, self.frames - before] if self.frames > 1 else [0, 0, 0]
        stretch: NDArray[np.float64] = moment + np.array(places) * self.stride / self.fps
        return stretch


def _refuse_jumps(length: int, fps: float, times: NDArray[np.float64]) -> None:
    """Refuse segments of so many nominal frames of which hardly any is there: a clock jumped."""
    if length > max(_MANY, _MANY_EACH * len(times)):
        raise MediaError(
            f"its {len(times)} frames are spread over {length / fps:.0f} s, so its time stamps "
            "must jump: repair them, or give segments that leave the jump out"
        )


def window_starts(frames: int, size: int, stride: int) -> NDArray[np.int64]:
    """First frame of each window over a video of so many frames, `[windows]`.

    Ego4D's rule: a window every `stride` frames as long as it fits, and one more, shifted
    back, where frames are left over: 39 frames in windows of 32 at stride 16 give `[0, 32)`
    and `[7, 39)`. A video shorter than a window has one.
    """
    spare = max(0, frames - size)
    starts = list(range(0, spare + 1, stride))
    if spare % stride:
        starts.append(spare)
    return np.array(starts, np.int64)

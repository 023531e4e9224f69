"""Which frames of a segment are taken: pure functions of times, no video is opened.

Intervals are half-open `[start, stop)`. Another frame rate is reached by time alone: frame `n`
of the resampled video is what is shown during its nominal period.

A view is what the network sees at once: one frame of an image network, one clip of a
clip network. Motion is measured against the frames beside a view: `beside` asks for so many
before it and after it, which become part of its indices and change nothing else.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import MediaError
from egofeat.extract.moments import (
    PHASE,
    Beside,
    ending,
    frames_at,
    inside,
    is_clipped,
    on_show,
    refuse_holes,
    with_neighbours,
)

_MANY, _MANY_EACH = 100_000, 1000
"""Nominal frames of a segment: up to so many at all, or for each frame that is there, a film may
stand still; beyond, windows would fill the memory with one picture."""

View = tuple[int, ...]
"""Frame indices that the network sees at once, in the order in which it sees them."""


@dataclass(frozen=True)
class FramePlan:
    """The frames that stand for one segment."""

    indices: NDArray[np.int64]
    """Frame indices in display order, `[views, frames]`, with those beside."""
    times: NDArray[np.float64]
    """Seconds: of each view `[views]`; of a flat plan its start, centre and end, `[views, 3]`."""
    clipped: bool
    """Whether a finite stop lay beyond the end of the video and was moved to it."""
    lost: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 3)))
    """`[windows, 3]` seconds, as `times`, of windows that the images cannot make."""

    @functools.cached_property
    def views(self) -> list[View]:
        """The rows of `indices`, to be known by."""
        return [tuple(view) for view in self.indices.tolist()]


@dataclass(frozen=True)
class Uniform:
    """`frames` frames, one at the centre of each of as many equal parts of the segment.

    A segment with fewer frames than that repeats frames, so every row has one shape.
    This is the sampling of the MobileNetV2 + temporal head recipe (N = 20). Each frame is a
    view of its own.
    """

    frames: int = 20

    flat: ClassVar[bool] = False

    @property
    def views(self) -> int:
        """Views a segment."""
        return self.frames

    @property
    def view_frames(self) -> int:
        """Frames a view."""
        return 1

    def describe(self) -> dict[str, Any]:
        """The plan as it stands in a recipe."""
        return {"sampling": "uniform", "frames": self.frames, "short": "repeat"}

    def plan(
        self,
        start: float,
        stop: float,
        times: NDArray[np.float64],
        end: float,
        beside: Beside = (0, 0),
        lasting: float = math.inf,
    ) -> FramePlan:
        """Choose the frames of `[start, stop)`.

        Args:
            start: seconds, inclusive.
            stop: seconds, exclusive; infinity means the end of the video.
            times: `[n]` seconds at which each frame of the video is first shown, rising.
            end: seconds at which the last frame of the video ends.
            beside: frames before and after each view, at the view's own distance and inside the
                segment: at its ends a frame is repeated. Those of a single frame are the nearest
                that are 1/30 s away or more.
            lasting: seconds that a frame is on show at most, see `FrameSource`.

        Raises:
            MediaError: the segment begins past the end of the video, before its first frame, or
                wants a frame in a hole of the images.
        """
        last = ending(start, stop, end)
        centres = start + (np.arange(self.frames) + 0.5) * (last - start) / self.frames
        indices = frames_at(centres, times, lasting)
        views = indices[:, np.newaxis]
        if any(beside):
            ends = on_show(inside(np.array([start, last]), start, last), times).clip(0)
            views = with_neighbours(indices, times, beside, (ends[0], ends[1]), lasting)
        return FramePlan(views, times[indices], is_clipped(stop, end))


@dataclass(frozen=True)
class Clips:
    """`clips` clips spread over the segment, the first at its start and the last at its end.

    One clip alone stands in the middle. A clip takes `frames` frames, `stride` apart at
    `fps`; where the segment is shorter, its last frame is repeated.
    """

    clips: int
    frames: int
    stride: int
    fps: float

    flat: ClassVar[bool] = False

    @property
    def views(self) -> int:
        """Views a segment."""
        return self.clips

    @property
    def view_frames(self) -> int:
        """Frames a view."""
        return self.frames

    def describe(self) -> dict[str, Any]:
        """The plan as it stands in a recipe."""
        return {"sampling": "clips", **asdict(self), "short": "repeat"}

    def plan(
        self,
        start: float,
        stop: float,
        times: NDArray[np.float64],
        end: float,
        beside: Beside = (0, 0),
        lasting: float = math.inf,
    ) -> FramePlan:
        """Choose the frames of `[start, stop)`; see `Uniform.plan`."""
        last = ending(start, stop, end)
        length = self.frames * self.stride / self.fps
        spare = max(0.0, last - start - length)
        along = np.linspace(0.0, 1.0, self.clips) if self.clips > 1 else np.array([0.5])
        begins = start + spare * along
        places = np.arange(-beside[0], self.frames + beside[1])
        offsets = (places * self.stride + PHASE) / self.fps
        wanted = inside(begins[:, np.newaxis] + offsets, start, last)
        indices = frames_at(wanted, times, lasting)
        centres = begins + min(length, last - start) / 2
        return FramePlan(indices, centres, is_clipped(stop, end))


@dataclass(frozen=True)
class Windows:
    """Windows of `size` frames, `stride` apart at `fps`, over the whole segment.

    Each segment has as many as fit; the last is shifted back to end with the segment (Ego4D's
    rule). Of each window `frames` frames are taken, evenly spread from its first to its last;
    one alone is the middle one.
    """

    size: int
    stride: int
    fps: float
    frames: int

    flat: ClassVar[bool] = True

    @property
    def view_frames(self) -> int:
        """Frames a view."""
        return self.frames

    def describe(self) -> dict[str, Any]:
        """The plan as it stands in a recipe."""
        return {"sampling": "windows", **asdict(self), "last": "shift-back"}

    def plan(
        self,
        start: float,
        stop: float,
        times: NDArray[np.float64],
        end: float,
        beside: Beside = (0, 0),
        lasting: float = math.inf,
    ) -> FramePlan:
        """Choose the frames of `[start, stop)`; see `Uniform.plan`.

        Windows that want a frame in a hole of the images are `lost`, and fail only all together.

        Raises:
            MediaError: the segment is out of all proportion to its frames.
        """
        last = ending(start, stop, end)
        length = max(1, round((last - start) * self.fps))
        _refuse_jumps(length, self.fps, times[(start <= times) & (times < last)])
        begins = window_starts(length, self.size, self.stride)
        spread = np.array([(self.size - 1) // 2])
        if self.frames > 1:
            spread = np.arange(self.frames) * (self.size - 1) // (self.frames - 1)
        step = spread[-1] - spread[-2] if self.frames > 1 else 1
        before, after = (np.arange(1, number + 1) * step for number in beside)
        spread = np.concatenate([spread[0] - before[::-1], spread, spread[-1] + after])
        wanted = inside(start + (begins[:, np.newaxis] + spread + PHASE) / self.fps, start, last)
        indices = on_show(wanted, times, lasting)
        first = start + begins / self.fps
        stops = np.minimum(first + self.size / self.fps, last)
        spans = np.stack([first, (first + stops) / 2, stops], axis=1)
        whole = (indices >= 0).all(axis=1)
        if not whole.any():
            refuse_holes(wanted, indices, times)
        return FramePlan(indices[whole], spans[whole], is_clipped(stop, end), spans[~whole])


@dataclass(frozen=True)
class KeyFrames:
    """One clip around the moment at which each segment begins, reaching past the segment's ends.

    Of `frames` frames, `stride` apart at `fps`, the one at `frames // 2` is the frame on show at
    the moment; beyond an end of the video its outermost frame is repeated.
    """

    frames: int
    stride: int
    fps: float
    boxes: str | None = None
    """Digest of the boxes by which each clip is stored, a row each; None: the clip is the row."""

    views: ClassVar[int] = 1

    @property
    def flat(self) -> bool:
        """Whether segments have numbers of rows of their own."""
        return self.boxes is not None

    @property
    def view_frames(self) -> int:
        """Frames a view."""
        return self.frames

    def describe(self) -> dict[str, Any]:
        """The plan as it stands in a recipe."""
        fields = {name: value for name, value in asdict(self).items() if value is not None}
        return {"sampling": "key-frames", **fields, "short": "repeat"}

    def plan(
        self,
        start: float,
        stop: float,
        times: NDArray[np.float64],
        end: float,
        beside: Beside = (0, 0),
        lasting: float = math.inf,
    ) -> FramePlan:
        """Choose the frames around `start`; see `Uniform.plan`.

        Of boxes, the times are the clip's start, the moment and the clip's end.
        """
        ending(start, stop, end)
        moment = frames_at(np.array([start]), times, lasting)
        if self.frames == 1:
            views = with_neighbours(moment, times, beside, (0, len(times) - 1), lasting)
        else:
            places = np.arange(-beside[0], self.frames + beside[1]) - self.frames // 2
            wanted = inside(start + (places * self.stride + PHASE) / self.fps, times[0], end)
            views = frames_at(wanted, times, lasting)[np.newaxis]
            views[0, beside[0] + self.frames // 2] = moment[0]
        seconds = self.stretch(start)[np.newaxis] if self.flat else np.array([start])
        return FramePlan(views, seconds, is_clipped(stop, end))

    def stretch(self, moment: float) -> NDArray[np.float64]:
        """Seconds `[3]` at which the clip around a moment begins, is in the middle, and ends."""
        before = self.frames // 2
        places = [-before, 0, self.frames - before] if self.frames > 1 else [0, 0, 0]
        stretch: NDArray[np.float64] = moment + np.array(places) * self.stride / self.fps
        return stretch


Plan = Uniform | Clips | Windows | KeyFrames


def plan_from_description(fields: Mapping[str, Any]) -> Plan:
    """Rebuild a plan from what stands in a recipe."""
    kinds: dict[str, type[Plan]] = {
        "uniform": Uniform,
        "clips": Clips,
        "windows": Windows,
        "key-frames": KeyFrames,
    }
    policies = ("sampling", "short", "last")
    numbers = {name: value for name, value in fields.items() if name not in policies}
    return kinds[fields["sampling"]](**numbers)


def _refuse_jumps(length: int, fps: float, times: NDArray[np.float64]) -> None:
    """Refuse segments of so many nominal frames of which hardly any is there: a clock jumped."""
    if length > max(_MANY, _MANY_EACH * len(times)):
        raise MediaError(
            f"its {len(times)} frames are spread over {length / fps:.0f} s, so its time stamps "
            "must jump: mend them, or give segments that leave the jump out"
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

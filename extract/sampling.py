"""Which frames of a segment are taken: pure functions of times, no video is opened.

Intervals are half-open `[start, stop)`. A frame is shown from its own time until the
next frame's, so the frame at time `t` is the last one whose time is not after `t`,
whatever the frame rate does in between. Another frame rate is reached by time alone:
frame `n` of the resampled video is what is shown during its nominal period.

A view is what the network sees at once: one frame of an image network, one clip of a
clip network. Motion is measured against the frames beside a view: `beside` asks for so many
before it and after it, which become part of its indices and change nothing else.
"""

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import MediaError

# Annotations carry milliseconds at best and presentation times are rounded to the
# container's clock: a time this near before a frame means that frame.
_CLOCK_TOLERANCE = 1e-6
# Where in its nominal period a frame is looked up. At the very beginning or middle, sources of
# the same or of twice the rate change frames, and a clock of milliseconds would decide which;
# here no usual source (10 to 240 fps, resampled to 15, 30 or 60) does.
_PHASE = 0.47
# A single frame's neighbours are the nearest that are as far away as two frames of usual video:
# of 60 fps every other one, of 24 fps the very next. The clock of containers counts milliseconds.
_NEIGHBOUR = 1 / 30
_NEIGHBOUR_TOLERANCE = 2e-3

Beside = tuple[int, int]
"""Frames before and after a view."""


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

        Raises:
            MediaError: the segment begins past the end of the video, or before its
                first frame.
        """
        last = _last(start, stop, end)
        centres = start + (np.arange(self.frames) + 0.5) * (last - start) / self.frames
        indices = frames_at(centres, times)
        views = indices[:, np.newaxis]
        if any(beside):
            first, final = frames_at(np.array(start), times), _final(last, times)
            views = _with_neighbours(indices, times, beside).clip(first, final)
        return FramePlan(views, times[indices], _is_clipped(stop, end))


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
    ) -> FramePlan:
        """Choose the frames of `[start, stop)`; see `Uniform.plan`."""
        last = _last(start, stop, end)
        length = self.frames * self.stride / self.fps
        spare = max(0.0, last - start - length)
        along = np.linspace(0.0, 1.0, self.clips) if self.clips > 1 else np.array([0.5])
        begins = start + spare * along
        places = np.arange(-beside[0], self.frames + beside[1])
        offsets = (places * self.stride + _PHASE) / self.fps
        indices = _within(begins[:, np.newaxis] + offsets, start, last, times)
        centres = begins + min(length, last - start) / 2
        return FramePlan(indices, centres, _is_clipped(stop, end))


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
    ) -> FramePlan:
        """Choose the frames of `[start, stop)`; see `Uniform.plan`."""
        last = _last(start, stop, end)
        begins = window_starts(max(1, round((last - start) * self.fps)), self.size, self.stride)
        spread = np.array([(self.size - 1) // 2])
        if self.frames > 1:
            spread = np.arange(self.frames) * (self.size - 1) // (self.frames - 1)
        step = spread[-1] - spread[-2] if self.frames > 1 else 1
        before, after = (np.arange(1, number + 1) * step for number in beside)
        spread = np.concatenate([spread[0] - before[::-1], spread, spread[-1] + after])
        wanted = start + (begins[:, np.newaxis] + spread + _PHASE) / self.fps
        first = start + begins / self.fps
        stops = np.minimum(first + self.size / self.fps, last)
        return FramePlan(
            _within(wanted, start, last, times),
            np.stack([first, (first + stops) / 2, stops], axis=1),
            _is_clipped(stop, end),
        )


Plan = Uniform | Clips | Windows


def plan_from_description(fields: Mapping[str, Any]) -> Plan:
    """Rebuild a plan from what stands in a recipe."""
    kinds: dict[str, type[Plan]] = {"uniform": Uniform, "clips": Clips, "windows": Windows}
    policies = ("sampling", "short", "last")
    numbers = {name: value for name, value in fields.items() if name not in policies}
    return kinds[fields["sampling"]](**numbers)


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


def frames_at(wanted: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the frame on show at each wanted time.

    Args:
        wanted: seconds, of any shape.
        times: `[n]` seconds at which each frame is first shown, rising.

    Returns:
        Indices into `times`, in the shape of `wanted`.

    Raises:
        MediaError: a wanted time lies before the first frame.
    """
    indices = np.searchsorted(times, wanted + _CLOCK_TOLERANCE, side="right") - 1
    if indices.size and indices.min() < 0:
        raise MediaError(
            f"the segment needs a frame at {wanted.min():.3f} s and the first is at "
            f"{times[0]:.3f} s"
        )
    return indices.astype(np.int64)


def _with_neighbours(
    indices: NDArray[np.int64], times: NDArray[np.float64], beside: Beside
) -> NDArray[np.int64]:
    """Each of the frames with those beside it, `[n, before + 1 + after]`; past the ends, too."""
    columns = [indices]
    for _ in range(beside[0]):
        earliest = times[columns[0].clip(0)] - _NEIGHBOUR + _NEIGHBOUR_TOLERANCE
        columns.insert(0, np.searchsorted(times, earliest, side="right") - 1)
    for _ in range(beside[1]):
        latest = times[columns[-1].clip(None, len(times) - 1)] + _NEIGHBOUR - _NEIGHBOUR_TOLERANCE
        columns.append(np.searchsorted(times, latest, side="left"))
    return np.stack(columns, axis=1)


def _within(
    wanted: NDArray[np.float64], start: float, last: float, times: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Frames at the wanted times; before `start` the one shown then, past `last` the one before."""
    return np.minimum(frames_at(np.maximum(wanted, start), times), _final(last, times))


def _final(last: float, times: NDArray[np.float64]) -> NDArray[np.int64]:
    """The last frame that is shown before `last`."""
    return frames_at(np.array(last - 2 * _CLOCK_TOLERANCE), times)


def _last(start: float, stop: float, end: float) -> float:
    """Seconds, exclusive, at which the segment really ends."""
    if start >= end:
        raise MediaError(f"the segment begins at {start:.3f} s, past the end at {end:.3f} s")
    return min(stop, end)


def _is_clipped(stop: float, end: float) -> bool:
    return bool(np.isfinite(stop) and stop > end)

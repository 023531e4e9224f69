"""Which frames of a segment are taken: pure functions of times, no video is opened.

Intervals are half-open `[start, stop)`. A frame is shown from its own time until the
next frame's, so the frame at time `t` is the last one whose time is not after `t`,
whatever the frame rate does in between. Another frame rate is reached by time alone:
frame `n` of the resampled video is what is shown during its nominal period.

A view is what the network sees at once: one frame of an image network, one clip of a
clip network.
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


View = tuple[int, ...]
"""Frame indices that the network sees at once, in the order in which it sees them."""


@dataclass(frozen=True)
class FramePlan:
    """The frames that stand for one segment."""

    indices: NDArray[np.int64]
    """Frame indices in display order, `[views, frames]`."""
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

    def plan(self, start: float, stop: float, times: NDArray[np.float64], end: float) -> FramePlan:
        """Choose the frames of `[start, stop)`.

        Args:
            start: seconds, inclusive.
            stop: seconds, exclusive; infinity means the end of the video.
            times: `[n]` seconds at which each frame of the video is first shown, rising.
            end: seconds at which the last frame of the video ends.

        Raises:
            MediaError: the segment begins past the end of the video, or before its
                first frame.
        """
        last = _last(start, stop, end)
        centres = start + (np.arange(self.frames) + 0.5) * (last - start) / self.frames
        indices = frames_at(centres, times)
        return FramePlan(indices[:, np.newaxis], times[indices], _is_clipped(stop, end))


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

    def plan(self, start: float, stop: float, times: NDArray[np.float64], end: float) -> FramePlan:
        """Choose the frames of `[start, stop)`; see `Uniform.plan`."""
        last = _last(start, stop, end)
        length = self.frames * self.stride / self.fps
        spare = max(0.0, last - start - length)
        along = np.linspace(0.0, 1.0, self.clips) if self.clips > 1 else np.array([0.5])
        begins = start + spare * along
        offsets = (np.arange(self.frames) * self.stride + _PHASE) / self.fps
        indices = _within(begins[:, np.newaxis] + offsets, last, times)
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

    def plan(self, start: float, stop: float, times: NDArray[np.float64], end: float) -> FramePlan:
        """Choose the frames of `[start, stop)`; see `Uniform.plan`."""
        last = _last(start, stop, end)
        begins = window_starts(max(1, round((last - start) * self.fps)), self.size, self.stride)
        spread = np.array([(self.size - 1) // 2])
        if self.frames > 1:
            spread = np.arange(self.frames) * (self.size - 1) // (self.frames - 1)
        wanted = start + (begins[:, np.newaxis] + spread + _PHASE) / self.fps
        first = start + begins / self.fps
        stops = np.minimum(first + self.size / self.fps, last)
        return FramePlan(
            _within(wanted, last, times),
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


def _within(
    wanted: NDArray[np.float64], last: float, times: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Frames at the wanted times; past `last`, the last frame that is shown before it."""
    final = frames_at(np.array(last - 2 * _CLOCK_TOLERANCE), times)
    return np.minimum(frames_at(wanted, times), final)


def _last(start: float, stop: float, end: float) -> float:
    """Seconds, exclusive, at which the segment really ends."""
    if start >= end:
        raise MediaError(f"the segment begins at {start:.3f} s, past the end at {end:.3f} s")
    return min(stop, end)


def _is_clipped(stop: float, end: float) -> bool:
    return bool(np.isfinite(stop) and stop > end)

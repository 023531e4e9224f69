"""Which frames of a segment are taken: pure functions of times, no video is opened.

Intervals are half-open `[start, stop)`. A frame is shown from its own time until the
next frame's, so the frame at time `t` is the last one whose time is not after `t`,
whatever the frame rate does in between.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import MediaError

# Annotations carry milliseconds at best and presentation times are rounded to the
# container's clock: a time this near before a frame means that frame.
_CLOCK_TOLERANCE = 1e-6


@dataclass(frozen=True)
class FramePlan:
    """The frames that stand for one segment."""

    indices: NDArray[np.int64]
    """Frame indices in display order, `[clips, frames]`."""
    times: NDArray[np.float64]
    """Seconds at which those frames are first shown, `[clips, frames]`."""
    clipped: bool
    """Whether a finite stop lay beyond the end of the video and was moved to it."""


@dataclass(frozen=True)
class Uniform:
    """`frames` frames, one at the centre of each of as many equal parts of the segment.

    A segment with fewer frames than that repeats frames, so every row has one shape.
    This is the sampling of the MobileNetV2 + temporal head recipe (N = 20).
    """

    frames: int = 20

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
        if start >= end:
            raise MediaError(f"the segment begins at {start:.3f} s, past the end at {end:.3f} s")
        last = min(stop, end)
        centres = start + (np.arange(self.frames) + 0.5) * (last - start) / self.frames
        indices = frames_at(centres, times)
        return FramePlan(
            indices=indices[np.newaxis],
            times=times[indices][np.newaxis],
            clipped=bool(np.isfinite(stop) and stop > end),
        )


def frames_at(wanted: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the frame on show at each wanted time.

    Args:
        wanted: `[k]` seconds.
        times: `[n]` seconds at which each frame is first shown, rising.

    Returns:
        `[k]` indices into `times`.

    Raises:
        MediaError: a wanted time lies before the first frame.
    """
    indices = np.searchsorted(times, wanted + _CLOCK_TOLERANCE, side="right") - 1
    if len(indices) and indices.min() < 0:
        raise MediaError(
            f"the segment needs a frame at {wanted.min():.3f} s and the first is at "
            f"{times[0]:.3f} s"
        )
    return indices.astype(np.int64)

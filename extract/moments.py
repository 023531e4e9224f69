"""Which frame of a video is on show at a time: pure lookups, no video is opened.

A frame is shown from its own time until the next frame's, so the frame at time `t` is the last
one whose time is not after `t`, whatever the frame rate does in between.
"""

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import MediaError

# Annotations carry milliseconds at best and presentation times are rounded to the
# container's clock: a time this near before a frame means that frame.
_CLOCK_TOLERANCE = 1e-6
# Where in its nominal period a frame is looked up. At the very beginning or middle, sources of
# the same or of twice the rate change frames, and a clock of milliseconds would decide which;
# here no usual source (10 to 240 fps, resampled to 15, 30 or 60) does.
PHASE = 0.47
# A single frame's neighbours are the nearest that are as far away as two frames of usual video:
# of 60 fps every other one, of 24 fps the very next. The clock of containers counts milliseconds.
_NEIGHBOUR = 1 / 30
_NEIGHBOUR_TOLERANCE = 2e-3

Beside = tuple[int, int]
"""Frames before and after a view."""


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


def with_neighbours(
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


def within(
    wanted: NDArray[np.float64], start: float, last: float, times: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Frames at the wanted times; before `start` the one shown then, past `last` the one before."""
    return np.minimum(frames_at(np.maximum(wanted, start), times), final_frame(last, times))


def final_frame(last: float, times: NDArray[np.float64]) -> NDArray[np.int64]:
    """The last frame that is shown before `last`."""
    return frames_at(np.array(last - 2 * _CLOCK_TOLERANCE), times)


def ending(start: float, stop: float, end: float) -> float:
    """Seconds, exclusive, at which the segment really ends."""
    if start >= end:
        raise MediaError(f"the segment begins at {start:.3f} s, past the end at {end:.3f} s")
    return min(stop, end)


def is_clipped(stop: float, end: float) -> bool:
    """Whether a finite stop lies beyond the end of the video."""
    return bool(np.isfinite(stop) and stop > end)

"""Which frame of a video is on show at a time: pure lookups, no video is opened.

A frame of a video file is shown from its own time until the next frame's, so the frame at time `t`
is the last one whose time is not after `t`, whatever the frame rate does in between. An image of a
folder or tar lasts one frame's time: where numbers are missing there is a hole, in which nothing
is on show.
"""

import math
from typing import Any

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

Neighbours = tuple[int, int]
"""Frames before and after a view."""


def frames_at(
    wanted: NDArray[np.float64], times: NDArray[np.float64], lasting: float = math.inf
) -> NDArray[np.int64]:
    """Index of the frame on show at each wanted time.

    Args:
        wanted: seconds, of any shape.
        times: `[n]` seconds at which each frame is first shown, rising.
        lasting: seconds that a frame is on show at most, see `on_show`.

    Returns:
        Indices into `times`, in the shape of `wanted`.

    Raises:
        MediaError: a wanted time lies before the first frame, or in a hole.
    """
    indices = on_show(wanted, times, lasting)
    refuse_holes(wanted, indices, times)
    return indices


def on_show(
    wanted: NDArray[np.float64], times: NDArray[np.float64], lasting: float = math.inf
) -> NDArray[np.int64]:
    """`frames_at`, with -1 where there is no frame.

    Frames of a video file last until the next (infinity). An image is on show for `lasting`
    seconds, and stands in for an absent neighbour: it is taken up to as long before and after.
    Before the first image there is none.
    """
    indices = np.searchsorted(times, wanted + _CLOCK_TOLERANCE, side="right") - 1
    if math.isinf(lasting):
        return indices.astype(np.int64)
    before, after = indices.clip(0), (indices + 1).clip(None, len(times) - 1)
    held = (indices >= 0) & (wanted < times[before] + 2 * lasting - _CLOCK_TOLERANCE)
    early = (indices >= 0) & (times[after] <= wanted + lasting + _CLOCK_TOLERANCE)
    early &= times[after] >= wanted
    return np.where(held, before, np.where(early, after, -1)).astype(np.int64)


def refuse_holes(
    wanted: NDArray[np.float64], indices: NDArray[np.int64], times: NDArray[np.float64]
) -> None:
    """Raise `MediaError` at the first wanted time of which the index says that nothing is shown."""
    absent = np.atleast_1d(wanted)[np.atleast_1d(indices) < 0]
    if not absent.size:
        return
    moment = float(absent.min())
    after = int(np.searchsorted(times, moment))
    if after == 0:
        raise MediaError(
            f"the segment needs a frame at {moment:.3f} s and the first is at {times[0]:.3f} s"
        )
    until = f"between that at {times[after - 1]:.3f} s and that at {times[after]:.3f} s"
    if after == len(times):
        until = f"after that at {times[-1]:.3f} s"
    raise MediaError(
        f"the segment needs a frame at {moment:.3f} s, and there is no image {until}: copy the "
        "missing ones"
    )


def with_neighbours(
    indices: NDArray[np.int64],
    times: NDArray[np.float64],
    neighbours: Neighbours,
    ends: tuple[int | np.int64, int | np.int64],
    lasting: float = math.inf,
) -> NDArray[np.int64]:
    """Each of the frames with its neighbours, `[n, before + 1 + after]`.

    At `ends`, the first and last frame that may be taken, a frame is repeated.

    Raises:
        MediaError: there is a hole between a frame and its neighbour.
    """
    columns = [indices]
    for _ in range(neighbours[0]):
        earliest = times[columns[0].clip(0)] - _NEIGHBOUR + _NEIGHBOUR_TOLERANCE
        columns.insert(0, np.searchsorted(times, earliest, side="right") - 1)
    for _ in range(neighbours[1]):
        latest = times[columns[-1].clip(None, len(times) - 1)] + _NEIGHBOUR - _NEIGHBOUR_TOLERANCE
        columns.append(np.searchsorted(times, latest, side="left"))
    views = np.stack(columns, axis=1).clip(*ends)
    apart = max(_NEIGHBOUR, lasting) + lasting + _NEIGHBOUR_TOLERANCE
    holes = np.diff(times[views], axis=1) > apart
    # What is missing is the moment at which the neighbour should have been.
    refuse_holes(times[views[:, :-1]] + lasting, np.where(holes, -1, 0), times)
    return views


def inside(wanted: NDArray[np.floating[Any]], start: float, last: float) -> NDArray[np.float64]:
    """The wanted times moved into `[start, last)`, seconds."""
    return np.clip(wanted, start, last - 2 * _CLOCK_TOLERANCE)


def ending(start: float, stop: float, end: float) -> float:
    """Seconds, exclusive, at which the segment really ends."""
    if start >= end:
        raise MediaError(f"the segment begins at {start:.3f} s, past the end at {end:.3f} s")
    return min(stop, end)


def is_clipped(stop: float, end: float) -> bool:
    """Whether a finite stop lies beyond the end of the video."""
    return bool(np.isfinite(stop) and stop > end)

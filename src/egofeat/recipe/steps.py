"""When a row's steps are: the times that its features speak of.

A row's steps are its views, or where clips keep maps, the t steps of every view, view after
view. A step stands for a stretch of time, said as its middle and its reach to both sides.
"""

import numpy as np
from numpy.typing import NDArray

Stretches = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Middles and reaches to both sides, `[n, V, t]` seconds each; see `Plan.stretches`."""

_ROUNDING = 1e-9
"""Seconds: no part of a clip is so short but by rounding."""


def of_frames(starts: NDArray[np.float64], times: NDArray[np.float64]) -> Stretches:
    """A frame's middle is its own time: what is looked at in it is what counts.

    The end of a segment that goes to the video's is not in the store, but the last of N frames
    is that in the middle of the last of N equal parts.
    """
    parts = (times[:, -1] - starts) / (times.shape[1] - 0.5)
    reach = np.broadcast_to(parts[:, np.newaxis] / 2, times.shape)
    return times[:, :, np.newaxis], reach[:, :, np.newaxis]


def of_clips(
    length: float, steps: int, starts: NDArray[np.float64], times: NDArray[np.float64]
) -> Stretches:
    """Equal parts of a clip of `length` seconds.

    In a segment that is shorter, the part of a step ends with it; a step that lies wholly
    beyond it is of the last frame, repeated, and stands at its end.
    """
    shown = np.minimum(length, 2 * (times - starts[:, np.newaxis]))
    edges = np.arange(steps + 1) * (length / steps)
    edges = np.minimum(edges, shown[:, :, np.newaxis])
    begins = (times - shown / 2)[:, :, np.newaxis]
    middles = begins + (edges[:, :, :-1] + edges[:, :, 1:]) / 2
    widths = np.diff(edges)
    return middles, np.where(widths > _ROUNDING, widths, length / steps) / 2

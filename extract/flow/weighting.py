"""Frames weighed by motion, before the network: the attention of the MobileNetV2 report's code."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from egofeat.recipe.motion import LARGEST, Weighted


def bent(flow_KHWC: NDArray[np.float32], places: int) -> NDArray[np.float32]:
    """What each place of a crop counts, `[K, places, places]` in [0, 1].

    Magnitude x, 1 being the largest that flow images can show, is bent to
    (exp(-0.006/(x² + 1e-5)) + x^0.3)/2, which lifts small motion; a place has its largest.
    """
    magnitude: NDArray[np.float32] = np.hypot(flow_KHWC[..., 0], flow_KHWC[..., 1])
    motion: NDArray[np.float32] = (magnitude / np.float32(LARGEST)).clip(0, 1)
    height, width = motion.shape[1:]
    rows, columns = (np.arange(places) * side // places for side in (height, width))
    largest: NDArray[np.float32] = np.maximum.reduceat(
        np.maximum.reduceat(motion, rows, axis=1), columns, axis=2
    )
    lifted = np.exp(np.float32(-0.006) / (np.square(largest) + np.float32(1e-5)))
    curved: NDArray[np.float32] = (lifted + np.power(largest, np.float32(0.3))) / np.float32(2)
    return curved


def weighed(
    method: Weighted, flows_FKHWC: NDArray[np.float32], frames_FKHWC: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Frames times the sum of what both sides count, in [least, 1]; 0 to 255, the shape of frames.

    Args:
        method: how.
        flows_FKHWC: to each frame from the one before, and from the last to the one after: one
            more than frames, in pixels.
        frames_FKHWC: RGB; with at least as many pixels a side as there are places.
    """
    height, width = frames_FKHWC.shape[2:4]
    counted = [bent(flow_KHWC, method.places) for flow_KHWC in flows_FKHWC]
    weights_FKhw = np.stack([one + other for one, other in pairwise(counted)]).clip(method.least, 1)
    rows, columns = (  # the place that a pixel is in, by the borders of `bent`
        np.searchsorted(np.arange(method.places) * side // method.places, np.arange(side), "right")
        - 1
        for side in (height, width)
    )
    weighted: NDArray[np.float32] = frames_FKHWC * weights_FKhw[..., rows, :][..., columns, None]
    return weighted

"""Farnebäck's flow (2003): polynomials fitted around each pixel, moved onto each other."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from egofeat.extract.flow.opencv import opencv
from egofeat.recipe.motion import Farneback


def start(
    method: Farneback,
) -> Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float32]]:
    """For one thread: from two RGB frames `[H, W, 3]` the pixels (u, v) `[H, W, 2]`.

    Raises:
        RequestError: there is no OpenCV.
    """
    cv = opencv()
    pyramid = (method.scale, method.levels, method.window, method.iterations)
    polynomials = (method.neighbourhood, method.sigma)

    def between(first_HWC: NDArray[np.uint8], second_HWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        greys = (cv.cvtColor(one, cv.COLOR_RGB2GRAY) for one in (first_HWC, second_HWC))
        flow: NDArray[np.float32] = cv.calcOpticalFlowFarneback(
            *greys, None, *pyramid, *polynomials, 0
        )
        return flow

    return between

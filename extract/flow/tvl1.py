"""Dual TV-L1 flow (Zach et al., 2007; Pérez et al., IPOL 2013): what flow networks learnt from."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from egofeat.extract.flow.opencv import opencv
from egofeat.recipe.motion import TVL1


def start(method: TVL1) -> Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float32]]:
    """For one thread: from two RGB frames `[H, W, 3]` the pixels (u, v) `[H, W, 2]`.

    Raises:
        RequestError: there is no OpenCV with contrib.
    """
    cv = opencv()
    solver = cv.optflow.DualTVL1OpticalFlow_create(
        tau=method.tau,
        lambda_=method.attachment,
        theta=method.theta,
        nscales=method.scales,
        warps=method.warps,
        epsilon=method.epsilon,
    )

    def between(first_HWC: NDArray[np.uint8], second_HWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        greys = (cv.cvtColor(one, cv.COLOR_RGB2GRAY) for one in (first_HWC, second_HWC))
        flow: NDArray[np.float32] = solver.calc(*greys, None)
        return flow

    return between

"""Flow by OpenCV, where it is installed: nothing else in egofeat needs it.

Farnebäck (2003): polynomials fitted around each pixel, moved onto each other. Dual TV-L1 (Zach et
al., 2007; Pérez et al., IPOL 2013): what flow networks learnt from.
"""

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import RequestError
from egofeat.recipe.motion import TVL1, Farneback


@functools.cache
def opencv() -> Any:
    """The module `cv2` with contrib, its own threads off: decoders are threads already.

    Raises:
        RequestError: it is not installed, or without contrib.
    """
    try:
        cv: Any = importlib.import_module("cv2")
    except ImportError:
        cv = None
    if not hasattr(cv, "optflow"):
        raise RequestError(
            "`motion` farneback and tvl1 need OpenCV with its contrib modules: run `pip install "
            "'egofeat[flow]'` (opencv-contrib-python-headless), or choose `motion` raft"
        )
    cv.setNumThreads(1)
    return cv


def flow_by(
    method: Farneback | TVL1,
) -> Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float32]]:
    """For one thread: from two RGB frames `[H, W, 3]` the pixels (u, v) `[H, W, 2]`.

    Raises:
        RequestError: there is no OpenCV with contrib.
    """
    cv = opencv()
    rest: tuple[float, ...] = ()
    if isinstance(method, Farneback):
        pyramid = (method.scale, method.levels, method.window, method.iterations)
        polynomials = (method.neighbourhood, method.sigma)
        compute, rest = cv.calcOpticalFlowFarneback, (*pyramid, *polynomials, 0)
    else:
        solver = cv.optflow.DualTVL1OpticalFlow_create(
            tau=method.tau,
            lambda_=method.attachment,
            theta=method.theta,
            nscales=method.scales,
            warps=method.warps,
            epsilon=method.epsilon,
        )
        compute = solver.calc

    def between(first_HWC: NDArray[np.uint8], second_HWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        greys = (cv.cvtColor(one, cv.COLOR_RGB2GRAY) for one in (first_HWC, second_HWC))
        flow: NDArray[np.float32] = compute(*greys, None, *rest)
        return flow

    return between

"""Farnebäck's flow (2003): polynomials fitted around each pixel, moved onto each other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from egofeat.extract.flow.encoding import BOUND
from egofeat.extract.flow.opencv import opencv


@dataclass(frozen=True)
class Farneback:
    """The quick one; settings are OpenCV's, with the values of its own example."""

    scale: float = 0.5
    levels: int = 3
    window: int = 15
    iterations: int = 3
    neighbourhood: int = 5
    sigma: float = 1.2

    name: ClassVar[str] = "farneback"
    channels: ClassVar[int] = 2
    bound: ClassVar[float] = BOUND

    def start(self) -> Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float32]]:
        """For one thread: from two RGB frames `[H, W, 3]` the pixels (u, v) `[H, W, 2]`.

        Raises:
            RequestError: there is no OpenCV.
        """
        cv = opencv()
        pyramid = (self.scale, self.levels, self.window, self.iterations)
        polynomials = (self.neighbourhood, self.sigma)

        def between(
            first_HWC: NDArray[np.uint8], second_HWC: NDArray[np.uint8]
        ) -> NDArray[np.float32]:
            greys = (cv.cvtColor(one, cv.COLOR_RGB2GRAY) for one in (first_HWC, second_HWC))
            flow: NDArray[np.float32] = cv.calcOpticalFlowFarneback(
                *greys, None, *pyramid, *polynomials, 0
            )
            return flow

        return between

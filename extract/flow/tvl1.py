"""Dual TV-L1 flow (Zach et al., 2007; Pérez et al., IPOL 2013): what flow networks learnt from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from egofeat.extract.flow.encoding import BOUND
from egofeat.extract.flow.opencv import opencv


@dataclass(frozen=True)
class TVL1:
    """The usual one of action recognition; settings and their values are OpenCV's."""

    tau: float = 0.25
    attachment: float = 0.15
    """λ: weight of the data against smoothness."""
    theta: float = 0.3
    scales: int = 5
    warps: int = 5
    epsilon: float = 0.01

    name: ClassVar[str] = "tvl1"
    channels: ClassVar[int] = 2
    bound: ClassVar[float] = BOUND

    def start(self) -> Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float32]]:
        """For one thread: from two RGB frames `[H, W, 3]` the pixels (u, v) `[H, W, 2]`.

        Raises:
            RequestError: there is no OpenCV with contrib.
        """
        cv = opencv()
        solver = cv.optflow.DualTVL1OpticalFlow_create(
            tau=self.tau,
            lambda_=self.attachment,
            theta=self.theta,
            nscales=self.scales,
            warps=self.warps,
            epsilon=self.epsilon,
        )

        def between(
            first_HWC: NDArray[np.uint8], second_HWC: NDArray[np.uint8]
        ) -> NDArray[np.float32]:
            greys = (cv.cvtColor(one, cv.COLOR_RGB2GRAY) for one in (first_HWC, second_HWC))
            flow: NDArray[np.float32] = solver.calc(*greys, None)
            return flow

        return between

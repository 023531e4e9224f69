"""RGB difference (TSN; Wang et al., ECCV 2016, section 3.2): the next frame less this one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Difference:
    """Motion that costs nothing, for networks of three channels."""

    name: ClassVar[str] = "rgbdiff"
    channels: ClassVar[int] = 3
    bound: ClassVar[float] = 255.0

    def start(self) -> Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float32]]:
        """For one thread: from two RGB frames `[H, W, 3]` differences `[H, W, 3]` in ±255."""
        return lambda first_HWC, second_HWC: second_HWC.astype(np.float32) - first_HWC

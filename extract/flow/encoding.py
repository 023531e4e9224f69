"""Motion as numbers from 0 to 255: the law that published flow frames are written by.

A value `x` within ±bound becomes `(x + bound) · 255 / (2 · bound)`, so that stillness is
127.5; for optical flow the bound is 20 pixels, as in the flow frames of EPIC-KITCHENS and
in the training of I3D (Carreira and Zisserman, 2017). From there on motion is treated as
colours are: a mean and deviation of 0.5 give [-1, 1].
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat.recipe.motion import BOUND


def encode(motion: NDArray[np.float32], bound: float, values: str) -> NDArray[np.generic]:
    """Values of any shape to the scale of 0 to 255, as `values` says."""
    scaled: NDArray[np.float32] = (motion + np.float32(bound)) * np.float32(255 / (2 * bound))
    if values == "float32":
        return scaled
    rounded: NDArray[np.uint8] = np.rint(scaled.clip(0, 255)).astype(np.uint8)
    return rounded


def encode_on_device(motion: Tensor, bound: float, values: str) -> Tensor:
    """What `encode` does, where the tensor lies; the result is float32 in either case."""
    scaled = (motion + bound) * (255 / (2 * bound))
    return scaled if values == "float32" else torch.round(scaled.clamp(0, 255))


def decode(encoded: NDArray[np.generic], bound: float = BOUND) -> NDArray[np.float32]:
    """Encoded values of any shape back: pixels, for flow, with an error of 0.08 at 8 bits."""
    decoded: NDArray[np.float32] = encoded.astype(np.float32) * np.float32(2 * bound / 255)
    return decoded - np.float32(bound)

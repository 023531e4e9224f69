"""Motion as numbers from 0 to 255: the law that published flow frames are written by.

A value `x` within ±bound becomes `(x + bound) · 255 / (2 · bound)`, so that stillness is
127.5; for optical flow the bound is 20 pixels, as in the flow frames of EPIC-KITCHENS and
in the training of I3D (Carreira and Zisserman, 2017). From there on motion is treated as
colours are: a mean and deviation of 0.5 give [-1, 1].
"""

import torch
from torch import Tensor

from egofeat.recipe.motion import BOUND


def encode(motion: Tensor, bound: float, values: str) -> Tensor:
    """Values of any shape to the scale of 0 to 255, as `values` says, on their device."""
    scaled = (motion + bound) * (255 / (2 * bound))
    return scaled if values == "float32" else scaled.clamp(0, 255).round().to(torch.uint8)


def decode(encoded: Tensor, bound: float = BOUND) -> Tensor:
    """Encoded values of any shape back: pixels, for flow, with an error of 0.08 at 8 bits."""
    return encoded.float() * (2 * bound / 255) - bound

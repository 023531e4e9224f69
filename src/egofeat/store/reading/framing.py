"""Which part of a frame a network sees, from the transform that a recipe describes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def crops_of(transform: Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.float64]:
    """Left, top, width and height of each crop, in fractions of the frame's sides, [crops, 4].

    Args:
        transform: of a recipe: `squash` keeps the whole frame; `short-side` makes the shorter
            side `size` pixels and `stretch` the two sides (height, width) `size`, and a square
            of `crop` pixels is taken: one from the centre, or three along the longer side.
        size: width and height of the frame.
    """
    if transform["resize"] == "squash":
        return np.array([[0.0, 0.0, 1.0, 1.0]])
    width, height = _resized(transform["size"], size)
    side = transform["crop"]
    middle = round((width - side) / 2), round((height - side) / 2)
    if transform["crops"] == 1:
        corners = [middle]
    elif height > width:
        corners = [(middle[0], top) for top in (0, middle[1], height - side)]
    else:
        corners = [(left, middle[1]) for left in (0, middle[0], width - side)]
    pixels = [(left, top, side, side) for left, top in corners]
    return np.array(pixels) / (width, height, width, height)


def _resized(to: int | list[int], size: tuple[int, int]) -> tuple[int, int]:
    """Width and height after resizing; the longer side is rounded down, as torchvision does."""
    if not isinstance(to, int):
        return to[1], to[0]
    width, height = size
    if width <= height:
        return to, int(to * height / width)
    return int(to * width / height), to

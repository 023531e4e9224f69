"""The picture that golden numbers are of: made by a formula, the same everywhere."""

import numpy as np
from numpy.typing import NDArray


def picture(size: int = 256) -> NDArray[np.uint8]:
    """Rings, stripes and a gradient, uint8 `[size, size, 3]`, in whole numbers alone."""
    rows, columns = np.mgrid[:size, :size]
    rings = ((rows - size // 2) ** 2 + (columns - size // 3) ** 2) // 97 % 256
    stripes = (3 * rows + 5 * columns) % 256
    gradient = (rows + columns) * 255 // (2 * size)
    return np.stack([rings, stripes, gradient], axis=-1).astype(np.uint8)

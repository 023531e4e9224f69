"""Where the wearer of the camera looks: the gaze of one video, as pure values."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray


class Kind(IntEnum):
    """What a sample of gaze is; the numbers are those of EGTEA Gaze+."""

    UNTRACKED = 0
    FIXATION = 1
    SACCADE = 2
    UNKNOWN = 3
    """Tracked, and neither of these: a blink, or what the tracker could not tell."""
    TRUNCATED = 4
    """Outside the frame."""


@dataclass(frozen=True, slots=True, eq=False)
class Gaze:
    """Samples of one video's gaze, in the order of time; several may share a frame."""

    times: NDArray[np.float64]
    """[n] seconds from the video's first frame to the frame that was looked at, not falling."""
    points: NDArray[np.float32]
    """[n, 2] x and y, fractions of the frame's width and height from its top left corner."""
    kinds: NDArray[np.uint8]
    """[n] a `Kind` each."""
    size: tuple[int, int]
    """Width and height of the frame, of which resizing keeps the ratio."""

    @classmethod
    def from_pixels(
        cls,
        times: NDArray[np.float64],
        pixels: NDArray[np.float64],
        kinds: NDArray[np.uint8],
        size: tuple[int, int],
    ) -> Self:
        """Gaze whose points are in pixels of a frame of `size`.

        A point outside `[0, width) × [0, height)` is truncated, whatever `kinds` says.

        Args:
            times: [n] seconds, not falling.
            pixels: [n, 2] x and y.
            kinds: [n] as the tracker has them.
            size: width and height.
        """
        points = pixels / np.array(size)
        inside = ((points >= 0) & (points < 1)).all(axis=1)
        return cls(
            times,
            points.astype(np.float32),
            np.where(inside, kinds, np.uint8(Kind.TRUNCATED)),
            size,
        )

    def __len__(self) -> int:
        return len(self.times)

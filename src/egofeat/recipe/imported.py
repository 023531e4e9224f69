"""Features that another program made: what is known of them, as values."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from egofeat.recipe.form import Count, Rate
from egofeat.recipe.plan import Asked, FramePlan, Plan
from egofeat.recipe.steps import Stretches, of_frames
from egofeat.recipe.transform import Transform

BACKBONE = "imported:"
"""Begins what a recipe calls the network of features that were not extracted here."""
UNKNOWN_TRANSFORM = Transform("unknown", 1, 1)
"""Nobody says how frames became the network's input."""


@dataclass(frozen=True)
class Imported(Plan):
    """Rows of a segment out of a file: `rows` for each of as many equal parts of the segment.

    Of a segment's own file, parts are counted in its rows; where there are as many as parts, they
    stay as they are. Of a whole video's file, parts are stretches of time, and a row stands at the
    centre of its window: row k covers `[k · stride, k · stride + window)` frames at `fps`.
    `nearest` takes the row that is nearest to the part's centre, `linear` weighs the two around
    it, `mean` averages the rows in the part, `[start, stop)`, or takes the nearest of none.
    """

    rows: Count
    of: Literal["segment", "video"]
    resample: Literal["nearest", "linear", "mean"]
    source: str
    """Format of the files."""
    fps: Rate | None = None
    window: Count | None = None
    stride: Count | None = None
    sampling: Literal["imported"] = field(default="imported", kw_only=True, repr=False)

    counted: ClassVar[str] = "rows"

    @property
    def view_frames(self) -> int:
        """Not known; a row is a view."""
        return 1

    @property
    def clock(self) -> tuple[float, float]:
        """Seconds from a row of a video's file to the next, and of its window."""
        assert self.fps and self.window  # noqa: PT018 - or it would not be of a video
        return (self.stride or self.window) / self.fps, self.window / self.fps

    def centres(self, rows: int) -> NDArray[np.float64]:
        """Seconds at which the rows of a video's file stand, `[rows]`."""
        step, window = self.clock
        return np.arange(rows, dtype=np.float64) * step + window / 2

    def end(self, rows: int) -> float:
        """Seconds at which the last of so many rows of a video's file ends."""
        step, window = self.clock
        return (rows - 1) * step + window

    def _choose(self, asked: Asked) -> FramePlan:
        raise NotImplementedError("imported features are made of files, not of frames")

    def stretches(
        self, steps: int, starts: NDArray[np.float64], times: NDArray[np.float64]
    ) -> Stretches:
        """See `Plan.stretches`."""
        return of_frames(starts, times)

"""What a plan of frames is: a pure function of times, no video is opened.

Intervals are half-open `[start, stop)`. Another frame rate is reached by time alone: frame `n`
of the resampled video is what is shown during its nominal period.

A view is what the network sees at once: one frame of an image network, one clip of a
clip network. Motion is measured against the frames next to a view: `neighbours` asks for so many
before it and after it, which become part of its indices and change nothing else.
"""

import functools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from egofeat.recipe.form import Part
from egofeat.recipe.moments import Neighbours, ending, is_clipped
from egofeat.recipe.steps import Stretches, of_clips

View = tuple[int, ...]
"""Frame indices that the network sees at once, in the order in which it sees them."""


@dataclass(frozen=True)
class FramePlan:
    """The frames that stand for one segment."""

    indices: NDArray[np.int64]
    """Frame indices in display order, `[views, frames]`, with neighbours."""
    times: NDArray[np.float64]
    """Seconds: of each view `[views]`; of a flat plan its start, centre and end, `[views, 3]`."""
    clipped: bool = False
    """Whether a finite stop lay beyond the end of the video and was moved to it."""
    lost: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 3)))
    """`[windows, 3]` seconds, as `times`, of windows that the images cannot make."""

    @functools.cached_property
    def views(self) -> list[View]:
        """The rows of `indices`, to be known by."""
        return [tuple(view) for view in self.indices.tolist()]


class Asked(NamedTuple):
    """What frames are chosen of: `Plan.plan` tells the fields."""

    start: float
    last: float
    """Seconds, exclusive, at which the segment really ends."""
    times: NDArray[np.float64]
    end: float
    neighbours: Neighbours
    lasting: float


class Plan(Part, ABC):
    """One way of taking frames: its heirs are frozen dataclasses with the fields of the JSON."""

    sampling: str
    frames: int
    """Frames a view, but of `Uniform` a segment."""
    counted: ClassVar[str] = ""
    """The field that counts a segment's views; empty where the plan fixes no number."""

    @property
    def flat(self) -> bool:
        """Whether segments have numbers of rows of their own."""
        return False

    @property
    def view_frames(self) -> int:
        """Frames a view."""
        return self.frames

    @property
    def views(self) -> int:
        """Views a segment; of a flat plan, views a row."""
        return getattr(self, self.counted) if self.counted else 1

    def plan(
        self,
        start: float,
        stop: float,
        times: NDArray[np.float64],
        end: float,
        neighbours: Neighbours = (0, 0),
        lasting: float = math.inf,
    ) -> FramePlan:
        """Choose the frames of `[start, stop)`.

        Args:
            start: seconds, inclusive.
            stop: seconds, exclusive; infinity means the end of the video.
            times: `[n]` seconds at which each frame of the video is first shown, rising.
            end: seconds at which the last frame of the video ends.
            neighbours: frames before and after each view, at the view's own distance and inside the
                segment: at its ends a frame is repeated. Those of a single frame are the nearest
                that are 1/30 s away or more.
            lasting: seconds that a frame is on show at most, see `FrameSource`.

        Raises:
            MediaError: the segment begins past the end of the video, before its first frame, or
                wants a frame in a hole of the images; or windows ask for a segment that is out of
                all proportion to its frames.
        """
        last = ending(start, stop, end)
        chosen = self._choose(Asked(start, last, times, end, neighbours, lasting))
        return replace(chosen, clipped=is_clipped(stop, end))

    @abstractmethod
    def _choose(self, asked: Asked) -> FramePlan: ...

    @abstractmethod
    def stretches(
        self, steps: int, starts: NDArray[np.float64], times: NDArray[np.float64]
    ) -> Stretches:
        """The times that each step of segments' rows speaks of.

        Args:
            steps: t, steps of a view; 1 where a view is a vector or a frame.
            starts: [n] seconds, inclusive, of the segments.
            times: [n, V] seconds of each view, its crops left out.

        Returns:
            Middles and reaches to both sides, [n, V, t] each.
        """


class OfClips(Plan):
    """Views of several frames at a rate."""

    stride: int
    fps: float

    @property
    def seconds(self) -> float:
        """Seconds that a view covers."""
        return self.frames * self.stride / self.fps

    def stretches(
        self, steps: int, starts: NDArray[np.float64], times: NDArray[np.float64]
    ) -> Stretches:
        """See `Plan.stretches`."""
        return of_clips(self.seconds, steps, starts, times)

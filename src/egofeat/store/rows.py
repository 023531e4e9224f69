"""What passes through a store: the rows of a shard, and what could not be read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Key = tuple[str, float, float]
"""A segment as it was asked for: id, start, stop. Other times make another segment."""


@dataclass(frozen=True)
class ShardRows:
    """Features of some segments, one row each, with everything that says what they are."""

    ids: Sequence[str]
    """Unique in the shard; text without NUL."""
    videos: Sequence[str]
    starts: NDArray[np.float64]
    """[rows] seconds, inclusive, as requested."""
    stops: NDArray[np.float64]
    """[rows] seconds, exclusive, as requested; infinity means the end of the video."""
    clipped: NDArray[np.bool_]
    """[rows] whether the video ended before the stop that was requested."""
    times: NDArray[np.float64]
    """[rows, T] seconds of the frames that a row was made from."""
    taps: Mapping[str, NDArray[Any]]
    """Tap name to [rows, *row_shape], in the recipe's dtype."""


@dataclass(frozen=True)
class Failure:
    """A segment that could not be extracted, and why."""

    id: str
    video: str
    start: float
    stop: float
    """Seconds, exclusive, as requested; infinity means the end of the video."""
    reason: str

    @property
    def key(self) -> Key:
        """The segment that failed."""
        return (self.id, self.start, self.stop)


def keys(
    ids: Sequence[str], starts: NDArray[np.float64], stops: NDArray[np.float64]
) -> Iterator[Key]:
    """Pair the columns of a table of segments into their keys."""
    return zip(ids, starts.tolist(), stops.tolist(), strict=True)

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
    """Features of some segments, with everything that says what they are.

    A segment is one row; in a flat store, as many rows as it has windows or persons.
    """

    ids: Sequence[str]
    """Unique in the shard; text without NUL."""
    videos: Sequence[str]
    starts: NDArray[np.float64]
    """[segments] seconds, inclusive, as requested."""
    stops: NDArray[np.float64]
    """[segments] seconds, exclusive, as requested; infinity means the end of the video."""
    clipped: NDArray[np.bool_]
    """[segments] whether the video ended before the stop that was requested."""
    times: NDArray[np.float64]
    """[rows, V] seconds of each view of a row, of its frame or its clip's centre; in a flat
    store [rows, 3], start, centre and end of each row's window."""
    taps: Mapping[str, NDArray[Any]]
    """Tap name to [rows, *row_shape], in the recipe's dtype."""
    offsets: NDArray[np.int64] | None = None
    """[segments + 1] of a flat store: segment i is the rows `[offsets[i], offsets[i + 1])`, at
    least one; None where a segment is a row."""
    boxes: NDArray[np.float32] | None = None
    """[rows, 4] where each row is a person of a key frame: its box, as `egofeat.boxes` has it."""
    scores: NDArray[np.float32] | None = None
    """[rows] the detector's, where there are boxes."""
    media_stamps: NDArray[np.int64] | None = None
    """[segments, 4] of what a segment was read from, as it then was: size in bytes and time of
    change in nanoseconds of the file, -1 of a folder; and of images, the number of the one shown
    at second 0 and their rate in millionths a second, -1 of a video. None where it is not known."""

    @property
    def person_columns(self) -> dict[str, NDArray[np.float32]]:
        """Boxes and scores by name, little endian, where there are any."""
        columns = {"boxes": self.boxes, "scores": self.scores}
        return {
            name: np.ascontiguousarray(values, "<f4")
            for name, values in columns.items()
            if values is not None
        }


@dataclass(frozen=True)
class Failure:
    """A segment that could not be extracted, and why."""

    id: str
    video: str
    start: float
    stop: float
    """Seconds, exclusive, as requested; infinity means the end of the video."""
    reason: str
    cause: str = "damaged"
    """A word of `egofeat.errors.CAUSES`."""
    windows: int = 0
    """Of a video in dense windows whose others are kept: how many are lost, and `start` and
    `stop` are the seconds that they span; 0 where the whole segment is lost."""
    file: tuple[int, int] | None = None
    """Size in bytes and time of change in nanoseconds of the media's file as it failed, where that
    is known: damage is tried again when another stands in its place."""

    @property
    def key(self) -> Key:
        """The segment that failed."""
        return (self.id, self.start, self.stop)


def keys(
    ids: Sequence[str], starts: NDArray[np.float64], stops: NDArray[np.float64]
) -> Iterator[Key]:
    """Pair the columns of a table of segments into their keys."""
    return zip(ids, starts.tolist(), stops.tolist(), strict=True)

"""A long video in dense windows, divided by time: what is decided of it, but for the opening pure.

Each piece is made by itself, kept on the disk, and joined with the others into the video's shard:
the very file that is made of the video as a whole. So what waits in memory is of minutes, as is
what a killed worker loses, and several workers share one video.
"""

import functools
import math
from dataclasses import dataclass
from itertools import pairwise

import av
import numpy as np
from numpy.typing import NDArray

from egofeat.extract.decoding.stretches import DETOUR
from egofeat.extract.video.files import stamp_of
from egofeat.recipe import FramePlan, Recipe, Windows
from egofeat.segments import Media

SECONDS = 60, 300
"""Of a piece, at least and about at most: opening a video for each must cost next to nothing."""
BYTES = 64 * 2**20
"""Of a piece's features, where that is less."""
FILE_BYTES_A_SECOND = 125_000
"""Of video, about or more: what tells a short one without opening it."""


@dataclass(frozen=True)
class Piece:
    """The windows of a whole video that begin in a stretch of it, `[start, stop)`."""

    number: int
    bounds: tuple[float, ...]
    """Seconds at which the pieces of the video begin, rising from 0, and infinity."""

    @property
    def share(self) -> float:
        """What of the video it is."""
        return 1 / (len(self.bounds) - 1)

    @property
    def name(self) -> str:
        """What tells it from others of the video, however that is divided."""
        return self.names[self.number]

    @property
    def names(self) -> list[str]:
        """Of all pieces of the video."""
        return [f"{start:g}-{stop:g}" for start, stop in pairwise(self.bounds)]

    def of(self, plan: FramePlan) -> FramePlan:
        """What of a video's plan belongs to it; it may be nothing."""
        has, lost = self._has(plan.times), self._has(plan.lost)
        return FramePlan(plan.indices[has], plan.times[has], plan.clipped, plan.lost[lost])

    def _has(self, times: NDArray[np.float64]) -> NDArray[np.bool_]:
        start, stop = self.bounds[self.number : self.number + 2]
        return (start <= times[:, 0]) & (times[:, 0] < stop)


def seconds_of_piece(recipe: Recipe) -> int:
    """How long a piece should be, for features of a recipe that takes windows."""
    assert isinstance(recipe.plan, Windows)
    least, most = SECONDS
    fit = BYTES * recipe.plan.stride // (recipe.row_bytes * recipe.plan.fps)
    # Windows that overlap two pieces are decoded for both.
    return max(least, min(most, int(fit)), math.ceil(recipe.plan.seconds / DETOUR))


def pieces_of(media: Media, seconds: int) -> list[Piece]:
    """The pieces of a video file of about so many seconds each; one where it is not divided.

    A piece is decoded from the key frame before it, so there are several only where the file's
    header says that key frames are near. Whatever it says, together they have every window once.
    """
    bounds = (*_starts(media, stamp_of(media.path), seconds), math.inf)
    return [Piece(number, bounds) for number in range(len(bounds) - 1)]


def seconds_said(media: Media) -> float:
    """How long a video file's header says that it is; 0 of what does not say it."""
    return _seconds(media, stamp_of(media.path))


@functools.lru_cache(maxsize=1 << 17)
def _seconds(media: Media, stamp: tuple[int, int]) -> float:
    try:
        if stamp[0] < 0 or not media.path.is_file():
            return 0.0
        with av.open(str(media.path.absolute()), metadata_errors="replace") as container:
            return (container.duration or 0) / av.time_base
    except (av.FFmpegError, OSError, ValueError):
        return 0.0


def _starts(media: Media, stamp: tuple[int, int], seconds: int) -> list[float]:
    """Seconds at which pieces begin, each near after a key frame."""
    wanted = range(0, round(_seconds(media, stamp) / seconds) * seconds, seconds)
    if len(wanted) < 2:
        return [0.0]
    try:
        with av.open(str(media.path.absolute()), metadata_errors="replace") as container:
            stream = container.streams.video[0]
            unit, first = float(stream.time_base or 1), stream.start_time or 0
            entries = stream.index_entries
            found = (entries.search_timestamp(first + int(at / unit)) for at in wanted[1:])
            keys = [(entries[n].timestamp - first) * unit if n >= 0 else 0.0 for n in found]
    except (av.FFmpegError, OSError, ValueError, IndexError):
        return [0.0]
    ways = zip(wanted[1:], keys, strict=True)
    return [0.0, *(float(at) for at, key in ways if at - key <= DETOUR * seconds)]

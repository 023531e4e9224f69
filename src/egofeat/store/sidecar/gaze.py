"""gaze.npz: where the wearer of each video looked, and where that is in a row's features.

Like labels, gaze is no feature: it is what the manifest said at the last extraction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from egofeat.gaze import Gaze, Kind
from egofeat.recipe import Recipe
from egofeat.store.sidecar.tables import Column, check_offsets, read_table, write_arrays

NAME = "gaze.npz"

_COLUMNS = {
    "videos": Column("U"),
    "sizes": Column("int64", (2,)),
    "offsets": Column("int64"),
    "times": Column("float64"),
    "points": Column("float32", (2,)),
    "kinds": Column("uint8"),
}
_CLOCK_TOLERANCE = 1e-3
"""Seconds: containers round the times of frames to milliseconds at worst."""


@dataclass(frozen=True, eq=False)
class GazeTable:
    """Gaze of the videos of a data set, one after the other."""

    videos: NDArray[np.str_]
    """[videos] keys."""
    sizes: NDArray[np.int64]
    """[videos, 2] width and height of the frames."""
    offsets: NDArray[np.int64]
    """[videos + 1] video i has the samples `[offsets[i], offsets[i + 1])`."""
    times: NDArray[np.float64]
    """[n] seconds from the video's first frame, not falling in a video."""
    points: NDArray[np.float32]
    """[n, 2] x and y in fractions of the frame's sides."""
    kinds: NDArray[np.uint8]
    """[n] a `Kind` each."""

    @classmethod
    def of(cls, gaze: Mapping[str, Gaze]) -> Self:
        """Columns of the gaze of some videos, at least one, in their order."""
        each = list(gaze.values())
        return cls(
            videos=np.array(list(gaze), np.str_),
            sizes=np.array([one.size for one in each], np.int64),
            offsets=np.cumsum([0, *map(len, each)], dtype=np.int64),
            times=np.concatenate([one.times for one in each], dtype=np.float64),
            points=np.concatenate([one.points for one in each], dtype=np.float32),
            kinds=np.concatenate([one.kinds for one in each], dtype=np.uint8),
        )

    @classmethod
    def read(cls, store: Path) -> Self | None:
        """Read gaze.npz of the folder `store`; None when there is none.

        Raises:
            StoreError: it is damaged.
        """
        return read_table(store / NAME, _COLUMNS, cls._fitting)

    @classmethod
    def _fitting(cls, columns: dict[str, NDArray[Any]]) -> Self:
        table = cls(**columns)
        table._check()
        return table

    def _check(self) -> None:
        """Refuse columns that do not fit together.

        Raises:
            ValueError: saying which.
        """
        if len({*self.videos.tolist()}) != len(self.videos):
            raise ValueError("its videos are not all different")
        if self.sizes.shape != (len(self.videos), 2) or (self.sizes < 1).any():
            raise ValueError("its sizes are no widths and heights of its videos")
        if len(self.offsets) != len(self.videos) + 1:
            raise ValueError("its offsets do not fit")
        check_offsets("offsets", self.offsets, len(self.times))
        if not len(self.times) == len(self.points) == len(self.kinds):
            raise ValueError("its times, points and kinds differ in length")
        owners = np.repeat(np.arange(len(self.videos)), np.diff(self.offsets))
        falls = (np.diff(self.times) < 0) & (np.diff(owners) == 0)
        if falls.any() or not np.isfinite(self.times).all():
            raise ValueError("its times fall")
        if not np.isin(self.kinds, list(Kind)).all():
            raise ValueError("its kinds are unknown")

    def fixations(self) -> Mapping[str, tuple[NDArray[np.float64], NDArray[np.float32]]]:
        """Video to times [m] and points [m, 2] of its fixations; a video without is left out."""
        found = {}
        for number, video in enumerate(self.videos.tolist()):
            stretch = slice(*self.offsets[number : number + 2])
            fixed = self.kinds[stretch] == Kind.FIXATION
            if fixed.any():
                found[video] = self.times[stretch][fixed], self.points[stretch][fixed]
        return found


def write_gaze(store: Path, gaze: Mapping[str, Gaze], worker: str) -> None:
    """Put gaze.npz into the folder `store`, over an older one; without gaze, there is none."""
    write_arrays(store / NAME, vars(GazeTable.of(gaze)) if gaze else None, worker)


class StepGaze:
    """Finds the fixation of each step of a row, and its place in what the network saw."""

    def __init__(self, table: GazeTable, recipe: Recipe, tap: str) -> None:
        self._plan = recipe.plan
        self._fixations = table.fixations()
        sizes = list(map(tuple, table.sizes.tolist()))
        crops = {size: recipe.transform.crops_of(size) for size in set(sizes)}
        self._crops = {
            video: crops[size] for video, size in zip(table.videos.tolist(), sizes, strict=True)
        }
        """Video to its crops, [crops, 4]."""
        self._crops_a_view = recipe.transform.crops
        self._steps = recipe.steps_of(tap)
        """Steps of one view, t."""

    def points(
        self,
        videos: NDArray[np.str_],
        starts: NDArray[np.float64],
        times: NDArray[np.float64],
    ) -> NDArray[np.float32]:
        """X, y and weight of every step, [n, V · t, 3]; see `SegmentStore.gaze_points`.

        Args:
            videos: [n] key of each row's video.
            starts: [n] seconds, inclusive, of the segments.
            times: [n, V] seconds of each view, the crops of a clip together.
        """
        crops = self._crops_a_view
        middles, reaches = self._plan.stretches(self._steps, starts, times[:, ::crops])
        count, clips, steps = middles.shape
        found = np.zeros((count, clips, crops, steps, 3), np.float32)
        for row, video in enumerate(videos.tolist()):
            if video in self._fixations:
                points, near = _nearest(*self._fixations[video], middles[row], reaches[row])
                found[row] = _placed(points, near, self._crops[video])
        return found.reshape(count, clips * crops * steps, 3)


def _nearest(
    times: NDArray[np.float64],
    points: NDArray[np.float32],
    middles: NDArray[np.float64],
    reaches: NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Points [..., 2] of the fixations nearest to `middles`, and which are within reach."""
    after = np.searchsorted(times, middles)
    before, after = np.maximum(after - 1, 0), np.minimum(after, len(times) - 1)
    nearer = np.where(middles - times[before] < times[after] - middles, before, after)
    distances = np.abs(times[nearer] - middles)
    return points[nearer], distances <= reaches + _CLOCK_TOLERANCE


def _placed(
    points: NDArray[np.float32], near: NDArray[np.bool_], crops: NDArray[Any]
) -> NDArray[np.float32]:
    """Points [clips, t, 2] of the frame in each crop, with their weight: [clips, crops, t, 3]."""
    corner, sides = crops[:, np.newaxis, :2], crops[:, np.newaxis, 2:]
    placed = (points[:, np.newaxis] - corner) / sides
    seen = near[:, np.newaxis] & ((placed >= 0) & (placed < 1)).all(axis=-1)
    return np.concatenate([placed * seen[..., np.newaxis], seen[..., np.newaxis]], axis=-1)

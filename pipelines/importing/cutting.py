"""Which rows of an array are a segment's: pure functions of times, but for reading the rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import MediaError
from egofeat.pipelines.importing.arrays import Array
from egofeat.recipe import Imported, Windows
from egofeat.segments import Segment

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Cut:
    """Features of one segment."""

    values: NDArray[Any]
    """[V, C], or of a whole video [rows, C]."""
    times: NDArray[np.float64]
    """[V] seconds that rows speak of, or [rows, 3] start, centre and end of windows."""
    clipped: bool = False
    """Whether the array ends before the segment does."""


def cut(array: Array, segment: Segment, plan: Imported) -> Cut:
    """Rows of a segment, by its plan.

    Raises:
        MediaError: the array ends before the segment begins.
    """
    if plan.of == "segment":
        places = np.arange(array.rows, dtype=np.float64) + 0.5
        edges = np.linspace(0.0, array.rows, plan.rows + 1)
        values, _ = _resampled(array, places, edges, plan.resample)
        length = segment.stop - segment.start if np.isfinite(segment.stop) else 0.0
        parts = (np.arange(plan.rows) + 0.5) / plan.rows
        return Cut(values, segment.start + parts * length)
    places, end = plan.centres(array.rows), plan.end(array.rows)
    if segment.start >= end:
        raise MediaError(
            f"the segment begins at {segment.start:.3f} s, past the end of its video's features at "
            f"{end:.3f} s"
        )
    edges = np.linspace(segment.start, min(segment.stop, end), plan.rows + 1)
    values, times = _resampled(array, places, edges, plan.resample)
    # The last window of a video may leave out less than a stride.
    beyond = np.isfinite(segment.stop) and segment.stop > end + plan.clock[0]
    return Cut(values, times, bool(beyond))


def whole(array: Array, plan: Windows) -> Cut:
    """All rows of a whole video, with the windows that they stand for."""
    begins = np.arange(array.rows) * plan.stride / plan.fps
    spans = np.stack([begins, begins + plan.seconds / 2, begins + plan.seconds], axis=1)
    return Cut(array.take(np.arange(array.rows)), spans)


def _resampled(
    array: Array, places: NDArray[np.float64], edges: NDArray[np.float64], resample: str
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Rows `[V, C]` for V parts `[edges[k], edges[k + 1])`, and the places that they speak of.

    Args:
        array: whose rows they are.
        places: `[T]` of its rows, rising, as the edges count.
        edges: `[V + 1]`.
        resample: see `Imported`.
    """
    centres = (edges[:-1] + edges[1:]) / 2
    nearest = _nearest(centres, places)
    if resample == "nearest":
        return array.take(nearest), places[nearest]
    if resample == "linear":
        at = np.interp(centres, places, np.arange(len(places)))
        low = np.floor(at).astype(np.int64)
        share = (at - low)[:, np.newaxis]
        high = np.minimum(low + 1, len(places) - 1)
        mixed = (1 - share) * _wide(array.take(low)) + share * _wide(array.take(high))
        return mixed, centres.clip(places[0], places[-1])
    edges = edges - _ROUNDING  # of the start of a part, which is included
    first, stop = np.searchsorted(places, edges[:-1]), np.searchsorted(places, edges[1:])
    first, stop = np.where(stop > first, [first, stop], [nearest, nearest + 1])
    values = _wide(array.take(np.arange(first.min(), stop.max())))
    parts = zip(first - first.min(), stop - first.min(), strict=True)
    return np.stack([values[a:b].mean(axis=0) for a, b in parts]), centres


def _nearest(wanted: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.int64]:
    """Number of the place that is nearest to each that is wanted; of two, the earlier."""
    after = np.searchsorted(places, wanted).clip(1, max(1, len(places) - 1))
    if len(places) == 1:
        return np.zeros(len(wanted), np.int64)
    later = places[after] - wanted < wanted - places[after - 1]
    return np.asarray(after - 1 + later, np.int64)


def _wide(values: NDArray[Any]) -> NDArray[np.float64]:
    return values.astype(np.float64)

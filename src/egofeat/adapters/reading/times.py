"""Times as annotation files write them, in seconds."""

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from egofeat.adapters.reading.columns import Column
from egofeat.errors import ManifestError
from egofeat.words import quoted

MOST_SECONDS = 1e9
"""Some thirty years: a later time is none."""

_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d*)?)", re.ASCII)
_SECONDS = re.compile(r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+", re.ASCII)


def parse_time(text: str) -> float:
    """Seconds that `12.5`, `MM:SS.ss` or `HH:MM:SS.ss` stand for.

    Raises:
        ValueError: it is none of these, or above `MOST_SECONDS`.

    """
    plain = math.inf
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds = clock.groups()
        limit = 60 if hours else math.inf
        if float(minutes) < limit and float(seconds) < 60:
            plain = float(hours or 0) * 3600 + float(minutes) * 60 + float(seconds)
    elif _SECONDS.fullmatch(text):
        plain = float(text)
    if plain <= MOST_SECONDS:
        return plain
    raise ValueError(f"{quoted(text)} is no time: write seconds (12.5) or HH:MM:SS.ss")


def parse_intervals(
    starts: Column, stops: Column, place: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Half-open `[start, stop)` in seconds, of columns whose first row is at `place`.

    An empty cell means the video's begin or end.

    Raises:
        ManifestError: one is no time, or the interval is empty.

    """
    try:
        begins = starts.spread(parse_times(starts.cells, 0.0))
        ends = stops.spread(parse_times(stops.cells, math.inf))
    except ValueError as error:
        raise ManifestError(f"{place}: {error}") from None
    for row in np.flatnonzero(ends <= begins)[:1]:
        raise ManifestError(
            f"{place}: the stop {quoted(stops[row])} is not after the start "
            f"{quoted(starts[row] or '0')}: correct the times or remove the row"
        )
    return begins, ends


def parse_times(texts: Sequence[str], empty: float) -> NDArray[np.float64]:
    """`parse_time` of each cell, `empty` of one that is empty."""
    joined = "".join(texts)
    times = None
    with suppress(ValueError):
        if not joined.strip("0123456789."):
            times = [float(text) if text else -1 for text in texts]
        elif not joined.strip("0123456789.:") and ":." not in joined:
            times = _clocks(texts)
    if times is None or max(times, default=0) > MOST_SECONDS:
        times = [parse_time(text) if text else -1 for text in texts]
    of_rows = np.array(times, np.float64)
    of_rows[of_rows < 0] = empty
    return of_rows


def _clocks(texts: Sequence[str]) -> list[float] | None:
    """Times of clocks, which share hours and minutes; None where one may be none."""
    parts = [text.rpartition(":") for text in texts]
    seconds = [float(text) for _, _, text in parts]
    if max(seconds) >= 60:
        return None
    return [_begin(clock) + more for (clock, _, _), more in zip(parts, seconds, strict=True)]


@lru_cache(10_000)
def _begin(clock: str) -> float:
    """Seconds at which a minute begins."""
    return parse_time(f"{clock}:0")

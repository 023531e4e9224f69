"""Times as annotation files write them, in seconds."""

import math
import re

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


def parse_interval(start: str, stop: str, place: str) -> tuple[float, float]:
    """Half-open `[start, stop)` in seconds; empty means the video's begin or end.

    Raises:
        ManifestError: one is no time, or the interval is empty.

    """
    try:
        begin = parse_time(start) if start else 0.0
        end = parse_time(stop) if stop else math.inf
    except ValueError as error:
        raise ManifestError(f"{place}: {error}") from None
    if end <= begin:
        raise ManifestError(
            f"{place}: the stop {quoted(stop)} is not after the start {quoted(start or '0')}: "
            "correct the times or remove the row"
        )
    return begin, end

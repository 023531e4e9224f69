"""A video divided into stretches that are decoded side by side: pure functions.

A stretch is decoded from the key frame before it, so a cut costs the way from there: it is made
where that is short. Where depends on the plans and the video alone, never on who decodes it.
"""

from bisect import bisect
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from egofeat.recipe import FramePlan, View
from egofeat.segments import Segment

STRETCH_S = 15.0
"""Seconds of what a stretch decodes, at least."""
DETOUR = 0.1
"""Of a stretch, what is decoded twice so that the next one can begin, at most."""
MOST_STRETCHES = 32
"""Of a video; some that are not what they say must be read whole for each."""

Planned = tuple[Segment, FramePlan]
"""A segment, and the frames that it is made of."""


class Wanted(NamedTuple):
    """What one lane takes of a stretch."""

    plans: tuple[Planned, ...]
    views: tuple[View, ...]


def divide(
    lanes: Sequence[Sequence[Planned]],
    times: NDArray[np.float64],
    entries: NDArray[np.int64],
    *,
    anywhere: bool,
) -> list[tuple[Wanted, ...]]:
    """Stretches of a video, in order of time, each `[lanes]` what is taken of it; one at least.

    Args:
        lanes: what each takes of the whole video.
        times: `[frames]` seconds at which each frame is shown.
        entries: `[entries]` frames from which decoding can begin, rising from 0.
        anywhere: whether segments have one view, or are divided by their views: then a stretch may
            begin at any of them. Else it begins only where no segment is under way, so that no two
            stretches make a view that segments share.
    """
    items = [
        (lane, one, views, min(map(min, views)), max(map(max, views)))
        for lane, plans in enumerate(lanes)
        for one in plans
        for views in ([[view] for view in one[1].views] if anywhere else [one[1].views])
    ]
    spans = sorted((first, last) for *_, first, last in items)
    begins = _begins(spans, times, entries, anywhere)
    stretches: list[list[tuple[dict[str, Planned], list[View]]]] = [
        [({}, []) for _ in lanes] for _ in begins
    ]
    for lane, one, views, first, _ in items:
        plans, of_lane = stretches[bisect(begins, first) - 1][lane]
        plans[one[0].id] = one
        of_lane += views
    return [
        tuple(Wanted(tuple(plans.values()), tuple(views)) for plans, views in stretch)
        for stretch in stretches
    ]


def _begins(
    spans: Sequence[tuple[int, int]],
    times: NDArray[np.float64],
    entries: NDArray[np.int64],
    anywhere: bool,
) -> list[int]:
    """First frame that each stretch may want, from 0 on, of spans `[first, last]` by first."""
    if not spans:
        return [0]
    firsts, lasts = np.array(spans).T
    before = np.concatenate([[-1], np.maximum.accumulate(lasts)[:-1]])
    until = np.append(times[1:], times[-1])
    reached = np.where(before < 0, 0.0, until[before])
    way = times[firsts] - times[entries[np.searchsorted(entries, firsts, side="right") - 1]]
    # Seconds that are decoded for a span: its own that are new, and what lies before them.
    fresh = np.maximum(until[lasts] - np.maximum(times[firsts], reached), 0)
    fresh += np.clip(times[firsts] - reached, 0, way)
    done = np.cumsum(fresh) - fresh
    least = max(STRETCH_S, float(done[-1] + fresh[-1]) / MOST_STRETCHES)
    begins, begun = [0], 0.0
    for first, reach, detour, seconds in zip(firsts, before, way, done, strict=True):
        whole = anywhere or first > reach
        if whole and seconds - begun >= max(least, detour / DETOUR):
            begins.append(int(first))
            begun = seconds
    return begins

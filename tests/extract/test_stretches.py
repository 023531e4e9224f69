"""A video divided: every view once, and no segment cut."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from egofeat.extract.stretches import STRETCH_S, divide
from egofeat.recipe import FramePlan
from egofeat.segments import Segment

FPS = 5.0
TIMES = np.arange(6000) / FPS
spans = st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 900)), min_size=0, max_size=40)


def planned(of, views):
    """Segments of spans of frames, each of so many single frames, or one view of all."""
    plans = []
    for number, (first, length) in enumerate(of):
        frames = np.linspace(first, first + length - 1, 6).astype(np.int64)
        indices = frames[:, None] if views > 1 else frames[None, :]
        plans.append((Segment(f"s{number}", "v"), FramePlan(indices, frames / FPS)))
    return tuple(plans)


@given(spans, spans, st.booleans())
def test_every_view_is_in_one_stretch_of_its_lane(one, other, anywhere):
    lanes = [planned(of, 1 if anywhere else 6) for of in (one, other)]
    stretches = divide(lanes, TIMES, anywhere=anywhere)
    for lane, plans in enumerate(lanes):
        ids = [s.id for stretch in stretches for s, _ in stretch[lane].plans]
        assert sorted(ids) == sorted(s.id for s, _ in plans)
        views = [view for stretch in stretches for view in stretch[lane].views]
        assert sorted(views) == sorted(view for _, plan in plans for view in plan.views)
    if not anywhere:
        wanted = [
            {index for lane in stretch for view in lane.views for index in view}
            for stretch in stretches
        ]
        assert all(not a & b for n, a in enumerate(wanted) for b in wanted[:n])


def test_a_long_video_is_cut_at_gaps_and_a_short_one_is_not():
    minute = round(STRETCH_S * FPS)
    apart = [(k * minute, minute - 5) for k in range(8)]
    assert len(divide([planned(apart, 6)], TIMES, anywhere=False)) == 4
    assert len(divide([planned([(0, 8 * minute)], 6)], TIMES, anywhere=False)) == 1
    touching = [(k * 100, 110) for k in range(24)]
    assert len(divide([planned(touching, 6)], TIMES, anywhere=False)) == 1
    assert len(divide([planned(touching, 1)], TIMES, anywhere=True)) == 8
    assert len(divide([()], TIMES, anywhere=False)) == 1

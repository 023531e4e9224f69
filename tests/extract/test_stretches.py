"""A video divided: every view once, and no segment cut."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from egofeat.extract.decoding.stretches import STRETCH_S, divide
from egofeat.recipe import FramePlan
from egofeat.segments import Segment

FPS = 5.0
TIMES = np.arange(6000) / FPS
EVERY = np.arange(6000)
spans = st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 900)), min_size=0, max_size=40)


def planned(of, views):
    """Segments of spans of frames, each of so many single frames, or one view of all."""
    plans = []
    for number, (first, length) in enumerate(of):
        frames = np.linspace(first, first + length - 1, 6).astype(np.int64)
        indices = frames[:, None] if views > 1 else frames[None, :]
        plans.append((Segment(f"s{number}", "v"), FramePlan(indices, frames / FPS)))
    return tuple(plans)


@given(spans, spans, st.booleans(), st.integers(1, 900))
def test_every_view_is_in_one_stretch_of_its_lane(one, other, anywhere, group):
    lanes = [planned(of, 1 if anywhere else 6) for of in (one, other)]
    stretches = divide(lanes, TIMES, EVERY[::group], anywhere=anywhere)
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
    least = round(STRETCH_S * FPS)
    apart = [(k * least, least - 5) for k in range(8)]
    assert len(divide([planned(apart, 6)], TIMES, EVERY, anywhere=False)) == 4
    assert len(divide([planned([(0, 8 * least)], 6)], TIMES, EVERY, anywhere=False)) == 1
    touching = [(k * least // 3, least // 3 + 2) for k in range(24)]
    assert len(divide([planned(touching, 6)], TIMES, EVERY, anywhere=False)) == 1
    assert len(divide([planned(touching, 1)], TIMES, EVERY, anywhere=True)) == 8
    assert len(divide([()], TIMES, EVERY, anywhere=False)) == 1


def test_a_video_is_cut_where_the_way_from_a_key_frame_is_short():
    """Key frames 20 s apart: a tenth of a stretch is as much as may be decoded twice."""
    segments = [(k * 10, 10) for k in range(500)]  # 2 s each, without a gap
    key = round(20 * FPS)
    stretches = divide([planned(segments, 1)], TIMES, EVERY[::key], anywhere=True)
    begins = [min(min(view) for view in stretch[0].views) for stretch in stretches]
    assert len(begins) == 25
    assert all(begin % key == 0 for begin in begins)
    assert len(divide([planned(segments, 1)], TIMES, EVERY[:1], anywhere=True)) == 1

"""Putting frames together into views: each once, whole, and nothing kept longer than needed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from egofeat.extract.views import ViewBuilder

views = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=6).map(tuple), max_size=12)


def frame(index: int) -> np.ndarray:
    return np.full((1, 2, 2, 3), index, np.uint8)


@given(views)
def test_each_view_comes_once_with_its_frames_in_order(wanted):
    builder = ViewBuilder(wanted)
    order = sorted(builder.wanted_after(-1))
    assert order == sorted({index for view in wanted for index in view})
    made = [made for index in order for made in builder.add(index, frame(index))]
    assert sorted(view for view, _ in made) == sorted(set(wanted))
    for view, frames in made:
        assert frames.shape == (len(view), 1, 2, 2, 3)
        assert frames[:, 0, 0, 0, 0].tolist() == list(view)
    assert builder.wanted_after(-1) == set()
    assert len(builder) == 0


@given(views, st.integers(0, 40))
def test_views_that_are_given_up_want_nothing(wanted, lost):
    builder = ViewBuilder(wanted)
    builder.keep_only({view for view in wanted if lost not in view})
    left = builder.wanted_after(-1)
    assert lost not in left
    made = {view for index in sorted(left) for view, _ in builder.add(index, frame(index))}
    assert made == {view for view in wanted if lost not in view}


def test_overlapping_windows_hold_little_more_than_one_window():
    wanted = [tuple(range(start, start + 32)) for start in range(0, 200, 16)]
    builder = ViewBuilder(wanted)
    most = 0
    for index in range(200 + 32):
        for _ in builder.add(index, frame(index)) if builder.wants(index) else ():
            pass
        most = max(most, len(builder))
    assert most <= 32

"""Putting frames together into views: each once, whole, and nothing kept longer than needed."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from egofeat.extract.decoding.views import ViewBuilder

views = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=6).map(tuple), max_size=12)


def frame(index: int) -> torch.Tensor:
    return torch.full((1, 2, 2, 3), index, dtype=torch.uint8)


@given(views)
def test_each_view_comes_once_with_its_frames_in_order(wanted):
    builder = ViewBuilder(wanted)
    order = sorted(builder.wanted_after(-1))
    assert order == sorted({index for view in wanted for index in view})
    made = [made for index in order for made in builder.add(index, frame(index))]
    assert sorted(view for view, _ in made) == sorted(set(wanted))
    for view, frames in made:
        assert [one.shape for one in frames] == [(1, 2, 2, 3)] * len(view)
        assert [one.max() for one in frames] == list(view)
    assert builder.wanted_after(-1) == set()
    assert len(builder) == 0


@given(views, st.integers(0, 40), st.integers(-1, 40))
def test_views_that_are_given_up_want_nothing_at_any_moment(wanted, lost, reached):
    builder = ViewBuilder(wanted)
    order = sorted(builder.wanted_after(-1))
    made = [v for i in order if i <= reached for v, _ in builder.add(i, frame(i))]
    assert sorted(builder.views_of(lost)) == sorted(
        view for view in set(wanted) if lost in view and view not in made
    )
    builder.give_up([view for view in wanted if lost in view])
    assert not builder.wants(lost)
    kept = {view for view in wanted if lost not in view or view in made}
    left = builder.wanted_after(reached)
    assert left == {i for view in kept - set(made) for i in view if i > reached}
    for index in sorted(left):
        for view, frames in builder.add(index, frame(index)):
            assert [one.max() for one in frames] == list(view)
            made.append(view)
    assert sorted(made) == sorted(kept)
    assert len(builder) == 0


def test_a_frame_is_not_copied_for_a_view():
    only = frame(5)
    ((_, made),) = ViewBuilder([(5, 5)]).add(5, only)
    assert all(one is only for one in made)


def test_overlapping_windows_hold_little_more_than_one_window():
    wanted = [tuple(range(start, start + 32)) for start in range(0, 200, 16)]
    builder = ViewBuilder(wanted)
    most = 0
    for index in range(200 + 32):
        for _ in builder.add(index, frame(index)) if builder.wants(index) else ():
            pass
        most = max(most, len(builder))
    assert most <= 32

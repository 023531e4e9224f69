"""Uniform sampling: laws that hold for any segment and any frame times."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egofeat.errors import MediaError
from egofeat.extract.sampling import Uniform, frames_at


@st.composite
def videos(draw: st.DrawFn) -> tuple[np.ndarray, float]:
    """Rising frame times from 0, with any gaps, and the end of the last frame."""
    gaps = draw(st.lists(st.floats(0.001, 2.0), min_size=1, max_size=60))
    edges = np.concatenate([[0.0], np.cumsum(gaps)])
    return edges[:-1], float(edges[-1])


@given(videos(), st.integers(1, 40), st.floats(0, 0.99), st.floats(0.001, 1.0))
def test_frames_lie_where_the_segment_is(video, frames, begin, length):
    times, end = video
    start = begin * end
    stop = min(start + length * (end - start), end)
    plan = Uniform(frames).plan(start, stop, times, end)
    assert plan.indices.shape == plan.times.shape == (1, frames)
    assert (np.diff(plan.indices) >= 0).all()
    assert plan.indices.min() >= 0
    assert plan.indices.max() < len(times)
    np.testing.assert_array_equal(plan.times, times[plan.indices])
    assert (plan.times < stop + 1e-5).all()
    on_show_at_start = frames_at(np.array([start]), times)[0]
    assert plan.indices.min() >= on_show_at_start
    assert not plan.clipped


def test_each_frame_is_the_one_shown_at_the_centre_of_its_part():
    times = np.arange(100) / 10
    plan = Uniform(4).plan(1.0, 5.0, times, 10.0)
    assert plan.indices.tolist() == [[15, 25, 35, 45]]


def test_a_variable_frame_rate_is_sampled_by_time():
    times = np.concatenate([np.arange(30) / 30, 1 + np.arange(10) / 10])
    plan = Uniform(4).plan(0.0, 2.0, times, 2.0)
    np.testing.assert_allclose(plan.times, [[7 / 30, 22 / 30, 1.2, 1.7]])


def test_a_short_segment_repeats_frames():
    plan = Uniform(6).plan(0.0, math.inf, np.array([0.0, 0.5]), 1.0)
    assert plan.indices.tolist() == [[0, 0, 0, 1, 1, 1]]
    assert not plan.clipped


def test_the_end_of_the_video_is_the_end_of_the_segment():
    times = np.arange(10) / 10
    plan = Uniform(2).plan(0.5, 99.0, times, 1.0)
    assert plan.indices.tolist() == [[6, 8]]
    assert plan.clipped
    assert not Uniform(2).plan(0.5, math.inf, times, 1.0).clipped


@pytest.mark.parametrize("start", [1.0, 1.5])
def test_a_segment_past_the_end_is_refused(start):
    with pytest.raises(MediaError, match=r"past the end at 1\.000 s"):
        Uniform(2).plan(start, 2.0, np.arange(10) / 10, 1.0)


def test_no_frame_is_invented_before_the_first():
    with pytest.raises(MediaError, match="the first is at 5"):
        Uniform(2).plan(0.0, 2.0, 5 + np.arange(10) / 10, 6.0)


def test_a_time_that_rounding_put_before_its_frame_means_that_frame():
    assert frames_at(np.array([0.5 - 1e-9]), np.array([0.0, 0.5])).tolist() == [1]

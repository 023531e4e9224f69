"""Plans: laws that hold for any segment and any frame times, and the rules of others."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from egofeat.errors import MediaError
from egofeat.recipe import Clips, Uniform, Windows
from egofeat.recipe.moments import frames_at
from egofeat.recipe.plans import plan_of
from egofeat.recipe.sampling import window_starts


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
    assert (*plan.times.shape, 1) == plan.indices.shape == (frames, 1)
    assert (np.diff(plan.indices[:, 0]) >= 0).all()
    assert plan.indices.min() >= 0
    assert plan.indices.max() < len(times)
    np.testing.assert_array_equal(plan.times, times[plan.indices[:, 0]])
    assert (plan.times < stop + 1e-5).all()
    on_show_at_start = frames_at(np.array([start]), times)[0]
    assert plan.indices.min() >= on_show_at_start
    assert not plan.clipped


def test_each_frame_is_the_one_shown_at_the_centre_of_its_part():
    times = np.arange(100) / 10
    plan = Uniform(4).plan(1.0, 5.0, times, 10.0)
    assert plan.indices.ravel().tolist() == [15, 25, 35, 45]


def test_a_variable_frame_rate_is_sampled_by_time():
    times = np.concatenate([np.arange(30) / 30, 1 + np.arange(10) / 10])
    plan = Uniform(4).plan(0.0, 2.0, times, 2.0)
    np.testing.assert_allclose(plan.times, [7 / 30, 22 / 30, 1.2, 1.7])


def test_a_short_segment_repeats_frames():
    plan = Uniform(6).plan(0.0, math.inf, np.array([0.0, 0.5]), 1.0)
    assert plan.indices.ravel().tolist() == [0, 0, 0, 1, 1, 1]
    assert not plan.clipped


def test_the_end_of_the_video_is_the_end_of_the_segment():
    times = np.arange(10) / 10
    plan = Uniform(2).plan(0.5, 99.0, times, 1.0)
    assert plan.indices.ravel().tolist() == [6, 8]
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


@given(
    videos(),
    st.integers(1, 6),
    st.integers(1, 16),
    st.integers(1, 8),
    st.floats(0, 0.99),
    st.floats(0.01, 1.0),
)
def test_clips_never_leave_their_segment(video, clips, frames, stride, begin, length):
    times, end = video
    start = begin * end
    stop = min(start + length * (end - start), end)
    plan = Clips(clips, frames, stride, 30.0).plan(start, stop, times, end)
    assert plan.indices.shape == (clips, frames)
    assert plan.times.shape == (clips,)
    assert (np.diff(plan.indices, axis=1) >= 0).all()
    assert (np.diff(plan.indices, axis=0) >= 0).all()
    assert plan.indices.min() >= frames_at(np.array([start]), times)[0]
    assert (times[plan.indices] < stop).all()
    assert (plan.times >= start).all()
    assert (plan.times <= stop).all()


def test_one_clip_stands_in_the_middle_and_several_reach_both_ends():
    times = np.arange(300) / 30
    one = Clips(1, 4, 2, 30.0).plan(2.0, 6.0, times, 10.0)
    assert one.indices.tolist() == [[116, 118, 120, 122]]
    assert one.times.tolist() == [4.0]
    three = Clips(3, 4, 2, 30.0).plan(2.0, 6.0, times, 10.0)
    assert three.indices[:, 0].tolist() == [60, 116, 172]
    assert three.indices[2].tolist() == [172, 174, 176, 178]  # and 180 is past the end


def test_a_segment_shorter_than_a_clip_repeats_its_last_frame():
    plan = Clips(2, 6, 2, 30.0).plan(1.0, 1.2, np.arange(300) / 30, 10.0)
    assert plan.indices.tolist() == [[30, 32, 34, 35, 35, 35]] * 2


@pytest.mark.parametrize(("count", "rate"), [(300, 30), (250, 25), (40, 30), (299, 29.97)])
def test_clips_lie_where_the_publishers_have_them(count, rate):
    """By the formulas of both, in frames of the video: start, end, and what is spread between."""
    times, size = np.arange(count) / rate, 64 * rate / 30
    plan = Clips(10, 32, 2, 30.0, rule="pyslowfast").plan(0, math.inf, times, count / rate)
    for k, indices in enumerate(plan.indices):
        start = max(count - size, 0) * k / 10
        spread = torch.linspace(start, start + size - 1, 32, dtype=torch.float64)
        assert indices.tolist() == (spread + 1e-6).clamp(0, count - 1).long().tolist()
    if (count, rate) == (300, 30):
        assert plan.indices[:, 0].tolist() == [0, 23, 47, 70, 94, 118, 141, 165, 188, 212]
        assert plan.indices[0, -1] == 63
    plan = Clips(10, 32, 2, 30.0, rule="pytorchvideo").plan(0, math.inf, times, count / rate)
    for k, indices in enumerate(plan.indices):
        start = max(count / rate - 64 / 30, 0) * k / 9
        there = np.flatnonzero((times >= start - 1e-6) & (times < start + 64 / 30 - 1e-6))
        spread = torch.linspace(0, len(there) - 1, 32, dtype=torch.float64)
        assert indices.tolist() == there[(spread + 1e-6).long().numpy()].tolist()
    alone = Clips(1, 4, 2, 30.0, rule="pyslowfast").plan(2.0, 6.0, np.arange(300) / 30, 10.0)
    assert alone.indices.tolist() == [[60, 62, 64, 67]]
    again = plan_of(Clips(10, 32, 2, 30.0, rule="pyslowfast").to_dict())
    assert again == Clips(10, 32, 2, 30.0, rule="pyslowfast")
    assert "rule" not in Clips(10, 32, 2, 30.0).to_dict(), "old digests stay"


RATES = [10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120, 240]


@pytest.mark.parametrize("wanted", [15.0, 30.0, 60.0])
@pytest.mark.parametrize("rate", RATES)
def test_another_frame_rate_is_reached_whatever_the_clock_rounds_to(rate, wanted):
    """Times in whole milliseconds, as Matroska keeps them, choose the frames of exact ones."""
    exact = np.arange(rate * 20) / rate
    plan = Clips(1, 200, 1, wanted)
    stop = 200 / wanted
    frames = plan.plan(0.0, stop, exact, 20.0).indices
    rounded = plan.plan(0.0, stop, np.round(exact, 3), 20.0).indices
    np.testing.assert_array_equal(frames, rounded)
    if rate == wanted:
        np.testing.assert_array_equal(np.diff(frames), 1)


@pytest.mark.parametrize(
    ("frames", "starts"),
    [
        (1, [0]),
        (31, [0]),
        (32, [0]),
        (33, [0, 1]),
        (39, [0, 7]),
        (48, [0, 16]),
        (49, [0, 16, 17]),
        (64, [0, 16, 32]),
    ],
)
def test_the_last_window_is_ego4ds(frames, starts):
    assert window_starts(frames, 32, 16).tolist() == starts


@given(st.integers(1, 5000), st.integers(1, 64), st.integers(1, 64))
def test_windows_are_as_many_as_ego4d_says_and_end_with_the_video(frames, size, stride):
    starts = window_starts(frames, size, stride)
    n = frames - size
    expected = 1 if n < 0 else n // stride + 1 + (1 if n % stride else 0)
    assert len(starts) == expected
    assert starts[-1] + size == max(frames, size)
    assert (np.diff(starts) > 0).all()


def test_windows_know_their_frames_and_times():
    times = np.arange(39) / 30
    plan = Windows(32, 16, 30.0, 32).plan(0.0, math.inf, times, 39 / 30)
    np.testing.assert_array_equal(plan.indices, [np.arange(32), np.arange(7, 39)])
    np.testing.assert_allclose(plan.times * 30, [[0, 16, 32], [7, 23, 39]])
    thinned = Windows(32, 16, 30.0, 8).plan(0.0, math.inf, times, 39 / 30)
    assert thinned.indices[0].tolist() == [0, 4, 8, 13, 17, 22, 26, 31]
    image = Windows(32, 16, 30.0, 1).plan(0.0, math.inf, times, 39 / 30)
    assert image.indices.tolist() == [[15], [22]]


def test_a_video_shorter_than_a_window_repeats_its_last_frame():
    plan = Windows(8, 4, 30.0, 8).plan(0.0, math.inf, np.arange(5) / 30, 5 / 30)
    assert plan.indices.tolist() == [[0, 1, 2, 3, 4, 4, 4, 4]]
    np.testing.assert_allclose(plan.times, [[0, 2.5 / 30, 5 / 30]])


@pytest.mark.parametrize("plan", [Uniform(7), Clips(10, 32, 2, 30.0), Windows(32, 16, 30.0, 8)])
def test_a_plan_is_rebuilt_from_a_recipe(plan):
    assert plan_of(plan.to_dict()) == plan


@pytest.mark.parametrize("jump", [7200.0, 3e6, 1e12])
@pytest.mark.parametrize("stride", [1, 64])
def test_a_clock_that_jumps_is_told_before_windows_fill_the_memory(jump, stride):
    times = np.concatenate([np.arange(8) / 30, jump + np.arange(2) / 30])
    with pytest.raises(MediaError, match=r"10 frames are spread over .* time stamps must jump"):
        Windows(64, stride, 30.0, 16).plan(0.0, math.inf, times, jump + 0.1)
    for start, stop in ((0.0, 0.3), (jump, math.inf)):  # on either side it is a film as any
        plan = Windows(2, 1, 30.0, 2).plan(start, stop, times, jump + 2 / 30)
        assert 1 <= len(plan.indices) <= 8


def test_a_film_that_stands_still_is_no_jump():
    stills = np.arange(200) * 20.0  # a picture every 20 s, for over an hour
    assert len(Windows(32, 16, 30.0, 8).plan(0.0, math.inf, stills, 4000.0).indices) > 7000
    hours = np.arange(8 * 3600) / 1.0
    assert len(Windows(32, 16, 30.0, 8).plan(0.0, math.inf, hours, 8 * 3600.0).indices) > 50000

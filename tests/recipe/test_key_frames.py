"""The clip around a moment: which frames it takes, and what the store says of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egofeat.errors import MediaError
from egofeat.recipe import KeyFrames
from egofeat.recipe.moments import frames_at
from egofeat.recipe.plans import plan_of


def video(fps: float, frames: int) -> tuple[np.ndarray, float]:
    return np.arange(frames) / fps, frames / fps


def test_the_clip_is_that_of_the_published_detection_networks():
    times, end = video(30, 27_000)
    plan = KeyFrames(32, 2, 30.0).plan(2.0, 3.0, times, end)
    # PySlowFast: from half the clip before the key frame, every second frame, the end excluded.
    np.testing.assert_array_equal(plan.indices[0], np.arange(60 - 32, 60 + 32, 2))
    assert plan.times.tolist() == [2.0]


@given(st.sampled_from([24, 25, 30, 50, 60]), st.integers(0, 299), st.sampled_from([1, 4, 8, 32]))
def test_the_middle_frame_shows_the_moment_and_the_ends_repeat(fps, number, frames):
    times, end = video(fps, 300)
    moment = number / fps
    indices = KeyFrames(frames, 2, float(fps)).plan(moment, moment + 1, times, end).indices[0]
    assert indices[frames // 2] == number
    expected = np.clip(number + (np.arange(frames) - frames // 2) * 2, 0, 299)
    np.testing.assert_array_equal(indices, expected)


@given(
    st.sampled_from([23.976, 24, 25, 29.97, 30, 48, 50, 59.94, 60]),
    st.floats(0, 9.9),
    st.sampled_from([1, 8, 32]),
)
def test_the_middle_frame_is_the_one_on_show_at_any_rate(fps, moment, frames):
    times, end = video(fps, int(10 * fps))
    indices = KeyFrames(frames, 2, 30.0).plan(moment, moment + 1, times, end).indices[0]
    assert indices[frames // 2] == frames_at(np.array(moment), times)
    assert (np.diff(indices) >= 0).all()


def test_by_boxes_it_says_where_the_clip_begins_and_ends():
    times, end = video(30, 300)
    plan = KeyFrames(32, 2, 30.0, boxes="sha256:0").plan(5.0, 6.0, times, end)
    np.testing.assert_allclose(plan.times, [[5 - 32 / 30, 5, 5 + 32 / 30]])
    assert KeyFrames(32, 2, 30.0, boxes="sha256:0").flat
    assert not KeyFrames(32, 2, 30.0).flat


def test_a_single_frame_is_the_one_on_show():
    times, end = video(29.97, 300)
    for moment in (0.0, 1.0, 5.0, 9.99):
        plan = KeyFrames(1, 1, 30.0).plan(moment, moment + 1, times, end)
        assert plan.indices.tolist() == [[int(np.searchsorted(times, moment + 1e-6, "right")) - 1]]
    beside = KeyFrames(1, 1, 30.0).plan(0.0, 1.0, times, end, neighbours=(1, 1)).indices
    assert beside.tolist() == [[0, 0, 1]]


@pytest.mark.parametrize(
    ("moment", "said"), [(10.0, r"begins at 10\.000 s, past the end at 10\.000 s"), (-0.5, "needs")]
)
def test_a_moment_outside_the_video_is_refused(moment, said):
    times, end = video(30, 300)
    with pytest.raises(MediaError, match=said):
        KeyFrames(32, 2, 30.0).plan(moment, moment + 1, times, end)


@pytest.mark.parametrize("boxes", [None, "sha256:12"])
def test_a_plan_is_rebuilt_from_its_description(boxes):
    plan = KeyFrames(32, 2, 30.0, boxes=boxes)
    assert plan_of(plan.to_dict()) == plan

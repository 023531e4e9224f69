"""Holes in folders of images: what is not there is never stood for by what is seconds away."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from egofeat.errors import MediaError
from egofeat.extract.video import open_video
from egofeat.recipe import Clips, KeyFrames, Plan, Uniform, Windows
from egofeat.segments import Media

FPS = 20.0
PLANS: list[Plan] = [
    Uniform(4),
    Uniform(20),
    Clips(2, 4, 1, FPS),
    KeyFrames(4, 1, FPS),
    KeyFrames(1, 1, FPS),
    Windows(8, 4, FPS, 8),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images 1 to 10 and 391 to 400: seconds [0, 0.5) and [19.5, 20)."""
    folder = tmp_path_factory.mktemp("gap")
    for number in [*range(1, 11), *range(391, 401)]:
        Image.new("L", (4, 4), number % 256).save(folder / f"frame_{number:010}.png")
    return folder


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("beside", [(0, 0), (0, 1), (1, 1)])
def test_a_segment_in_the_hole_has_no_frames(folder: Path, plan: Plan, beside) -> None:
    with open_video(Media(folder, fps=FPS)) as source:
        for start, stop in [(5.0, 6.0), (0.7, 19.0), (1.0, 1.04)]:
            with pytest.raises(MediaError, match=r"no image between that at 0\.450 s and that at"):
                plan.plan(start, stop, source.times, source.stop, beside, source.lasting)
        beyond = plan.plan(19.7, 99.0, source.times, source.stop, beside, source.lasting)
        assert beyond.indices.min() >= 10


def test_windows_in_the_hole_are_lost_and_the_others_kept(folder: Path) -> None:
    with open_video(Media(folder, fps=FPS)) as source:
        plan = Windows(8, 4, FPS, 8).plan(
            0.0, math.inf, source.times, source.stop, lasting=source.lasting
        )
    assert plan.indices.tolist() == [list(range(8)), list(range(12, 20))]
    assert plan.times[:, 0].tolist() == [0.0, pytest.approx(19.6)]
    assert len(plan.lost) == 97
    assert plan.lost[0].tolist() == pytest.approx([0.2, 0.4, 0.6])


@settings(deadline=None)
@given(
    absent=st.sets(st.integers(0, 39), max_size=20),
    plan=st.sampled_from(PLANS),
    start=st.floats(0, 1.9),
    length=st.floats(0.01, 3.0),
)
def test_no_frame_is_further_away_than_one_frames_time(absent, plan, start, length) -> None:
    """Whole and sparse images give frames within one frame's time, or nothing."""
    there = np.array(sorted(set(range(41)) - absent))  # number 40 keeps the end
    whole, times, end = np.arange(41) / FPS, there / FPS, 41 / FPS
    expected = plan.plan(start, start + length, whole, end)
    try:
        found = plan.plan(start, start + length, times, end, lasting=1 / FPS)
    except MediaError:
        # Something that was wanted is not there.
        assert absent & set(expected.indices.ravel().tolist())
        return
    kept = np.isin(expected.times, found.times).reshape(len(expected.times), -1).all(axis=1)
    wanted = expected.indices[kept] if len(kept) == len(expected.indices) else expected.indices
    if found.indices.shape == wanted.shape:
        assert np.abs(there[found.indices] - wanted).max() <= 1
    if not len(found.lost) and not absent & set(expected.indices.ravel().tolist()):
        assert (there[found.indices] == expected.indices).all()


def test_a_frame_of_a_video_file_lasts_until_the_next() -> None:
    times = np.array([0.0, 0.05, 7.0])
    assert Uniform(2).plan(2.0, 4.0, times, 8.0).indices.ravel().tolist() == [1, 1]

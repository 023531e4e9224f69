import csv
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from egofeat.errors import RequestError
from egofeat.pipelines.demo.actions import CANVAS, NOUNS, PAIRS, VERBS, Action, pose
from egofeat.pipelines.demo.clips import COLUMNS, FRAME, draw_demo, session_frames
from egofeat.pipelines.demo.drawing import draw_action, draw_arms
from egofeat.pipelines.demo.sessions import FPS, person_of, plan_sessions

CLIPS = 12


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_demo(tmp_path_factory.mktemp("demo"), clips=CLIPS).parent


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "segments.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def an_action(verb: str, noun: str) -> Action:
    return Action(
        verb=verb,
        noun=noun,
        x=290.0,
        y=300.0,
        side=1,
        size=1.0,
        yaw=0.2,
        body=(200, 60, 50),
        lid=(50, 90, 200),
        food=(60, 200, 80),
    )


def still_camera(action: Action, step: int, steps: int) -> NDArray[np.uint8]:
    view = Image.new("RGB", CANVAS, (150, 140, 130))
    pen, person, now = ImageDraw.Draw(view), person_of(0, 0), pose(action, step, steps)
    draw_action(pen, person, action, now, (0.0, 0.0))
    draw_arms(pen, person, action, now, shift=(0.0, 0.0), sway=(0.0, 0.0))
    return np.asarray(view)


@pytest.mark.parametrize("noun", NOUNS)
@pytest.mark.parametrize(("forward", "backward"), PAIRS)
def test_a_verb_is_its_pair_backwards(forward: str, backward: str, noun: str) -> None:
    steps = 15
    played = [still_camera(an_action(forward, noun), i, steps) for i in range(steps)]
    reversed_ = [still_camera(an_action(backward, noun), i, steps) for i in range(steps)][::-1]
    np.testing.assert_array_equal(np.stack(played), np.stack(reversed_))
    assert not np.array_equal(played[0], played[-1])


@given(
    verb=st.sampled_from(VERBS),
    noun=st.sampled_from(NOUNS),
    steps=st.integers(40, 60),
)
@settings(max_examples=60, deadline=None)
def test_nothing_jumps(verb: str, noun: str, steps: int) -> None:
    poses = [pose(an_action(verb, noun), step, steps) for step in range(steps)]
    for before, after in pairwise(poses):
        assert np.hypot(*np.subtract(after.thing, before.thing)) < 60
        assert np.hypot(*np.subtract(after.hand, before.hand)) < 200
    assert poses[0].hand[1] > CANVAS[1]
    assert poses[-1].hand[1] > CANVAS[1]


def test_food_is_neither_made_nor_lost() -> None:
    for step in range(50):
        now = pose(an_action("fill", "bowl"), step, 50)
        assert now.inside * 3 + now.heap + now.carried == pytest.approx(3)


def test_frames_depend_on_the_seed_alone() -> None:
    session = plan_sessions(CLIPS, 5)[0]

    def first_frames(seed: int) -> NDArray[np.uint8]:
        frames = session_frames(session, person_of(0, 5), np.random.default_rng(seed))
        return np.stack([next(frames) for _ in range(4)])

    assert first_frames(1).shape == (4, FRAME[1], FRAME[0], 3)
    np.testing.assert_array_equal(first_frames(1), first_frames(1))
    assert not np.array_equal(first_frames(1), first_frames(2))


def test_plan_covers_every_verb_and_noun_and_keeps_participants_apart() -> None:
    sessions = plan_sessions(240, 0)
    assert sum(len(session.actions) for session in sessions) == 240
    assert len({session.name for session in sessions}) == len(sessions)
    people = {
        split: {session.participant for session in sessions if session.split == split}
        for split in ("train", "val")
    }
    assert people["train"]
    assert people["val"]
    assert not people["train"] & people["val"]
    for split in people:
        done = [a for session in sessions if session.split == split for a in session.actions]
        assert {action.noun for action in done} == set(NOUNS)
        times = [sum(action.verb == verb for action in done) for verb in VERBS]
        assert max(times) - min(times) <= 6


def test_some_segments_overlap_and_some_leave_a_gap() -> None:
    steps = [
        after[0] - before[1]
        for session in plan_sessions(240, 0)
        for before, after in pairwise(session.annotated)
    ]
    assert min(steps) < 0 < max(steps)


def test_table_is_well_formed(demo: Path) -> None:
    rows = rows_of(demo)
    assert len(rows) == CLIPS
    assert tuple(rows[0]) == COLUMNS
    assert {row["split"] for row in rows} == {"train", "val"}
    for row in rows:
        assert row["verb"] in VERBS
        assert row["noun"] in NOUNS
        assert row["video"].startswith(row["participant"])
        assert 0 <= float(row["start"]) < float(row["stop"])


def test_videos_decode_and_hold_their_segments(demo: Path) -> None:
    for video in {row["video"] for row in rows_of(demo)}:
        with av.open(demo / "videos" / video) as container:
            stream = container.streams.video[0]
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
            assert stream.codec_context.name == "h264"
            assert stream.average_rate == FPS
        assert {frame.shape for frame in frames} == {(FRAME[1], FRAME[0], 3)}
        assert min(frame.std() for frame in frames) > 10
        stops = [float(row["stop"]) for row in rows_of(demo) if row["video"] == video]
        assert max(stops) <= len(frames) / FPS


def test_encoded_frames_are_the_drawn_ones(demo: Path) -> None:
    session = plan_sessions(CLIPS, 0)[0]
    drawn = next(session_frames(session, person_of(0, 0), np.random.default_rng([0, 1, 0])))
    with av.open(demo / "videos" / f"{session.name}.mp4") as container:
        shown = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(shown.astype(int) - drawn).mean() < 8


def test_a_second_run_draws_only_what_is_missing_or_damaged(tmp_path: Path) -> None:
    draw_demo(tmp_path, clips=8)
    videos = sorted((tmp_path / "videos").iterdir())
    kept, missing, damaged = videos[0], videos[1], videos[2]
    first = {video: video.read_bytes() for video in videos}
    stamp = kept.stat().st_mtime_ns
    missing.unlink()
    damaged.write_bytes(first[damaged][:100])
    told: list[tuple[int, int]] = []
    draw_demo(tmp_path, clips=8, progress=lambda done, total: told.append((done, total)))
    assert {video: video.read_bytes() for video in videos} == first
    assert sorted((tmp_path / "videos").iterdir()) == videos
    assert kept.stat().st_mtime_ns == stamp
    assert told == [(n, 4) for n in range(1, 5)]


def test_another_seed_draws_other_videos(tmp_path: Path) -> None:
    table = draw_demo(tmp_path, clips=8, seed=0)
    before = table.read_text(), (tmp_path / "videos" / "P01_01.mp4").read_bytes()
    draw_demo(tmp_path, clips=8, seed=1)
    after = table.read_text(), (tmp_path / "videos" / "P01_01.mp4").read_bytes()
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_too_few_clips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="8 or more"):
        draw_demo(tmp_path, clips=3)

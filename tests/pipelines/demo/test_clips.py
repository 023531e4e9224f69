import csv
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from egofeat.errors import RequestError
from egofeat.pipelines.drawn.clips import (
    FPS,
    NOUNS,
    PAIRS,
    VERBS,
    Clip,
    draw_clip,
    draw_demo,
    plan_sessions,
    session_frames,
)


def played(verb: str, noun: str) -> NDArray[np.uint8]:
    """All frames [15, H, W, 3] of a clip before a camera that stands still."""
    clip = Clip(
        verb=verb,
        noun=noun,
        frames=range(15),
        start=0.0,
        stop=0.6,
        side=1,
        place=(290.0, 300.0),
        size=1.0,
        body="#c83c32",
        shade="#a03028",
        lid="#325ac8",
        food="#3cc850",
    )
    views = [Image.new("RGB", (640, 480), "#968c82") for _ in clip.frames]
    for frame, view in enumerate(views):
        draw_clip(ImageDraw.Draw(view), clip, frame, (0.0, 0.0), "#dca078")
    return np.stack([np.asarray(view) for view in views])


@pytest.mark.parametrize(("forward", "backward"), PAIRS)
def test_a_verb_is_its_pair_backwards(forward: str, backward: str) -> None:
    for noun in NOUNS:
        frames = played(forward, noun)
        np.testing.assert_array_equal(frames, played(backward, noun)[::-1])
        assert not np.array_equal(frames[0], frames[-1])


def test_plan_covers_every_verb_and_noun_and_keeps_participants_apart() -> None:
    sessions = plan_sessions(240)
    assert sum(len(session.clips) for session in sessions) == 240
    assert len({session.video for session in sessions}) == len(sessions)
    people = [{s.participant for s in sessions if s.split == split} for split in ("train", "val")]
    assert all(people)
    assert not people[0] & people[1]
    for split in ("train", "val"):
        done = [clip for s in sessions if s.split == split for clip in s.clips]
        assert {clip.noun for clip in done} == set(NOUNS)
        times = [sum(clip.verb == verb for clip in done) for verb in VERBS]
        assert max(times) - min(times) <= 6


def test_videos_hold_what_the_table_says_and_what_was_drawn(tmp_path: Path) -> None:
    told: list[int] = []
    table = draw_demo(tmp_path, 8, told.append)
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert {row["split"] for row in rows} == {"train", "val"}
    assert {row["verb"] for row in rows} <= set(VERBS)
    assert {row["noun"] for row in rows} <= set(NOUNS)
    sessions = plan_sessions(8)
    assert told == [1] * len(sessions)
    for session in sessions:
        with av.open(tmp_path / "videos" / session.video) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert stream.average_rate == FPS
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        for shown, drawn in zip(frames, session_frames(session), strict=True):
            assert np.abs(shown.astype(int) - drawn).mean() < 8
        for row in (row for row in rows if row["video"] == session.video):
            assert 0 <= float(row["start"]) < float(row["stop"]) <= len(frames) / FPS
            assert row["participant"] == session.video[:3]


def test_a_second_run_draws_what_is_missing_or_of_another_table(tmp_path: Path) -> None:
    table = draw_demo(tmp_path, 8)
    videos = sorted((tmp_path / "videos").iterdir())
    first = {video: video.read_bytes() for video in videos}
    videos[1].unlink()
    told: list[int] = []
    draw_demo(tmp_path, 8, told.append)
    assert told == [1]
    assert {video: video.read_bytes() for video in videos} == first
    table.write_text("of an older demo")
    draw_demo(tmp_path, 8, told.append)
    assert len(told) == 1 + len(videos)
    assert {video: video.read_bytes() for video in videos} == first


def test_too_few_clips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="8 or more"):
        draw_demo(tmp_path, clips=3)

"""A second run of `egofeat persons`: what it looks at again, and what it leaves alone."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from egofeat.adapters.reading.box_files import read_detections
from egofeat.errors import EgofeatError
from egofeat.pipelines.persons import detect as persons
from egofeat.pipelines.persons.job import plan_persons
from egofeat.segments import Segment


def test_a_second_run_opens_nothing_and_says_the_same(
    monkeypatch, key_frames, configured, detect, contents
):
    dataset = key_frames(seconds=7)
    first = detect(configured(), dataset)
    before = contents(Path(first.folder))
    monkeypatch.setattr("egofeat.extract.stills.open_video", None)
    again = detect(configured(), dataset)
    assert contents(Path(first.folder)) == before
    assert again.skipped == 4
    for name in ("key_frames", "empty", "boxes", "failed"):
        assert getattr(again, name) == getattr(first, name)


def test_of_two_planned_at_once_the_later_one_looks_at_nothing(
    monkeypatch, key_frames, configured, contents
):
    one, other = (plan_persons(configured(), key_frames()) for _ in range(2))
    first = persons.run(one)
    before = contents(Path(first.folder))
    monkeypatch.setattr("egofeat.extract.stills.open_video", None)
    second = persons.run(other)
    assert (second.boxes, second.failed) == (first.boxes, first.failed)
    assert contents(Path(first.folder)) == before


def test_failures_are_tried_again_when_asked(media, tmp_path, key_frames, configured, detect):
    mended = tmp_path / "media"
    shutil.copytree(media, mended)
    dataset = key_frames(folder=mended)
    report = detect(configured(), dataset)
    assert report.failed == 1
    shutil.copy(media / "one.mp4", mended / "bad.mp4")
    assert detect(configured(), dataset).failed == 1
    retried = detect(configured(retry_failed=True), dataset)
    assert (retried.failed, retried.skipped, retried.boxes) == (0, 3, 13)
    assert not (Path(report.folder) / "failures.jsonl").exists()


def test_a_video_that_went_away_keeps_the_boxes_that_it_has(
    media, tmp_path, key_frames, configured, detect
):
    moved = tmp_path / "media"
    shutil.copytree(media, moved)
    dataset = key_frames(folder=moved, seconds=6, videos=("one",))
    first = detect(configured(), dataset)
    assert first.failed == 1
    (moved / "one.mp4").unlink()
    again = detect(configured(retry_failed=True), dataset)
    assert (again.boxes, again.key_frames, again.failed) == (4, 5, 1)
    rows = (Path(first.folder) / "failures.jsonl").read_text()
    assert "does not exist" in rows
    assert len(read_detections(Path(first.folder), dataset.segments, 0.8).boxes) == 4


def test_key_frames_that_were_added_are_looked_at(key_frames, configured, detect):
    detect(configured(), key_frames(seconds=2, videos=("one", "two")))
    report = detect(configured(), key_frames(seconds=4, videos=("one", "two")))
    assert (report.skipped, report.key_frames, report.boxes) == (0, 8, 4)


def test_key_frames_whose_moments_were_corrected_are_looked_at_again(
    key_frames, configured, detect
):
    dataset = key_frames(videos=("one", "two"))
    early = tuple(replace(s, start=s.start / 4, stop=s.stop / 4) for s in dataset.segments[:5])
    detect(configured(), replace(dataset, segments=early + dataset.segments[5:]))
    report = detect(configured(), dataset)
    whole = detect(configured(out="whole"), dataset)
    assert (report.skipped, report.boxes) == (1, whole.boxes)
    rows = [(Path(one.folder) / "one.csv").read_bytes() for one in (report, whole)]
    assert rows[0] == rows[1]
    assert detect(configured(), dataset).skipped == 2


def test_key_frames_that_were_past_the_end_are_looked_at_where_they_are(
    key_frames, configured, detect
):
    dataset = key_frames(videos=("one",))
    late = replace(
        dataset,
        segments=tuple(
            replace(s, start=s.start + 900, stop=s.stop + 900) for s in dataset.segments
        ),
    )
    assert detect(configured(), late).failed == 5
    report = detect(configured(), dataset)
    assert (report.failed, report.key_frames, report.boxes) == (0, 5, 4)
    gone = detect(configured(), late)
    assert (gone.failed, gone.boxes) == (5, 0)
    assert not read_detections(Path(gone.folder), late.segments, 0.8).boxes


@pytest.mark.parametrize("changes", [{"fps": 0.5}, {"first_frame": 3}])
def test_images_of_another_rate_or_first_number_are_looked_at_again(
    key_frames, configured, detect, changes
):
    dataset = key_frames(seconds=2, videos=("frames_a",))
    detect(configured(), dataset)
    moved = replace(dataset.media["frames_a"], **changes)
    changed = replace(dataset, media={**dataset.media, "frames_a": moved})
    assert detect(configured(), changed).skipped == 0
    assert detect(configured(), changed).skipped == 1


def test_whole_videos_of_images_of_another_rate_are_looked_at_again(key_frames, configured, detect):
    images = key_frames().media["frames_a"]
    dataset = replace(
        key_frames(), key_frames=False, media={"a": images}, segments=(Segment("a", "a"),)
    )
    assert detect(configured(every=1.0), dataset).key_frames == 5
    slow = replace(dataset, media={"a": replace(images, fps=0.5)})
    assert detect(configured(every=1.0), slow).key_frames == 10
    assert detect(configured(every=1.0), slow).skipped == 1


DAMAGES = {
    "empty": lambda _: "",
    "half": lambda text: text[: len(text) // 2],
    "list": lambda _: "[]",
    "number": lambda _: "3",
    "a key is absent": lambda text: json.dumps(
        {key: value for key, value in json.loads(text).items() if key != "boxes"}
    ),
    "words for seconds": lambda text: text.replace("1.0", '"soon"'),
    "a failure of words": lambda text: text.replace('"failures": []', '"failures": ["none"]'),
    "a failure without a reason": lambda text: text.replace(
        '"failures": []', '"failures": [{"id": "one", "stop": null}]'
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_record_is_named_with_the_mend(key_frames, configured, detect, contents, damage):
    dataset = key_frames(videos=("one", "two"))
    folder = Path(detect(configured(), dataset).folder)
    before = contents(folder)
    path = folder / "looked/one.json"
    path.write_text(damage(path.read_text()))
    said = f"{path} is damaged: remove it and give the same command again"
    for some in (dataset, key_frames(videos=("two",))):  # its own, and one to be gathered only
        with pytest.raises(EgofeatError) as refused:
            detect(configured(), some)
        assert str(refused.value) == said
    path.unlink()
    assert detect(configured(), dataset).skipped == 1
    assert contents(folder) == before


def test_a_dry_run_counts_what_was_corrected(key_frames, configured, detect):
    dataset = key_frames(videos=("one",))
    detect(configured(), dataset)
    moved = tuple(replace(s, start=s.start + 0.5) for s in dataset.segments)
    assert not plan_persons(configured(), dataset).left
    assert len(plan_persons(configured(), replace(dataset, segments=moved)).left) == 1

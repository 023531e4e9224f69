"""`egofeat persons`: which frames are looked at, and the boxes that are kept of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from egofeat.adapters.reading.box_files import read_detections
from egofeat.errors import RequestError
from egofeat.pipelines.persons.job import plan_persons
from egofeat.segments import Segment

WIDTH, HEIGHT, SIDE = 96, 64, 16
"""Of the films, and of the red square that walks in them."""


def test_boxes_stand_where_the_persons_are_in_avas_form(tmp_path, key_frames, configured, detect):
    dataset = key_frames()
    report = detect(configured(), dataset)
    folder = Path(report.folder)
    assert folder.parent == tmp_path / "boxes/tiny"
    detections = read_detections(folder, dataset.segments, 0.8)
    expected = {f"one_{900 + k:04d}": 20 * k for k in range(4)}
    assert detections.boxes.keys() == {*expected, *(f"frames_a_{900 + k:04d}" for k in range(5))}
    for id_, left in expected.items():
        (corners,) = detections.boxes[id_].corners * [WIDTH, HEIGHT, WIDTH, HEIGHT]
        np.testing.assert_allclose(corners, [left, 24, left + SIDE, 24 + SIDE], atol=1.01)
        np.testing.assert_allclose(detections.boxes[id_].scores, [0.95])
    rows = (folder / "frames_a.csv").read_text().splitlines()
    assert rows == [f"frames_a,{900 + k:04d},0.0,0.0,1.0,1.0,,0.95" for k in range(5)]
    assert (folder / "two.csv").read_bytes() == b""
    assert (report.videos, report.key_frames, report.boxes) == (4, 15, 9)
    assert (report.empty, report.skipped) == (6, 0)


def test_the_detector_is_described_beside_its_boxes(key_frames, configured, detect):
    config = configured()
    folder = Path(detect(config, key_frames()).folder)
    said = json.loads((folder / "detector.json").read_text())
    versions = said.pop("made_with")
    assert said == {
        "schema": 1,
        "detector": "fasterrcnn_resnet50_fpn_v2",
        "weights": "random:0",
        "threshold": 0.8,
        "min_size": 0.0,
        "moments": "key frames",
        "decoder": "pyav",
    }
    assert {"egofeat", "torchvision", "decoder"} <= versions.keys()
    changes = ({"threshold": 0.5}, {"min_size": 4}, {"weights": "random:1"})
    others = {plan_persons(replace(config, **c), key_frames()).folder.path for c in changes}
    assert len(others | {folder}) == 4
    assert plan_persons(replace(config, batch_size=7), key_frames()).folder.path == folder


def test_threshold_and_size_decide_which_boxes_are_kept(key_frames, configured, detect):
    dataset = key_frames(videos=("one",))
    assert detect(configured(threshold=0.3), dataset).boxes == 8
    assert detect(configured(min_size=SIDE + 4), dataset).boxes == 0


def test_what_cannot_be_read_is_recorded_and_the_rest_goes_on(
    media, key_frames, configured, detect
):
    dataset = key_frames(seconds=7)
    report = detect(configured(), dataset)
    written = (Path(report.folder) / "failures.jsonl").read_text()
    lines = [json.loads(line) for line in written.splitlines()]
    assert [line["id"] for line in lines] == [
        "bad",
        *(f"{video}_{stamp}" for video in ("frames_a", "one", "two") for stamp in ("0905", "0906")),
    ]
    assert str(media / "bad.mp4") in lines[0]["reason"]
    assert "past the end at 5.000 s" in lines[1]["reason"]
    assert report.failed == 7
    assert report.key_frames == 15
    assert "failures.jsonl" in report.lines()[-1]
    assert not (Path(report.folder) / "bad.csv").exists()


def test_a_split_is_the_videos_that_it_has_segments_of(key_frames, configured, detect):
    dataset = key_frames()
    others = tuple(
        replace(s, split="val" if s.video == "one" else "train") for s in dataset.segments
    )
    report = detect(configured(splits=("val",)), replace(dataset, segments=others))
    assert (report.videos, report.key_frames) == (1, 5)
    with pytest.raises(RequestError, match="has no split 'test': choose from train, val"):
        plan_persons(configured(splits=("test",)), dataset)


def test_whole_videos_of_a_data_set_without_key_frames(ordinary, configured, detect):
    report = detect(configured(every=1.5), ordinary)
    folder = Path(report.folder)
    written = (folder / "clips%2Fone.mp4.csv").read_text()
    rows = [row.split(",")[:2] for row in written.splitlines()]
    assert rows == [["clips/one.mp4", stamp] for stamp in ("0", "1.5", "3")]
    assert (report.key_frames, report.boxes, report.empty) == (8, 3, 5)
    assert json.loads((folder / "detector.json").read_text())["moments"] == 1.5
    wanted = [Segment("clips/one.mp4_1.5", "clips/one.mp4", 1.5, 2.5)]
    (boxes,) = read_detections(folder, wanted, 0.8).boxes.values()
    assert len(boxes) == 1
    assert detect(configured(every=1.5), ordinary).skipped == 2


def test_frames_that_share_a_moment_are_looked_at_once(finder, ordinary, configured, detect):
    report = detect(configured(every=0.05), ordinary)
    assert report.key_frames == 200
    assert finder.left == 10_000 - 100

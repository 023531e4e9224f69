"""`egofeat persons`: a data set to a folder of boxes; what fails, what a second run does.

Only the network is not the real one: it finds what is red in a frame.
"""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import egofeat.cli.persons
from egofeat.adapters.box_files import read_detections
from egofeat.cli import app
from egofeat.errors import EgofeatError, RequestError
from egofeat.pipelines import persons
from egofeat.pipelines.persons_job import PersonsConfig, plan_persons
from egofeat.segments import Dataset, Media, Segment
from egofeat.store.files import temporary_path

assert egofeat.cli.persons
WIDTH, HEIGHT, SIDE = 96, 64, 16


class RedFinder(nn.Module):
    """One sure person around what is red, an unsure one, and a sure thing of another kind."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 10_000

    def forward(self, images):
        found = []
        for image in images:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            ys, xs = torch.nonzero((image[0] > 0.6) & (image[2] < 0.4), as_tuple=True)
            boxes = []
            if len(ys):
                box = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
                boxes = [torch.stack(box).float()] * 3
            found.append(
                {
                    "boxes": torch.stack(boxes) if boxes else torch.zeros(0, 4),
                    "labels": torch.tensor([1, 1, 18][: len(boxes)]),
                    "scores": torch.tensor([0.95, 0.4, 0.99][: len(boxes)]),
                }
            )
        return found


@pytest.fixture(autouse=True)
def finder(monkeypatch) -> RedFinder:
    network = RedFinder()
    monkeypatch.setattr("egofeat.extract.persons.build", lambda *_: network)
    return network


def film(path: Path, until: int = 40) -> None:
    """50 frames, 5 s; a red square walks right, two pixels a frame, and leaves at `until`."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"x264-params": "log-level=none", "crf": "5"}
        for number in range(50):
            picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
            if number < until:
                picture[24 : 24 + SIDE, 2 * number : 2 * number + SIDE] = 250, 10, 10
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))


@pytest.fixture(scope="module")
def media(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    film(folder / "one.mp4")
    film(folder / "two.mp4", until=0)
    (folder / "bad.mp4").write_bytes(b"not a video")
    (folder / "images").mkdir()
    for number in range(5):
        Image.new("RGB", (30, 20), (250, 10, 10)).save(folder / f"images/{number + 1:06d}.png")
    return folder


def key_frames(media: Path, seconds: int = 5, videos: tuple[str, ...] = ()) -> Dataset:
    """Key frames of each second from the first one on, stamped from 900 on."""
    places = {
        "one": Media(media / "one.mp4"),
        "two": Media(media / "two.mp4"),
        "bad": Media(media / "bad.mp4"),
        "frames_a": Media(media / "images", fps=1.0),
    }
    segments = tuple(
        Segment(f"{video}_{900 + k:04d}", video, float(k), k + 1.0, "val" if k > 3 else "train")
        for video in places
        for k in range(seconds)
        if not videos or video in videos
    )
    return Dataset("tiny", places, segments, {"action": ("walk",)}, key_frames=True)


def configured(tmp_path: Path, **changes) -> PersonsConfig:
    return replace(
        PersonsConfig(out=tmp_path / "boxes", weights="random", device="cpu", workers=2), **changes
    )


def detect(config: PersonsConfig, dataset: Dataset) -> persons.PersonsReport:
    return persons.run(plan_persons(config, dataset))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_boxes_stand_where_the_persons_are_in_avas_form(media, tmp_path):
    dataset = key_frames(media)
    report = detect(configured(tmp_path), dataset)
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


def test_the_detector_is_described_beside_its_boxes(media, tmp_path):
    config = configured(tmp_path)
    folder = Path(detect(config, key_frames(media)).folder)
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
    others = {plan_persons(replace(config, **c), key_frames(media)).folder.path for c in changes}
    assert len(others | {folder}) == 4
    assert plan_persons(replace(config, batch_size=7), key_frames(media)).folder.path == folder


def test_threshold_and_size_decide_which_boxes_are_kept(media, tmp_path):
    dataset = key_frames(media, videos=("one",))
    assert detect(configured(tmp_path, threshold=0.3), dataset).boxes == 8
    assert detect(configured(tmp_path, min_size=SIDE + 4), dataset).boxes == 0


def test_what_cannot_be_read_is_recorded_and_the_rest_goes_on(media, tmp_path):
    dataset = key_frames(media, seconds=7)
    report = detect(configured(tmp_path), dataset)
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


def test_a_second_run_opens_nothing_and_says_the_same(media, tmp_path, monkeypatch):
    dataset = key_frames(media, seconds=7)
    first = detect(configured(tmp_path), dataset)
    before = contents(Path(first.folder))
    monkeypatch.setattr("egofeat.extract.stills.open_video", None)
    again = detect(configured(tmp_path), dataset)
    assert contents(Path(first.folder)) == before
    assert again.skipped == 4
    for name in ("key_frames", "empty", "boxes", "failed"):
        assert getattr(again, name) == getattr(first, name)


def test_failures_are_tried_again_when_asked(media, tmp_path):
    mended = tmp_path / "media"
    shutil.copytree(media, mended)
    dataset = key_frames(mended)
    report = detect(configured(tmp_path), dataset)
    assert report.failed == 1
    shutil.copy(media / "one.mp4", mended / "bad.mp4")
    assert detect(configured(tmp_path), dataset).failed == 1
    retried = detect(configured(tmp_path, retry_failed=True), dataset)
    assert (retried.failed, retried.skipped, retried.boxes) == (0, 3, 13)
    assert not (Path(report.folder) / "failures.jsonl").exists()


def test_a_video_that_went_away_keeps_the_boxes_that_it_has(media, tmp_path):
    moved = tmp_path / "media"
    shutil.copytree(media, moved)
    dataset = key_frames(moved, seconds=6, videos=("one",))
    first = detect(configured(tmp_path), dataset)
    assert first.failed == 1
    (moved / "one.mp4").unlink()
    again = detect(configured(tmp_path, retry_failed=True), dataset)
    assert (again.boxes, again.key_frames, again.failed) == (4, 5, 1)
    rows = (Path(first.folder) / "failures.jsonl").read_text()
    assert "does not exist" in rows
    assert len(read_detections(Path(first.folder), dataset.segments, 0.8).boxes) == 4


def test_key_frames_that_were_added_are_looked_at(media, tmp_path):
    detect(configured(tmp_path), key_frames(media, seconds=2, videos=("one", "two")))
    report = detect(configured(tmp_path), key_frames(media, seconds=4, videos=("one", "two")))
    assert (report.skipped, report.key_frames, report.boxes) == (0, 8, 4)


@pytest.mark.parametrize("frames", [1, 4, 6, 13])
def test_an_interrupted_run_ends_as_one_that_was_not(media, tmp_path, finder, frames):
    dataset = key_frames(media, seconds=6)
    whole = detect(configured(tmp_path / "whole", batch_size=2), dataset)
    finder.left = frames
    config = configured(tmp_path / "killed", batch_size=2)
    with pytest.raises(KeyboardInterrupt):
        detect(config, dataset)
    finder.left = 10_000
    resumed = detect(replace(config, workers=1), dataset)
    assert contents(Path(resumed.folder)) == contents(Path(whole.folder))
    for name in ("videos", "key_frames", "empty", "boxes", "failed"):
        assert getattr(resumed, name) == getattr(whole, name)


# One process imports torch once and forks a fresh detection for every attempt.
KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from torch import nn
from egofeat.extract import persons as detector
from egofeat.pipelines import persons
from egofeat.pipelines.persons_job import PersonsConfig, plan_persons
from egofeat.segments import Dataset, Media, Segment

class Bright(nn.Module):
    def forward(self, images):
        time.sleep(0.01)
        score = [image.mean()[None] for image in images]
        box = torch.tensor([[1.0, 1, 20, 20]])
        return [{"boxes": box, "labels": torch.tensor([1]), "scores": one} for one in score]

detector.build = lambda *_: Bright()
folder, media = Path(sys.argv[1]), Path(sys.argv[2])
files = ["one", "two", "bad"]
places = {f"{name}{k}": Media(media / f"{name}.mp4") for name in files for k in range(4)}
segments = [Segment(f"{v}_{s}", v, s, s + 1) for v in places for s in range(6)]
dataset = Dataset("tiny", places, tuple(segments), {}, key_frames=True)

def start(out):
    if child := os.fork():
        return child
    sys.stderr = open(os.devnull, "w")
    config = PersonsConfig(out=out, threshold=0.1, device="cpu", workers=2, weights="random")
    persons.run(plan_persons(config, dataset))
    os._exit(0)

began = time.monotonic()
os.waitpid(start(folder / "whole"), 0)
seconds = time.monotonic() - began
random.seed(3)
kills = 0
while kills < 6:
    child = start(folder / "killed")
    time.sleep(random.uniform(0.1, 0.7) * seconds)
    os.kill(child, signal.SIGKILL)
    kills += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    if (folder / "killed/tiny").exists() and kills < 6 and random.random() < 0.3:
        (folder / "killed").rename(folder / f"killed{kills}")
for path in folder.glob("killed*"):
    assert os.waitpid(start(path), 0)[1] == 0
"""


@pytest.mark.slow
def test_a_killed_run_ends_as_one_that_was_not(media, tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(media)]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    whole = contents(tmp_path / "whole")
    assert sum(name.endswith(".csv") for name in whole) == 8
    killed = list(tmp_path.glob("killed*"))
    assert killed
    for folder in killed:
        assert contents(folder) == whole


def test_parts_together_are_the_whole(media, tmp_path):
    dataset = key_frames(media, seconds=6)
    whole = detect(configured(tmp_path / "whole"), dataset)
    parts = [detect(configured(tmp_path / "parts", part=(n, 3)), dataset) for n in (1, 2, 3)]
    assert contents(Path(parts[0].folder)) == contents(Path(whole.folder))
    assert sum(part.boxes for part in parts) == whole.boxes
    assert sum(part.videos for part in parts) == 4


def test_a_split_is_the_videos_that_it_has_segments_of(media, tmp_path):
    dataset = key_frames(media)
    others = tuple(
        replace(s, split="val" if s.video == "one" else "train") for s in dataset.segments
    )
    report = detect(configured(tmp_path, splits=("val",)), replace(dataset, segments=others))
    assert (report.videos, report.key_frames) == (1, 5)
    with pytest.raises(RequestError, match="has no split 'test': choose from train, val"):
        plan_persons(configured(tmp_path, splits=("test",)), dataset)


def ordinary(media: Path) -> Dataset:
    """Segments of videos with folders in their names."""
    places = {f"clips/{name}.mp4": Media(media / f"{name}.mp4") for name in ("one", "two")}
    segments = tuple(Segment(f"{video}-{k}", video, k, k + 1) for video in places for k in range(2))
    return Dataset("mine", places, segments, {})


def test_whole_videos_of_a_data_set_without_key_frames(media, tmp_path):
    report = detect(configured(tmp_path, every=1.5), ordinary(media))
    folder = Path(report.folder)
    written = (folder / "clips%2Fone.mp4.csv").read_text()
    rows = [row.split(",")[:2] for row in written.splitlines()]
    assert rows == [["clips/one.mp4", stamp] for stamp in ("0", "1.5", "3")]
    assert (report.key_frames, report.boxes, report.empty) == (8, 3, 5)
    assert json.loads((folder / "detector.json").read_text())["moments"] == 1.5
    wanted = [Segment("clips/one.mp4_1.5", "clips/one.mp4", 1.5, 2.5)]
    (boxes,) = read_detections(folder, wanted, 0.8).boxes.values()
    assert len(boxes) == 1
    assert detect(configured(tmp_path, every=1.5), ordinary(media)).skipped == 2


def test_frames_that_share_a_moment_are_looked_at_once(media, tmp_path, finder):
    report = detect(configured(tmp_path, every=0.05), ordinary(media))
    assert report.key_frames == 200
    assert finder.left == 10_000 - 100


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "has segments and no key frames: give --every 1 for"),
        ({"every": 0.0}, "--every 0 cannot be"),
        ({"every": float("nan")}, "--every nan cannot be"),
        ({"threshold": 1.0}, "--threshold 1 is no score"),
        ({"threshold": -0.1}, "--threshold -0.1 is no score"),
        ({"min_size": -1}, "--min-size -1 cannot be"),
        ({"part": (4, 3)}, "--part 4/3 is no part"),
        ({"batch_size": 0}, "--batch-size is 0: give 1 or more"),
        ({"workers": 0}, "--workers is 0: give 1 or more"),
        ({"decoder": "none"}, "there is no decoder 'none'"),
        ({"every": 1.0, "device": "tpu"}, "the device 'tpu' is not at hand"),
        ({"every": 1.0, "weights": "none"}, "'none' is neither a file nor weights"),
    ],
)
def test_options_that_cannot_be_are_refused(media, tmp_path, changes, said):
    with pytest.raises(EgofeatError) as refused:
        plan_persons(configured(tmp_path, **changes), ordinary(media))
    assert said in str(refused.value)
    assert refused.value.exit_code == 2
    assert not (tmp_path / "boxes").exists()


def test_key_frames_and_every_exclude_each_other(media, tmp_path):
    with pytest.raises(RequestError, match="'tiny' has key frames of its own: leave --every out"):
        plan_persons(configured(tmp_path, every=1.0), key_frames(media))


def test_a_half_written_file_of_a_killed_run_is_no_boxes_and_goes_away(media, tmp_path):
    dataset = key_frames(media, videos=("one",))
    folder = Path(detect(configured(tmp_path), dataset).folder)
    before = contents(folder)
    name = temporary_path(folder / "looked/one.csv", "1of1").name.split("~")
    name[3] = "999999999"  # no process has that number
    (folder / "looked" / "~".join(name)).write_text("one,09")
    assert len(read_detections(folder, dataset.segments, 0.8).boxes) == 4
    detect(configured(tmp_path), dataset)
    assert contents(folder) == before


@pytest.fixture
def project(media, tmp_path, monkeypatch) -> Path:
    """A folder data set of two videos, and its manifest; one of them can be damaged."""
    for name in ("one", "two"):
        (tmp_path / f"clips/train/{name}").mkdir(parents=True)
        shutil.copy(media / f"{name}.mp4", tmp_path / f"clips/train/{name}/{name}.mp4")
    manifest = "version: 1\ndatasets:\n  mine: {format: folder, media: clips}\n"
    (tmp_path / "data_manifest.yaml").write_text(manifest)
    monkeypatch.chdir(tmp_path)
    return tmp_path


COMMAND = ["persons", "--weights", "random", "--device", "cpu", "--every", "1"]


def test_the_command_prints_its_report(project):
    result = CliRunner().invoke(app, [*COMMAND, "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report["folder"].startswith("boxes/mine/fasterrcnn_resnet50_fpn_v2-")
    assert (report["videos"], report["key_frames"], report["boxes"]) == (2, 10, 4)
    said = CliRunner().invoke(app, COMMAND).stdout.splitlines()
    assert said[0] == (
        "4 persons in 10 key frames of 2 videos, 6 key frames without a person; "
        "2 videos were done before"
    )
    assert said[-1] == report["folder"]


def test_the_command_fails_when_something_could_not_be_read(project):
    (project / "clips/train/two/two.mp4").write_bytes(b"damaged")
    result = CliRunner().invoke(app, [*COMMAND, "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["failed"] == 1
    assert "failures.jsonl; mend them and add --retry-failed" in result.stderr


def test_a_dry_run_does_nothing(project):
    (project / "clips/train/two/two.mp4").unlink()
    (project / "clips/train/two/two.mp4").symlink_to("nowhere.mp4")
    result = CliRunner().invoke(app, [*COMMAND, "--dry-run", "--json"])
    forecast = json.loads(result.stdout)
    assert not (project / "boxes").exists()
    assert (forecast["videos"], forecast["to_open"], forecast["present"]) == (2, 2, 0)
    assert forecast["missing_videos"] == 1
    assert forecast["key_frames"] is None
    said = CliRunner().invoke(app, [*COMMAND, "--dry-run"]).stdout
    assert "2 of 2 videos would be looked at; 0 are done already" in said
    assert "1 of the videos are missing" in said


def test_a_forecast_counts_the_key_frames_that_are_left(media, tmp_path):
    dataset = key_frames(media)
    detect(configured(tmp_path), key_frames(media, videos=("one",)))
    forecast = persons.forecast(plan_persons(configured(tmp_path), dataset))
    assert (forecast.present, forecast.to_open, forecast.key_frames) == (1, 3, 15)
    assert "at 15 key frames" in forecast.lines()[0]

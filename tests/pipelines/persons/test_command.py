"""`egofeat persons` as it is typed: what it refuses, what it prints, and the dry run."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from egofeat.cli import app
from egofeat.errors import EgofeatError, RequestError
from egofeat.pipelines.persons import detect as persons
from egofeat.pipelines.persons.job import plan_persons


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "has segments and no key frames: give `every` 1 for"),
        ({"every": 0.0}, "`every` is 0: give 0.001 or more"),
        ({"every": float("nan")}, "`every` is nan: give"),
        ({"threshold": 1.0}, "`threshold` is 1: give 0 to less than 1"),
        ({"threshold": -0.1}, "`threshold` is -0.1"),
        ({"min_size": -1}, "`min_size` is -1: give 0 or more"),
        ({"part": (4, 3)}, "`part` 4/3 is not a part"),
        ({"batch_size": 0}, "`batch_size` is 0: give 1 or more"),
        ({"workers": 0}, "`workers` is 0: give 1 or more"),
        ({"decoder": "none"}, "there is no decoder 'none'"),
        ({"every": 1.0, "device": "tpu"}, "the device 'tpu' is not available"),
        ({"every": 1.0, "weights": "none"}, "'none' is neither a file nor weights"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path, changes, said, ordinary, configured):
    with pytest.raises(EgofeatError) as refused:
        plan_persons(configured(**changes), ordinary)
    assert said in str(refused.value)
    assert refused.value.exit_code == 2
    assert not (tmp_path / "boxes").exists()


def test_key_frames_and_every_exclude_each_other(key_frames, configured):
    with pytest.raises(RequestError, match="'tiny' has key frames of its own: leave `every` out"):
        plan_persons(configured(every=1.0), key_frames())


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
        "2 of the videos were done before"
    )
    assert said[-1] == report["folder"]


def test_the_command_fails_when_something_could_not_be_read(project):
    (project / "clips/train/two/two.mp4").write_bytes(b"damaged")
    result = CliRunner().invoke(app, [*COMMAND, "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["failed"] == 1
    assert "failures.jsonl; repair them and add --retry-failed" in result.stderr


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
    assert "2 of 2 videos would be processed; 0 are done already" in said
    assert "1 of the videos is missing" in said


def test_a_forecast_counts_the_key_frames_that_are_left(key_frames, configured, detect):
    dataset = key_frames()
    detect(configured(), key_frames(videos=("one",)))
    forecast = persons.forecast(plan_persons(configured(), dataset))
    assert (forecast.present, forecast.to_open, forecast.key_frames) == (1, 3, 15)
    assert "at 15 key frames" in forecast.lines()[0]

"""The same command again: it finds all there without a network, and what has changed is seen."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torchvision.models import mobilenet_v2
from typer.testing import CliRunner

from egofeat.cli import app
from egofeat.errors import StoreError
from egofeat.pipelines.extraction import asked, job
from egofeat.pipelines.extraction.asked import Recalled
from egofeat.pipelines.extraction.nothing_left import alone
from egofeat.pipelines.extraction.options import ExtractRequest, RoiConfig
from egofeat.segments import Dataset
from egofeat.store import open_store

MANIFEST = """
version: 1
datasets:
  mine: {format: csv, media: videos, annotations: rows.csv,
         columns: {id: id, video: video, start: start, stop: stop, labels: {verb: verb}}}
"""
ROWS = "id,video,start,stop,verb\n0,a.mp4,0,0.5,take\n1,b.mp4,0.1,0.6,put\n"
OPTIONS = ["--frames", "2", "--size", "32", "--device", "cpu", "--json"]


@pytest.fixture
def folder(encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("videos").mkdir()
    for name in ("a", "b"):
        encoder(tmp_path / "videos" / f"{name}.mp4", frames=25)
    Path("m.yaml").write_text(MANIFEST)
    Path("rows.csv").write_text(ROWS)
    return tmp_path


@pytest.fixture
def plans(monkeypatch):
    """How often a network was planned with."""
    found = []
    plan = job.plan_job
    monkeypatch.setattr(job, "plan_job", lambda *a, **k: found.append(1) or plan(*a, **k))
    return found


def extract(*words):
    """What `egofeat extract` reports."""
    done = invoked(*words)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def invoked(*words):
    return CliRunner().invoke(app, ["extract", "--manifest", "m.yaml", *OPTIONS, *words])


def test_the_same_command_again_needs_no_network(folder, plans):
    made = extract("--weights", "random")
    assert (made["extracted"], len(plans)) == (2, 1)
    again = extract("--weights", "random")
    assert (again["extracted"], again["skipped"], len(plans)) == (0, 2, 1)
    Path("features/.asked.jsonl").unlink()
    planned = extract("--weights", "random")
    assert len(plans) == 2
    assert {**planned, "seconds": 0} == {**again, "seconds": 0}
    assert len(Path("features/.asked.jsonl").read_text().split()) == 1


def test_no_torch_is_imported_then(folder):
    extract("--weights", "random")
    words = ["egofeat", "extract", "--manifest", "m.yaml", *OPTIONS, "--weights", "random"]
    code = f"""
import sys
from egofeat.cli import main
sys.argv = {words}
try:
    main()
except SystemExit as end:
    assert not end.code
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["skipped"] == 2


@pytest.mark.parametrize(
    "words", [["--frames", "3"], ["--tap", "block2"], ["--weights", "random:1"], ["--size", "40"]]
)
def test_other_options_are_another_question(folder, plans, words):
    first = extract("--weights", "random")
    other = extract(*words, *([] if "--weights" in words else ["--weights", "random"]))
    assert other["store"] != first["store"]
    assert (other["extracted"], len(plans)) == (2, 2)
    assert extract("--weights", "random")["store"] == first["store"]
    assert len(plans) == 2


def test_other_workers_are_not(folder, plans):
    extract("--weights", "random")
    extract("--weights", "random", "--workers", "1", "--batch-size", "3")
    assert len(plans) == 1


def test_another_weights_file_in_its_place_is_seen(folder, plans):
    torch.save(mobilenet_v2().state_dict(), "w.pth")
    first = extract("--weights", "w.pth")
    assert extract("--weights", "w.pth")["store"] == first["store"]
    assert len(plans) == 1
    torch.save(mobilenet_v2().state_dict(), "w.pth")
    assert extract("--weights", "w.pth")["store"] != first["store"]
    Path("w.pth").unlink()
    done = invoked("--weights", "w.pth")
    assert done.exit_code != 0


def test_a_published_file_that_would_now_be_found_first_is_seen(folder, monkeypatch):
    request = ExtractRequest(out=folder / "features")
    config = alone(request)
    found = Dataset("mine", {}, (), {})
    places = [folder / "first" / "w.pth", folder / "w.pth"]
    asked.remember(config, job.plan_job(replace(config, weights="random"), found), places)
    assert Recalled.of(config)
    (folder / "first").mkdir()
    (folder / "first" / "w.pth").write_bytes(b"")
    assert not Recalled.of(config)
    (folder / "first" / "w.pth").unlink()
    assert Recalled.of(config)
    monkeypatch.setenv("EGOFEAT_WEIGHTS", str(folder / "first"))
    assert not Recalled.of(config)


def test_code_that_was_changed_is_asked_again(folder, plans, monkeypatch):
    extract("--weights", "random")
    monkeypatch.setattr(asked, "_code", lambda: (1, 1))
    extract("--weights", "random")
    assert len(plans) == 2


@pytest.mark.parametrize(
    "more",
    [
        {"backbones": ("mobilenetv2", "resnet50")},
        {"backbones": ("./net.py:Net",)},
        {"backbones": ("timm:resnet18",)},
        {"decoder": "auto"},
        {"weights": ("a", "b")},
    ],
)
def test_what_more_than_options_decides_is_not_remembered(folder, more):
    config = alone(ExtractRequest(**more))
    assert config is None or not asked._is_simple(config)
    assert not asked._is_simple(replace(alone(ExtractRequest()), roi=RoiConfig()))


def test_what_is_added_or_changed_is_made(folder, plans, encoder):
    extract("--weights", "random")
    Path("rows.csv").write_text(f"{ROWS}2,a.mp4,0.5,0.9,take\n")
    more = extract("--weights", "random")
    assert (more["extracted"], more["skipped"]) == (1, 2)
    os.utime("videos/b.mp4", ns=(1, 1))
    changed = extract("--weights", "random")
    assert (changed["extracted"], changed["changed_videos"]) == (0, ["b.mp4"])
    assert len(plans) == 2


def test_labels_that_were_changed_are_kept_up_to_date(folder, plans):
    store = extract("--weights", "random")["store"]
    assert open_store(store).table.classes["verb"] == ("put", "take")
    Path("rows.csv").write_text(ROWS.replace("put", "open"))
    extract("--weights", "random")
    assert open_store(store).table.classes["verb"] == ("open", "take")
    assert len(plans) == 1


def test_failures_are_told_as_ever(folder, plans):
    Path("videos/b.mp4").write_bytes(b"no video")
    first = invoked("--weights", "random")
    again = invoked("--weights", "random")
    assert first.exit_code == again.exit_code == 1
    assert json.loads(again.stdout)["failed"] == 1


def test_a_damaged_memory_is_none(folder, plans):
    extract("--weights", "random")
    path = Path("features/.asked.jsonl")
    path.write_bytes(b'{"asked": 3}\n\xff\xfe\n' + path.read_bytes()[:40])
    extract("--weights", "random")
    assert len(plans) == 2
    extract("--weights", "random")
    assert len(plans) == 2
    (store,) = Path("features/mine").iterdir()
    (store / "store.json").write_text("{}")
    done = invoked("--weights", "random")
    assert isinstance(done.exception, StoreError)
    assert len(plans) == 3

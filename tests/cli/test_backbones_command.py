"""`egofeat backbones` as a person and as a program meet it."""

import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from egofeat.cli import app
from egofeat.errors import RequestError
from egofeat.extract.backbones import BACKBONES
from egofeat.extract.backbones.registry import VARIANTS
from egofeat.extract.backbones.torchvision.images import FAMILY as IMAGES
from egofeat.extract.backbones.torchvision.video import FAMILY as VIDEO
from egofeat.pipelines.bench.listing import listing


@pytest.fixture(autouse=True)
def few(monkeypatch, tmp_path):
    """Three backbones, and a machine on which nobody has downloaded anything."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("EGOFEAT_WEIGHTS", str(tmp_path / "weights"))
    few = {"r3d_18": VIDEO["r3d_18"], "s3d": VIDEO["s3d"], "resnet50": IMAGES["resnet50"]}
    for name in [name for name in BACKBONES if name not in few]:
        monkeypatch.delitem(BACKBONES.own, name)
    for name, family in few.items():
        monkeypatch.setitem(BACKBONES.own, name, family)
    return tmp_path / "weights"


def said(*words: str) -> str:
    result = CliRunner().invoke(app, ["backbones", *words], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_without_a_terminal_a_backbone_is_a_plain_line(few):
    lines = {line.split(":")[0]: line for line in said().splitlines()}
    assert lines["r3d_18"] == (
        "r3d_18: 33.37 M parameters, 40.7 G multiply-adds a view, 16×1@15 112 px, gap of 8 taps, "
        "63.2 % top-1, BSD-3-Clause (torchvision), weights not here"
    )
    assert set(lines) == {"r3d_18", "s3d", "resnet50", "tv", "timm", "hf", VARIANTS}


def test_weights_are_seen_where_they_lie(few):
    few.mkdir()
    (few / "s3d-d76dad2f.pth").touch()
    found = {b["name"]: b["weights"][0]["at_hand"] for b in json.loads(said("--json"))["backbones"]}
    assert found == {"r3d_18": None, "s3d": str(few / "s3d-d76dad2f.pth"), "resnet50": None}
    assert "weights at hand" in said().split("s3d:")[1].splitlines()[0]
    assert f"at hand: {few / 's3d-d76dad2f.pth'}" in said("s3d")


def test_one_backbone_is_told_in_full():
    text = said("s3d")
    assert re.search(r"parameters +8,320,048\n", text)
    assert re.search(r"input +128 frames \(at least 14\), stride 1 at 15 fps, 224 pixels", text)
    for tap in VIDEO["s3d"][0].taps:
        assert tap in text
    assert "https://download.pytorch.org/models/s3d-d76dad2f.pth" in text
    assert "4.09 G a view, counted (4.089 G as published)" in said("resnet50")


def test_a_program_reads_the_same():
    told = json.loads(said("r3d_18", "--json"))
    assert told["clip"]["frames"] == 16
    assert told["multiply_adds"] == pytest.approx(40.697e9, rel=1e-4)
    assert told["taps"][-3:] == ["map", "gap", "logits"]
    assert told["weights"][0]["views"] == [5, 1]


def test_an_architecture_may_have_no_published_weights(monkeypatch):
    spec, build = VIDEO["r3d_18"]
    monkeypatch.setitem(BACKBONES.own, "r3d_18", (replace(spec, weights=()), build))
    assert "gap of 8 taps, no published weights\n" in said()
    assert "none published" in said("r3d_18")
    unscored = replace(spec.weights[0], accuracy=None)
    monkeypatch.setitem(BACKBONES.own, "r3d_18", (replace(spec, weights=(unscored,)), build))
    assert "no published accuracy" in said("r3d_18")


def test_any_classifier_of_torchvision_can_be_asked_for():
    told = json.loads(said("tv:squeezenet1_1", "--json"))
    assert told["parameters"] == 1_235_496
    assert told["clip"] is None


@pytest.mark.parametrize("name", ["r3d", "tv:s3d"])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(RequestError, match=r"no backbone 'r3d'|no image classifier 's3d'"):
        said(name)


def test_the_table_fits_80_columns():
    paper = io.StringIO()
    Console(file=paper, width=80).print(listing().table())
    lines = paper.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    (s3d,) = [line.split() for line in lines if line.startswith("s3d")]
    assert s3d == ["s3d", "8.3", "144", "128×1@15", "224", "15", "68.4", "top-1", *s3d[8:]]
    assert s3d[-2:] == ["BSD-3-Clause", "no"]

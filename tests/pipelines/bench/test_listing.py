"""Where a backbone's official weights are, as `egofeat backbones` tells it."""

import pytest

from egofeat.extract.backbones.inception.i3d import I3D
from egofeat.pipelines.bench.listing import describe


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """The user's folder of weights, with nothing in it, and nothing elsewhere."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("EGOFEAT_WEIGHTS", str(tmp_path))
    return tmp_path


def test_weights_other_than_the_default_are_told(folder):
    default, converted = I3D.weights
    assert describe("i3d").line().endswith("weights not here")
    (folder / converted.file).touch()
    assert describe("i3d").line().endswith("weights not here, but kinetics400 at hand")
    (folder / default.file).touch()
    assert describe("i3d").line().endswith("weights at hand")


def test_a_link_to_the_file_is_told_from_one_to_its_source():
    default, converted = I3D.weights
    lines = [line.strip() for line in describe("i3d").lines()]
    assert f"not here: {default.url}" in lines
    assert f"not here, to be converted from: {converted.url}" in lines

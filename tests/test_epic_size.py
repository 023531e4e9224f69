"""The bench of the whole road, at a small size: its commands are those of today."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from egofeat.cli import app

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(BENCH))
    spec = importlib.util.spec_from_file_location("epic_size", BENCH / "epic_size.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["epic_size"] = module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(BENCH))
    del sys.modules["epic_size"]


def test_every_step_of_the_road_is_walked(bench, tmp_path):
    bench.write_store(tmp_path / "features", 130, 30)
    steps = list(bench.road(tmp_path, ("linear",), 2))
    said = {}
    for step in steps:
        result = CliRunner().invoke(app, step.words)
        assert result.exit_code == 0, (step, result.output, result.exception)
        said[step.name] = result.stdout
    assert {name.split()[0] for name in said} == {
        "ls",
        "verify",
        "fit-head",
        "evaluate",
        "export-challenge",
    }
    assert "sound" in said["verify"]
    metrics = json.loads((tmp_path / "runs" / "linear" / "metrics.json").read_text())
    assert metrics["segments"] == 30
    assert metrics["verb/top1"] > 0.2, "a fifth of the segments are of the first class"


def test_a_step_is_measured_in_a_process_of_its_own(bench, tmp_path):
    figures = bench.measured(bench.Step("version", ("--version",)))
    assert figures.said.startswith("egofeat")
    assert figures.seconds > 0
    assert figures.mapped >= figures.written > 0
    with pytest.raises(SystemExit, match=r"egofeat ls .* ended with"):
        bench.measured(bench.Step("ls", ("ls", str(tmp_path / "nothing"), "--no-such")))

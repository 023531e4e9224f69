"""Runs and a store of before config.yaml told its schema are evaluated, predict, and are sound."""

import json
import shutil
from pathlib import Path

import pytest

from egofeat.pipelines.kept import verify
from egofeat.pipelines.training.evaluate import evaluate
from egofeat.pipelines.training.predict import predict

GOLDEN = Path(__file__).parents[1] / "golden/runs_without_schema"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())


@pytest.mark.parametrize("head", EXPECTED)
def test_a_run_of_before_is_read_by_every_command(head, tmp_path):
    folder = shutil.copytree(GOLDEN, tmp_path / "golden")
    stores = [folder / "store"] * (2 if head == "linear" else 1)
    assert [*verify(folder / head), *verify(folder / "store")] == []
    metrics = evaluate(folder / head, store=stores, device="cpu").metrics
    assert EXPECTED[head]["metrics"].items() <= metrics.items()
    assert verify(folder / head) == []
    (seen,) = predict(folder / head, [folder / "0.mp4"], device="cpu").predictions
    guesses = {guess.name: guess.probability for guess in seen.targets["verb"]}
    assert guesses == pytest.approx(EXPECTED[head]["predicted"], abs=2e-3)

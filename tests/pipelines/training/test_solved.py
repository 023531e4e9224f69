"""Runs of heads that are computed: written, loaded, judged, compared as those of trained ones."""

import json

import pytest
import yaml
from typer.testing import CliRunner

from egofeat.cli import app
from egofeat.pipelines.runs.run import load_run

SPLITS = ["train"] * 24 + ["val"] * 8
LABELS = {"verb": [0, 1] * 16, "noun": [0, 1, 2, None] * 8}
CLASSES = {"verb": ("cut", "mix"), "noun": ("a", "b", "c")}


@pytest.fixture
def give(labelled_store, tmp_path):
    store = labelled_store(SPLITS, LABELS, CLASSES)

    def command(*words):
        found = CliRunner().invoke(app, [str(word) for word in words])
        assert found.exit_code == 0, found.output
        return found.output

    command.store = store
    return command


@pytest.mark.parametrize("head", ["knn", "logistic"])
@pytest.mark.parametrize("more", [(), ("--class-weights", "--normalize")])
def test_a_run_is_judged_as_any(head, more, give, tmp_path):
    out = tmp_path / "run"
    asked = ("fit-head", head, "--store", give.store, "--out", out, *more)
    said = give(*asked, "--seeds", "2")
    assert f"head {head} is computed, not trained: " in said
    assert ("--class-weights and --seeds change" in said) == (head == "knn" and more != ())
    assert "--seeds change" in said
    runs = [out / "seed0", out / "seed1"]
    first, second = (json.loads((run / "metrics.json").read_text()) for run in runs)
    assert first | {"run": ""} == second | {"run": ""}
    assert first["verb/top1"] == 1.0
    give("evaluate", runs[0], "--split", "train")
    give("verify", out)
    noted = yaml.safe_load((runs[0] / "config.yaml").read_text())["result"]["training"][0]
    chosen = noted["chosen"]
    assert chosen is None if head == "knn" else chosen.startswith("verb λ ")
    assert load_run(runs[0]).parameters == (0 if head == "knn" else 6 * 5 + 5)
    assert not list(out.rglob("*.pkl"))
    assert "trained already" in give(*asked, "--seeds", "2")


def test_options_of_training_are_told_to_change_nothing(give, tmp_path):
    said = give(
        *("fit-head", "logistic", "--store", give.store, "--out", tmp_path / "run"),
        *("--lr", "0.1", "--epochs", "3", "--option", "l2=0.1"),
    )
    told = "head logistic is computed, not trained: --epochs and --lr change nothing of it"
    assert told in " ".join(said.split())


def test_bars_stand_beside_trained_heads(give, labelled_store, tmp_path):
    for head in ("knn", "logistic", "linear"):
        give("fit-head", head, "--store", give.store, "--out", tmp_path / head, "--epochs", "1")
    runs = [tmp_path / head for head in ("knn", "logistic", "linear")]
    said = give("compare", *runs, "--out", tmp_path / "compared")
    assert all(head in said for head in ("knn", "logistic", "linear"))
    assert "3 runs together" in give("ensemble", *runs, "--out", tmp_path / "ensemble")
    other = labelled_store(SPLITS, LABELS, CLASSES, weights="random:1", out="two")
    two = ("--store", give.store, "--store", other, "--fuse", "logits")
    give("fit-head", "knn", *two, "--out", tmp_path / "fused")
    assert len(load_run(tmp_path / "fused").head.members) == 2

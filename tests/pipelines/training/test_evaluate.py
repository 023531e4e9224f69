"""A run on other splits and in other places; the challenge's file."""

import csv
import json
import resource
import shutil
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from egofeat.errors import RequestError, StoreError
from egofeat.heads import TrainerConfig
from egofeat.pipelines.exporting.epic_challenge import export_challenge, write_challenge
from egofeat.pipelines.runs.run import load_run, save_head
from egofeat.pipelines.runs.verify import verify_run
from egofeat.pipelines.training.evaluate import evaluate
from egofeat.pipelines.training.fit import FitConfig, fit_head
from egofeat.store import open_store

QUICK = TrainerConfig(epochs=6, lr=0.02, device="cpu")


@pytest.fixture
def run(verb_noun_store, tmp_path):
    config = FitConfig(head="linear", store=verb_noun_store(), out=tmp_path / "run", trainer=QUICK)
    return fit_head(config)


def test_evaluating_again_gives_the_same_figures(run):
    assert evaluate(run.path, device="cpu").to_dict() == run.evaluation.to_dict()


def test_a_run_has_its_name_from_within(run, monkeypatch):
    monkeypatch.chdir(run.path)
    assert evaluate(Path(), device="cpu").to_dict()["run"] == "run"


def test_figures_are_told_to_a_person(run):
    lines = run.evaluation.lines()
    assert lines[0] == "30 segments of val"
    assert any(line.startswith("action         top-1 ") and " %" in line for line in lines)
    assert any(line.startswith("verb/unseen    top-1 ") for line in lines)
    assert "confusion-noun.png" in lines[-1]


def test_another_split_stands_beside_the_validation(run):
    before = (run.path / "metrics.json").read_bytes()
    train = evaluate(run.path, "train", device="cpu")
    assert train.segments == 60
    names = {path.name for path in run.path.iterdir()}
    assert {"metrics-train.json", "predictions-train.npz", "confusion-verb-train.png"} <= names
    assert (run.path / "metrics.json").read_bytes() == before


def test_classes_are_told_apart_in_tables(run):
    def rows(name):
        with (run.path / name).open(newline="") as file:
            return list(csv.reader(file))

    headings, *lines = rows("classes-verb.csv")
    assert headings[:4] == ["class", "instances", "predicted", "precision"]
    assert [line[0] for line in lines] == ["take", "put", "cut"]
    assert sum(int(line[1]) for line in lines) == sum(int(line[2]) for line in lines) == 30
    figures = run.evaluation.metrics
    recall = np.mean([float(line[4]) for line in lines])
    assert recall == pytest.approx(figures["verb/mean_class_accuracy"], abs=1e-6)
    f1 = np.mean([float(line[5]) for line in lines])
    assert f1 == pytest.approx(figures["verb/macro_F1"], abs=1e-6)
    names, *counts = rows("confusion-verb.csv")
    assert names == ["true \\ predicted", *(line[0] for line in counts)]
    matrix = np.array([line[1:] for line in counts], int)
    assert np.trace(matrix) / matrix.sum() == pytest.approx(figures["verb/top1"])
    evaluate(run.path, "train", device="cpu")
    assert len(rows("classes-noun-train.csv")) == 4
    assert verify_run(run.path) == []


def test_what_cannot_be_evaluated_is_one_sentence(run, verb_noun_store, tmp_path):
    with pytest.raises(RequestError, match=r"no split 'dev': its splits are test, train, val"):
        evaluate(run.path, "dev")
    with pytest.raises(RequestError, match=r"split 'test'.*no labels.*`split`"):
        evaluate(run.path, "test")
    with pytest.raises(RequestError, match="is not a run"):
        evaluate(tmp_path / "features")
    with pytest.raises(RequestError, match=r"name one in it, such as .*run, that"):
        evaluate(run.path.parent)
    other = verb_noun_store(weights="random:1")
    with pytest.raises(RequestError, match="holds other features than run"):
        evaluate(run.path, store=other)
    (tmp_path / "run" / "head.safetensors").write_bytes(b"torn")
    with pytest.raises(RequestError, match="no head that fits its config"):
        evaluate(run.path)


def test_a_store_that_has_moved_is_named(run, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.move(tmp_path / "features", moved)
    with pytest.raises(StoreError, match="no feature store"):
        evaluate(run.path)
    assert evaluate(run.path, store=moved).metrics == run.evaluation.metrics


def test_a_collapsed_head_is_warned_about(run):
    head = load_run(run.path).head
    with torch.no_grad():
        head.classifiers[0].weight.zero_()
    save_head(run.path, head)
    evaluation = evaluate(run.path, device="cpu")
    assert len(evaluation.warnings) == 1
    assert "predicts 1 of 3 verb classes; 3 occur here" in evaluation.warnings[0]
    assert json.loads((run.path / "metrics.json").read_text())["warnings"] == [*evaluation.warnings]


@pytest.fixture
def epic_run(labelled_store, tmp_path):
    rng = np.random.default_rng(0)
    counts = {"verb": 97, "noun": 300}
    labels = {t: [*rng.integers(0, n, 30).tolist(), *[None] * 4] for t, n in counts.items()}
    classes = {t: [f"{t}{k}" for k in range(n)] for t, n in counts.items()}
    splits = ["train"] * 20 + ["val"] * 10 + ["test"] * 4
    store = labelled_store(splits, labels, classes)
    quick = replace(QUICK, epochs=1)
    return fit_head(FitConfig(head="linear", store=store, out=tmp_path / "epic", trainer=quick))


def test_the_challenge_zip_is_as_the_server_reads_it(epic_run, tmp_path):
    out = tmp_path / "submission" / "epic.zip"
    assert export_challenge(epic_run.path, out, device="cpu").there == 4
    with zipfile.ZipFile(out) as archive:
        (info,) = archive.infolist()
        assert info.filename == "test.json"
        assert info.compress_type == zipfile.ZIP_DEFLATED
        content = json.loads(archive.read(info))
    results = content.pop("results")
    assert content == {
        "version": "0.2",
        "challenge": "action_recognition",
        "sls_pt": 2,
        "sls_tl": 3,
        "sls_td": 4,
    }
    assert set(results) == {f"segment_{row:03d}" for row in range(30, 34)}
    for entry in results.values():
        assert list(entry["verb"]) == [str(k) for k in range(97)]
        assert list(entry["noun"]) == [str(k) for k in range(300)]
    export_challenge(epic_run.path, tmp_path / "val.zip", "val", device="cpu")
    with (
        zipfile.ZipFile(tmp_path / "val.zip") as archive,
        np.load(epic_run.path / "predictions.npz") as predictions,
    ):
        val = json.loads(archive.read("test.json"))["results"]
        for id_, logits in zip(predictions["ids"], predictions["logits_noun"], strict=True):
            assert list(val[str(id_)]["noun"].values()) == pytest.approx(logits, rel=1e-5)
    assert sorted(path.name for path in out.parent.iterdir()) == ["epic.zip"]


def test_the_challenge_refuses_a_head_of_other_targets(run, tmp_path):
    with pytest.raises(RequestError, match="3 verb classes, 3 noun classes"):
        export_challenge(run.path, tmp_path / "epic.zip")


def test_classes_that_changed_are_refused(run, verb_noun_store):
    store = open_store(verb_noun_store()).path
    path = store / "segments.json"
    said = json.loads(path.read_text())
    said["classes"]["verb"].insert(0, "aaa")
    del said["sha256"]  # as an earlier egofeat wrote it
    path.write_text(json.dumps(said))
    with pytest.raises(StoreError, match=r"classes of target 'verb' .* fit the head again"):
        evaluate(run.path)


def test_a_full_disk_leaves_no_half_of_the_challenge_file(tmp_path):
    limit, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    logits = {"verb": torch.rand(9, 97), "noun": torch.rand(9, 300)}
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StoreError, match=r"test\.zip cannot be written \(File too large\)"):
            write_challenge(tmp_path / "test.zip", list("abcdefghi"), logits)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    assert not list(tmp_path.iterdir())


def test_the_challenge_file_is_not_held_in_memory(tmp_path):
    def peak(count):
        logits = {"verb": torch.rand(count, 97), "noun": torch.rand(count, 300)}
        ids = [f"P01_01_{number}" for number in range(count)]
        tracemalloc.start()
        try:
            write_challenge(tmp_path / f"{count}.zip", ids, logits)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    more = peak(1200) - peak(400)
    sizes = [(tmp_path / f"{count}.zip").stat().st_size for count in (400, 1200)]
    assert more < (sizes[1] - sizes[0]) / 4


def test_a_challenge_file_that_reads_back_otherwise_is_not_published(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile.ZipFile, "testzip", lambda self: "test.json")
    logits = {"verb": torch.rand(1, 97), "noun": torch.rand(1, 300)}
    with pytest.raises(StoreError, match="reads back other bytes"):
        write_challenge(tmp_path / "test.zip", ["a"], logits)
    assert not list(tmp_path.iterdir())

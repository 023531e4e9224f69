"""Runs in a table, and side by side."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from egofeat.cli.command import show
from egofeat.errors import RequestError
from egofeat.heads import TrainerConfig
from egofeat.pipelines.comparing.compare import compare
from egofeat.pipelines.comparing.ensemble import ensemble
from egofeat.pipelines.comparing.finished import find_finished, read_finished, read_scores
from egofeat.pipelines.comparing.options import CompareConfig, EnsembleConfig, RunsConfig
from egofeat.pipelines.comparing.runs import runs
from egofeat.pipelines.comparing.settings import differences, labels
from egofeat.pipelines.training.evaluate import evaluate
from egofeat.pipelines.training.fit import fit_head
from egofeat.pipelines.training.options import FitConfig

_trained: list[Path] = []


@pytest.fixture
def study(verb_noun_store, tmp_path):
    """Three seeds of linear, and one lstm that hardly learns: a copy of what is trained once."""
    if not _trained:
        store = verb_noun_store()
        asked = [("linear", f"linear-{seed}", seed, 0.02) for seed in range(3)]
        for head, name, seed, lr in [*asked, ("lstm", "lstm", 0, 1e-6)]:
            trainer = TrainerConfig(epochs=6, lr=lr, seed=seed, device="cpu")
            out = tmp_path / "trained" / name
            fit_head(FitConfig(head=head, store=store, out=out, trainer=trainer))
        _trained.append(tmp_path / "trained")
    return shutil.copytree(_trained[0], tmp_path / "runs")


def printed(report, capsys):
    show(report, as_json=False)
    return capsys.readouterr().out


def test_every_run_is_a_line_and_what_all_share_is_said_once(study, capsys):
    said = printed(runs(RunsConfig(folders=(study,))), capsys)
    assert [line.split()[:3] for line in said.splitlines() if line.startswith("l")] == [
        ["linear-0", "linear", "0"],
        ["linear-1", "linear", "1"],
        ["linear-2", "linear", "2"],
        ["lstm", "lstm", "0"],
    ]
    assert "verb %" in said
    assert "all: dataset toy, features toy/gap" in said
    assert said.splitlines()[-1] == "4 runs"


def test_no_two_columns_have_one_heading(study, verb_noun_store, capsys, monkeypatch):
    trainer = TrainerConfig(epochs=2, lr=0.02, device="cpu")
    out = study / "short"
    fit_head(FitConfig(head="linear", store=verb_noun_store(), out=out, trainer=trainer))
    monkeypatch.setenv("COLUMNS", "120")
    heading, *_ = printed(runs(RunsConfig(folders=(study,))), capsys).splitlines()
    assert "epochs asked" in heading
    assert heading.split()[-3:] == ["epochs", "weights", "time"]


def test_runs_are_filtered_and_sorted(study):
    def listed(**asked):
        return [one.path.name for one in runs(RunsConfig(folders=(study,), **asked)).runs]

    assert listed(where={"head": "ls*"}) == ["lstm"]
    assert listed(where={"head": "linear", "seed": "1"}) == ["linear-1"]
    assert listed(sort="parameters")[-1] == "lstm"
    assert listed(sort="lr")[0] == "lstm"
    assert listed(sort="verb/top1")[-1] == "lstm"
    with pytest.raises(RequestError, match="`where` hed: no run has such a setting: did you mean"):
        listed(where={"hed": "lstm"})
    with pytest.raises(RequestError, match="none of 4 runs has head=gru: leave out `where`"):
        listed(where={"head": "gru"})
    with pytest.raises(RequestError, match="`sort` verb/top is no column: did you mean 'verb/top"):
        listed(sort="verb/top")


def test_what_is_not_finished_is_said(study, capsys):
    (study / "lstm" / "metrics.json").unlink()
    said = printed(runs(RunsConfig(folders=(study,))), capsys)
    assert "4 runs, 1 of them not finished or not evaluated" in said
    with pytest.raises(RequestError, match=r"lstm has no metrics of its validation split: finish"):
        compare(CompareConfig(runs=(study,), out=study / "out"))


def test_scores_are_the_metrics_of_the_run(study):
    run = read_finished(study / "linear-0")
    for figure in ("verb/top1", "verb/top3", "noun/top5", "action/top1", "action/top3"):
        assert read_scores([run], figure).right.mean() == pytest.approx(run.metrics[figure])
    assert read_scores([run], "verb/mean_class_accuracy") is None
    with pytest.raises(RequestError, match="has no figure verb/top2: did you mean 'verb/top"):
        read_scores([run], "verb/top2")


def test_seeds_are_averaged_and_differences_tested(study, tmp_path, capsys):
    found = compare(CompareConfig(runs=(study,), figure="verb/top1", out=tmp_path / "out"))
    best, other = found.lines_
    values = [one.metrics["verb/top1"] for one in find_finished([study])[:3]]
    assert (best.configuration, other.configuration) == ("linear", "lstm")
    assert best.mean == pytest.approx(np.mean(values))
    assert best.deviation == pytest.approx(np.std(values, ddof=1))
    assert best.low < best.mean <= best.high
    assert (best.p, other.deviation, other.together) == (None, None, None)
    assert best.together == pytest.approx(ensemble_of(study, "linear-*")["verb/top1"])
    assert other.p < 0.05
    assert found.clips == 30
    ((_, _, first, second),) = found.disagreements
    gap = sum(
        read_scores([read_finished(study / name)], "verb/top1").right * sign
        for name, sign in (("linear-0", 1), ("lstm", -1))
    )
    assert first - second == pytest.approx(gap.sum(), abs=3), "of most seeds, here of nearly all"
    said = printed(found, capsys)
    assert "30 clips of val; 95 % interval: bootstrap" in said
    assert "right by linear alone" in said


def ensemble_of(study, names, **asked):
    runs_ = tuple(sorted(study.glob(names)))
    return ensemble(EnsembleConfig(runs=runs_, out=study / "all", device="cpu", **asked)).metrics


def test_an_ensemble_is_the_mean_softmax(study):
    figures = ensemble_of(study, "linear-*")
    arrays = [np.load(study / f"linear-{k}" / "predictions.npz") for k in range(3)]
    for target in ("verb", "noun"):
        logits = torch.from_numpy(np.stack([of[f"logits_{target}"] for of in arrays]))
        best = logits.softmax(dim=2).mean(dim=0).argmax(dim=1).numpy()
        right = best == arrays[0][f"labels_{target}"]
        assert figures[f"{target}/top1"] == pytest.approx(right.mean())
    saved = json.loads((study / "all" / "metrics.json").read_text())
    assert saved["action/top1"] == figures["action/top1"]
    assert {"verb/tail/top1", "verb/unseen/top1"} <= figures.keys()
    assert [*saved["members"]] == [str(study / f"linear-{k}") for k in range(3)]
    alone = json.loads((study / "linear-1" / "metrics.json").read_text())
    assert saved["members"][str(study / "linear-1")]["verb/top1"] == alone["verb/top1"]


def test_what_is_no_ensemble_is_one_sentence(study, verb_noun_store):
    with pytest.raises(RequestError, match="is one run, and an ensemble has several"):
        ensemble_of(study, "lstm")
    with pytest.raises(RequestError, match="was trained on 'train': name another split"):
        ensemble_of(study, "linear-*", split="train")
    with pytest.raises(RequestError, match="lstm is a run: name another folder with `out`"):
        ensemble(EnsembleConfig(runs=(study,), out=study / "lstm"))
    trainer = TrainerConfig(epochs=1, device="cpu")
    store = verb_noun_store(out="same")
    asked = FitConfig(head="linear", store=store, targets=("verb",), trainer=trainer)
    fit_head(replace(asked, out=study / "verbs"))
    with pytest.raises(RequestError, match="tell other classes apart"):
        ensemble_of(study, "*")


def test_files_hold_the_table_and_the_clips(study, tmp_path):
    out = tmp_path / "out"
    found = compare(CompareConfig(runs=(study,), figure="verb/top1", out=out))
    with (out / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["mean"]) for row in rows] == [line.mean for line in found.lines_]
    assert json.loads((out / "comparison.json").read_text()) == json.loads(
        json.dumps(found.to_dict())
    )
    with (out / "disagreements.csv").open() as file:
        clips = list(csv.DictReader(file))
    assert all(row["linear"] != row["lstm"] for row in clips)
    assert clips
    assert {path.name for path in out.iterdir()} >= {"comparison.png", "curves.png"}


def test_a_baseline_is_what_differences_are_to(study, tmp_path):
    found = compare(
        CompareConfig(
            runs=(study / "linear-0",),
            baseline=study / "lstm",
            figure="verb/top1",
            out=tmp_path / "out",
        )
    )
    assert found.reference == "lstm"
    assert [line.p is None for line in found.lines_] == [False, True]
    assert found.lines_[1].difference == 0


def test_another_split_is_compared_once_it_was_evaluated(study, tmp_path):
    asked = CompareConfig(
        runs=(study / "linear-0", study / "lstm"), split="train", out=tmp_path / "out"
    )
    with pytest.raises(RequestError, match=r"egofeat evaluate .*linear-0 --split train"):
        compare(asked)
    for name in ("linear-0", "lstm"):
        evaluate(study / name, "train", device="cpu")
    assert compare(asked).clips == 60


def test_runs_on_no_clip_in_common_are_refused(study, tmp_path):
    path = study / "lstm" / "predictions.npz"
    arrays = dict(np.load(path))
    arrays["ids"] = np.array([f"other_{k}" for k in range(len(arrays["ids"]))])
    np.savez(path, **arrays)
    with pytest.raises(RequestError, match="judged on no segment in common"):
        compare(CompareConfig(runs=(study,), out=tmp_path / "out"))
    path.write_bytes(b"torn")
    with pytest.raises(RequestError, match=r"predictions.npz is absent or damaged: give egofeat"):
        compare(CompareConfig(runs=(study,), out=tmp_path / "out"))


def test_the_same_training_counts_once(study, tmp_path, capsys):
    shutil.copytree(study / "linear-0", study / "copy")
    found = compare(CompareConfig(runs=(study,), figure="verb/top1", out=tmp_path / "out"))
    assert [len(line.runs) for line in found.lines_] == [3, 1]
    assert "linear-0 is the same training as" in capsys.readouterr().err


def test_runs_that_tell_other_classes_apart_are_refused(study, tmp_path, labelled_store):
    splits = ["train"] * 6 + ["val"] * 4
    store = labelled_store(splits, {"verb": [0, 1] * 5}, {"verb": ("cut", "mix")}, out="other")
    trainer = TrainerConfig(epochs=1, device="cpu")
    other = FitConfig(head="linear", store=store, out=study / "other", trainer=trainer)
    fit_head(other)
    with pytest.raises(RequestError, match="tell other classes of 'verb' apart: compare runs on"):
        compare(CompareConfig(runs=(study / "lstm", study / "other"), out=tmp_path / "out"))


def test_a_run_of_before_sessions_were_kept_is_read(study):
    path = study / "lstm" / "predictions.npz"
    arrays = {name: of for name, of in np.load(path).items() if name != "sessions"}
    np.savez(path, **arrays)
    scores = read_scores([read_finished(study / "lstm")], "verb/top1")
    assert np.array_equal(scores.sessions, scores.ids)


def test_runs_are_called_by_the_fewest_words_that_tell_them_apart():
    base = {"head": "lstm", "features": "i3d/gap", "lr": "0.001", "patience": "5"}
    several = [base, base | {"lr": "0.01", "patience": "9"}, base | {"head": "linear"}]
    assert differences(several) == ["head", "lr"]
    assert labels(several) == ["lstm lr 0.001", "lstm lr 0.01", "linear lr 0.001"]
    assert labels([base, base | {"features": "s3d/gap"}]) == ["lstm i3d/gap", "lstm s3d/gap"]
    assert labels([base]) == ["lstm"]
    plain = base | {"schedule": "step", "optimizer": "adam"}
    both = [plain, base | {"schedule": "plateau", "optimizer": "ranger"}]
    assert labels(both) == [
        "lstm schedule step, optimizer adam",
        "lstm schedule plateau, optimizer ranger",
    ]
    of_presets = [both[0] | {"preset": "a"}, both[1] | {"preset": "b"}]
    assert labels(of_presets) == ["lstm preset a", "lstm preset b"]
    balanced, dense = {"sampling": "balanced"}, {"plan.sampling": "dense"}
    of_one_word = {"head": "lstm", "sampling": "shuffle", "plan.sampling": "uniform"}
    drawn = [of_one_word, of_one_word | balanced, of_one_word | dense]
    assert labels(drawn)[0] == "lstm sampling shuffle, plan.sampling uniform"

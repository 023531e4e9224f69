"""From a store to a run folder: what it holds, when it goes on, what it refuses."""

import csv
import gc
import io
import json
import re
import sys
import weakref
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from rich.console import Console
from tests.timeless import timeless
from typer.testing import CliRunner

from egofeat import console
from egofeat.cli import app
from egofeat.errors import EgofeatError, RequestError, StoreError
from egofeat.heads import TrainerConfig
from egofeat.pipelines.comparing.ensemble import EnsembleConfig, ensemble
from egofeat.pipelines.runs.config import RunConfig
from egofeat.pipelines.runs.run import load_run
from egofeat.pipelines.training.evaluate import evaluate
from egofeat.pipelines.training.fit import FitConfig, fit_head

QUICK = TrainerConfig(epochs=12, lr=0.02, device="cpu")


@pytest.fixture
def config(verb_noun_store, tmp_path):
    return FitConfig(
        head="linear",
        store=verb_noun_store(),
        targets=("verb",),
        out=tmp_path / "run",
        trainer=QUICK,
    )


@pytest.mark.drawn
def test_a_run_folder_holds_everything_to_do_it_again(config):
    seen = []
    run = fit_head(replace(config, targets=()), on_epoch=seen.append)
    names = {path.name for path in run.path.iterdir()}
    pictures = {f"{kind}-{t}.png" for kind in ("confusion", "instances") for t in ("verb", "noun")}
    tables = {f"{kind}-{t}.csv" for kind in ("confusion", "classes") for t in ("verb", "noun")}
    assert names == pictures | tables | {
        "SHA256SUMS",
        "loss.png",
        "config.yaml",
        "head.safetensors",
        "history.csv",
        "metrics.json",
        "predictions.npz",
        "trained-on.json",
    }
    assert run.evaluation.metrics["verb/top1"] > 0.8
    assert run.evaluation.metrics["action/top1"] > 0.6
    assert run.parameters == 2 * (6 * 3 + 3)

    metrics = json.loads((run.path / "metrics.json").read_text())
    assert metrics == run.evaluation.to_dict()
    assert (metrics["split"], metrics["segments"], metrics["warnings"]) == ("val", 30, [])
    assert {"verb/tail/top1", "verb/unseen/top1", "action/unseen/top1"} <= set(metrics)

    with (run.path / "history.csv").open() as file:
        history = list(csv.DictReader(file))
    assert len(history) == len(seen) == 12
    assert {"epoch", "lr", "train/loss", "val/loss", "val/verb/top1"} <= set(history[0])

    saved = yaml.safe_load((run.path / "config.yaml").read_text())
    assert saved["classes"]["verb"] == ["take", "put", "cut"]
    assert saved["trainer"]["lr"] == 0.02
    (source,) = saved["sources"]
    assert source["recipe"]["backbone"] == "toy"
    assert source["store"] == str(config.store)
    result = saved["result"]
    assert result["parameters"] == run.parameters
    assert result["coverage"]["val"] == {"there": 30, "of_split": 30}
    (training,) = result["training"]
    losses = [float(record["val/loss"]) for record in history]
    assert (training["best_epoch"], training["epochs"]) == (1 + losses.index(min(losses)), 12)
    assert training["seconds"] > 0
    assert 0 <= training["waiting"] < 1
    assert training["stopped"] is None

    with np.load(run.path / "predictions.npz") as predictions:
        assert predictions["ids"].shape == (30,)
        hits = predictions["logits_verb"].argmax(1) == predictions["labels_verb"]
    assert hits.mean() == pytest.approx(metrics["verb/top1"])


def test_the_same_request_gives_the_same_bytes(config, tmp_path):
    first = fit_head(config)
    second = fit_head(replace(config, out=tmp_path / "again"))
    for name in ("head.safetensors", "history.csv", "predictions.npz"):
        assert (first.path / name).read_bytes() == (second.path / name).read_bytes()
    assert timeless(first.path / "config.yaml") == timeless(second.path / "config.yaml")


def test_a_run_says_what_it_is(config):
    run = load_run(fit_head(config).path)
    assert repr(run).startswith(f"Run('{config.out}': linear of 21 parameters, 3 verb classes, ")
    assert repr(run).endswith(":gap [4, 6])")


def test_a_run_cut_short_goes_on_to_the_same_end(config, tmp_path):
    def cut(record):
        if record["epoch"] == 5:
            raise KeyboardInterrupt

    whole = fit_head(config)
    again = replace(config, out=tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        fit_head(again, on_epoch=cut)
    with pytest.raises(RequestError, match=r"no head that fits its config.*fit-head again"):
        load_run(tmp_path / "cut")
    epochs = []
    run = fit_head(again, on_epoch=epochs.append)
    assert len(epochs) == 7
    for name in ("head.safetensors", "history.csv", "predictions.npz", "metrics.json"):
        ours, theirs = ((one.path / name).read_bytes() for one in (run, whole))
        assert ours.replace(b'"cut"', b'"run"') == theirs
    assert not (run.path / "checkpoint.safetensors").exists()


def test_a_finished_run_is_not_trained_again_and_another_is_not_overwritten(config):
    first = fit_head(config)
    before = (first.path / "head.safetensors").stat().st_mtime_ns
    epochs = []
    again = fit_head(config, on_epoch=epochs.append)
    assert not epochs
    assert again.evaluation.metrics == first.evaluation.metrics
    assert (first.path / "head.safetensors").stat().st_mtime_ns == before
    with pytest.raises(RequestError, match=r"holds another run.*`out`"):
        fit_head(replace(config, head="conv1d"))
    (first.path / "config.yaml").write_text("notes: mine")
    with pytest.raises(RequestError, match=r"holds another run.*`out`"):
        fit_head(config)


def test_the_config_of_a_run_given_back_asks_for_the_same_run(config):
    path = fit_head(replace(config, val_from_train=0.0, options={"dropout": 0.25})).path
    words = ["fit-head", "--config", str(path / "config.yaml"), "--out", str(path)]
    said = CliRunner().invoke(app, words, catch_exceptions=False)
    assert "is trained already: it is only evaluated again" in said.stderr


def test_a_loss_beyond_all_bounds_is_said_in_few_digits(config, capsys):
    fit_head(replace(config, trainer=replace(QUICK, epochs=1, lr=1e12, clip_norm=0)), shown=True)
    said = capsys.readouterr().err
    assert re.search(r"loss \d\.\d{1,2}e\+\d+, on validation \d\.\d{1,2}e\+\d+, verb", said), said


def test_a_person_sees_how_it_goes_and_why_it_ended(config, capsys):
    soon = replace(config, trainer=replace(QUICK, epochs=50, lr=5.0, patience=2))
    (training,) = fit_head(soon, shown=True).config.result.training
    said = capsys.readouterr().err
    assert f"{training.stopped}\n" in said
    assert "epoch 1/50: loss " in said
    assert ", on validation " in said
    assert ", verb top-1 " in said
    assert re.search(r"stopped after \d+ of 50 epochs: 2 evaluations were not better", said)
    fit_head(soon, shown=True)
    said = capsys.readouterr().err
    assert "is trained already: it is only evaluated again" in said
    assert "training" not in said
    assert "0/50" not in said


def test_tensorboard_shows_epochs_options_and_final_figures(config, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import (
        EventAccumulator,
    )
    from tensorboard.plugins.hparams import plugin_data_pb2

    run = fit_head(replace(config, log="tensorboard"))
    events = EventAccumulator(str(run.path / "tensorboard")).Reload()
    with (run.path / "history.csv").open() as file:
        history = list(csv.DictReader(file))
    for name in set(history[0]) - {"iteration"}:
        seen = [(event.step, event.value) for event in events.Scalars(name)]
        told = [(int(record["iteration"]), float(record[name])) for record in history]
        assert seen == [(step, pytest.approx(value, rel=1e-6)) for step, value in told]
    (final,) = events.Scalars("final/verb/top1")
    assert final.value == pytest.approx(run.evaluation.metrics["verb/top1"])
    begun = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    options = plugin_data_pb2.HParamsPluginData.FromString(begun).session_start_info.hparams
    assert options["head"].string_value == "linear"
    assert options["lr"].number_value == 0.02

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(RequestError, match=r"needs TensorBoard: run `pip install egofeat\[tens"):
        fit_head(replace(config, log="tensorboard", out=run.path.parent / "other"))
    assert not (run.path.parent / "other").exists()


def test_runs_without_a_name_say_what_is_different(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quick = replace(config, out=None, trainer=replace(QUICK, epochs=1))
    tried = [
        quick,
        replace(quick, trainer=replace(quick.trainer, seed=3, lr=0.1)),
        replace(quick, normalize=True),
        replace(quick, options={"dropout": 0.5}),
        quick,
    ]
    paths = [fit_head(one).path for one in tried]
    assert [path.name for path in paths] == [
        "toy-linear",
        "toy-linear-lr0.1-seed3",
        "toy-linear-normalized",
        "toy-linear-dropout0.5",
        "toy-linear",
    ]
    assert paths[0].parent.name == "runs"


def test_runs_that_no_word_tells_apart_are_numbered(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quick = replace(config, out=None, trainer=replace(QUICK, epochs=1))
    fit_head(quick)
    (tmp_path / "runs" / "toy-linear-seed1").mkdir()
    (tmp_path / "runs" / "toy-linear-seed1" / "notes.txt").write_text("mine")
    path = fit_head(replace(quick, trainer=replace(quick.trainer, seed=1))).path
    assert path.name == "toy-linear-seed1-2"


def test_options_as_words_are_the_same_request(config):
    first = fit_head(replace(config, options={"dropout": 0.25}))
    again = fit_head(replace(config, options={"dropout": "0.25"}))
    assert first.path == again.path
    assert again.config.options == {"dropout": 0.25}


def test_a_run_from_before_a_head_had_an_option_is_the_same_request(config):
    now = fit_head(config).config
    assert now.model_copy(update={"options": {}}).asks_the_same(now)
    assert not now.model_copy(update={"options": {"dropout": 0.25}}).asks_the_same(now)


def test_corrected_labels_make_another_run(config, labelled_store):
    fit_head(config)
    splits = ["train"] * 60 + ["val"] * 30 + ["test"] * 10
    labels = {"verb": [0, 1] * 50, "noun": [0, 1] * 50}
    classes = {"verb": ("take", "put", "cut"), "noun": ("cup", "knife", "pan")}
    labelled_store(splits, labels, classes)
    with pytest.raises(RequestError, match="holds another run"):
        fit_head(config)


def test_normalization_is_kept_with_the_head(config):
    run = fit_head(replace(config, normalize=True))
    head = load_run(run.path).head
    assert head.standardise.mean.any()
    assert run.evaluation.metrics["verb/top1"] > 0.8
    assert not head.training


def test_targets_are_chosen_or_named(labelled_store, config, tmp_path):
    splits = ["train", "train", "val", "val"] * 5
    one = labelled_store(
        splits,
        {"action": [0, 1] * 10, "mood": [None] * 20},
        {"action": "ab", "mood": "ab"},
        out="stores",
    )
    run = fit_head(replace(config, store=one, targets=(), out=tmp_path / "one"))
    assert run.config.targets == ("action",)
    named = fit_head(replace(config, targets=("noun",), out=tmp_path / "named"))
    assert set(named.config.classes) == {"noun"}
    with pytest.raises(RequestError, match=r"no labels for target 'mood'.*it has action"):
        fit_head(replace(config, store=one, targets=("mood",), out=tmp_path / "mood"))


def test_segments_without_a_label_do_not_count(labelled_store, config, tmp_path):
    """A target that is labelled on a part of the rows trains on that part."""
    splits = ["train"] * 40 + ["val"] * 20
    labels = {"verb": [0, 1, None] * 20, "noun": [None, 1, None] * 20}
    path = labelled_store(splits, labels, {"verb": "ab", "noun": "ab"}, out="stores")
    run = fit_head(replace(config, store=path, targets=(), out=tmp_path / "partly"))
    assert run.evaluation.metrics["noun/top1"] == 1
    assert run.evaluation.segments == 20


def test_what_cannot_be_trained_is_one_sentence(config, labelled_store, tmp_path):
    def sentence(kind, **changes):
        with pytest.raises(kind) as caught:
            fit_head(replace(config, **changes))
        assert not (tmp_path / "run").exists()
        return str(caught.value)

    assert "no head 'gru'" in sentence(RequestError, head="gru")
    assert "no option 'hiden'" in sentence(RequestError, head="lstm", options={"hiden": 1})
    assert "`tap` map" in sentence(RequestError, head="convlstm")
    missing = sentence(RequestError, val_split="dev")
    assert "split 'dev'" in missing
    assert "test, train, val" in missing
    assert "no tap 'map'" in sentence(RequestError, tap="map")
    assert "no feature store" in sentence(StoreError, store=tmp_path / "nothing")
    config = replace(config, targets=())
    bare = labelled_store(["train"] * 4, {"verb": [None] * 4}, {"verb": "ab"}, out="bare")
    assert "has no labels" in sentence(RequestError, store=bare)
    single = labelled_store(["train", "val"], {"verb": [0, 1]}, {"verb": "ab"}, out="single")
    assert "one labelled segment" in sentence(RequestError, store=single)


def test_the_callers_random_state_is_left_alone(config):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    fit_head(replace(config, trainer=replace(QUICK, epochs=1)))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("changes", [{}, {"iterations": 9, "eval_every": 3}])
def test_a_training_that_diverges_and_stays_finite_says_so(config, changes):
    """The loss of guessing one of three classes is log 3."""
    trainer = replace(QUICK, lr=1e6, epochs=3, **changes)
    run = fit_head(replace(config, trainer=trainer))
    (said,) = [one for one in run.evaluation.warnings if "diverged" in one]
    assert re.fullmatch(
        rf"has diverged: its last {trainer.unit} has a loss of \S+, and guessing has 1.099: lower "
        r"the learning rate \(1e\+06\)",
        said,
    )
    assert evaluate(run.path, device="cpu").warnings == run.evaluation.warnings
    assert f"warning: run {said}" in run.evaluation.lines()
    again = fit_head(replace(config, trainer=replace(QUICK, epochs=1), out=run.path.parent / "b"))
    asked = EnsembleConfig(runs=(run.path, again.path), out=run.path.parent / "both")
    assert ensemble(asked).warnings[0] == f"holds run, which {said}"


@pytest.mark.parametrize("lr", [1e-5, 0.02, 0.3])
def test_a_training_that_learns_little_or_much_is_not_said_to_diverge(config, lr):
    run = fit_head(replace(config, trainer=replace(QUICK, lr=lr, epochs=1)))
    assert not [one for one in run.evaluation.warnings if "diverged" in one]


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("lr", [0.02, 1e30])
def test_a_head_whose_training_was_shown_is_free_before_python_looks_for_garbage(
    config, terminal, lr, monkeypatch
):
    """Nor is one kept whose training fails."""
    shown = Console(file=io.StringIO(), force_terminal=terminal, width=80)
    monkeypatch.setattr(console, "stderr", shown)
    trainer = replace(QUICK, lr=lr, epochs=2, optimizer="sgd", clip_norm=0.0)
    heads = []
    made = RunConfig.make_head

    def make_head(asked):
        head = made(asked)
        heads.append(weakref.ref(head))
        return head

    monkeypatch.setattr(RunConfig, "make_head", make_head)
    gc.collect()
    gc.disable()
    try:
        with suppress(EgofeatError):
            fit_head(replace(config, trainer=trainer), shown=True)
        assert heads
        assert [one() for one in heads] == [None] * len(heads)
    finally:
        gc.enable()
    assert "training linear" in shown.file.getvalue()


def test_a_finished_run_whose_head_is_damaged_is_not_sent_round_in_circles(config):
    run = fit_head(config)
    (run.path / "head.safetensors").write_bytes(b"torn")
    for use in (lambda: load_run(run.path), lambda: fit_head(config)):
        with pytest.raises(RequestError, match=r"restore a copy of head.*, or remove the run and"):
            use()

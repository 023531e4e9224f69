"""Several seeds at once, stacked and in turn: each run is what its seed alone comes to."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from egofeat.errors import EgofeatError, RequestError
from egofeat.heads import TrainerConfig
from egofeat.pipelines.training import members
from egofeat.pipelines.training.fit import FitConfig, fit_head
from egofeat.pipelines.training.members import watched
from egofeat.pipelines.training.seeds import fit_seeds

QUICK = TrainerConfig(epochs=4, lr=0.02, device="cpu", seed=3, batch_size=4)


HEADS = {"linear": {"dropout": "0.3"}, "lstm": {"hidden": 8}}
"""Stacked and in turn."""


@pytest.fixture(params=HEADS)
def config(request, verb_noun_store, tmp_path):
    return FitConfig(
        head=request.param,
        store=verb_noun_store(),
        targets=("verb",),
        options=HEADS[request.param],
        out=tmp_path / "runs",
        trainer=QUICK,
        seeds=3,
    )


def alone(config, trainer, out):
    return fit_head(replace(config, seeds=1, out=out, trainer=trainer))


def figures(run):
    return np.genfromtxt(run / "history.csv", delimiter=",", skip_header=1)


def test_each_run_is_that_of_its_seed_alone(config, tmp_path):
    seeds = fit_seeds(config)
    assert [run.path.name for run in seeds.runs] == ["seed3", "seed4", "seed5"]
    first, second, _ = seeds.runs
    assert first.config.trainer == QUICK
    assert second.config.trainer == replace(QUICK, seed=4, data_seed=3)
    for number, run in enumerate(seeds.runs):
        other = alone(config, run.config.trainer, tmp_path / f"alone{number}")
        assert np.abs(figures(run.path) - figures(other.path)).max() < 1e-5
        state, same = (load_file(of.path / "head.safetensors") for of in (run, other))
        assert all((state[name] - same[name]).abs().max() < 1e-5 for name in state)
        assert sorted(p.name for p in run.path.iterdir()) == sorted(
            p.name for p in other.path.iterdir()
        )
    assert not np.allclose(figures(first.path), figures(second.path))
    top1 = [run.evaluation.metrics["verb/top1"] for run in seeds.runs]
    said = json.loads(json.dumps(seeds.to_dict()))
    assert said["mean"]["verb/top1"] == pytest.approx(np.mean(top1))
    assert said["deviation"]["verb/top1"] == pytest.approx(np.std(top1, ddof=1))
    assert [run["seed"] for run in said["runs"]] == [3, 4, 5]
    expected = f"verb top-1 {100 * np.mean(top1):.1f} ± {100 * np.std(top1, ddof=1):.1f} %"
    assert expected in list(seeds.lines())


def test_records_that_are_told_at_once_say_no_pace(capsys, monkeypatch):
    """Those of another process are looked for twice a second."""
    seconds = [0.0]
    monkeypatch.setattr("egofeat.console.time.monotonic", lambda: seconds[0])
    config = TrainerConfig(epochs=40)
    with watched("training", lambda record: None, config, ["seed 3, "], 2) as (tell,):
        for epoch, at in ((1, 29.6), (2, 29.6001), (3, 30.0)):
            seconds[0] = at
            tell({"epoch": epoch, "train/loss": 1.0, "val/loss": 1.0})
        seconds[0] = 60.0
        tell({"epoch": 20, "train/loss": 1.0, "val/loss": 1.0})
    said = [line for line in capsys.readouterr().err.splitlines() if "left" in line]
    assert [line.rpartition(", ")[2] for line in said] == ["about 548 s left", "about 16 s left"]


@pytest.mark.parametrize("config", ["linear"], indirect=True)
def test_time_left_counts_the_seeds_that_go_on_beside(config, capsys, monkeypatch):
    seconds, epochs = [0.0], {0.0}

    def slow(record):
        seconds[0] += 40 * (record["epoch"] not in epochs)
        epochs.add(record["epoch"])

    monkeypatch.setattr("egofeat.console.time.monotonic", lambda: seconds[0])
    fit_seeds(config, on_epoch=slow, shown=True)
    said = [line for line in capsys.readouterr().err.splitlines() if "left" in line]
    assert [line.split(", ", 1)[1] for line in said] == [
        f"0.1 epochs/s, about {40 * left / 3:.0f} s left" for left in (11, 8, 5, 2)
    ], "of 12 epochs, three in 40 seconds"


@pytest.mark.drawn
def test_each_run_has_the_picture_of_what_all_learn_from(config, tmp_path):
    brief = replace(QUICK, epochs=1)
    runs = fit_seeds(replace(config, seeds=2, trainer=brief, figures="pdf")).runs
    expected = alone(replace(config, figures="pdf"), brief, tmp_path / "alone")
    for form in ("png", "pdf"):
        pictures = [one.path / f"instances-verb.{form}" for one in (expected, *runs)]
        assert len({picture.read_bytes() for picture in pictures}) == 1


def test_names_say_the_seed(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [run.path for run in fit_seeds(replace(config, out=None)).runs]
    stem = str(paths[0])
    assert list(map(str, paths[1:])) == [f"{stem}-seed4", f"{stem}-seed5"]
    again = fit_seeds(replace(config, out=None)).runs
    assert [run.path for run in again] == paths


class Killed(BaseException):
    pass


@pytest.mark.parametrize("after", [1, 4, 5])
def test_killed_between_any_two_checkpoints_they_go_on_to_the_same_end(config, tmp_path, after):
    whole = fit_seeds(config)
    told = []

    def kill(record):
        told.append(record)
        if len(told) == after:
            raise Killed

    cut = replace(config, out=tmp_path / "cut")
    with pytest.raises(Killed):
        fit_seeds(cut, on_epoch=kill)
    resumed = fit_seeds(cut)
    for one, other in zip(whole.runs, resumed.runs, strict=True):
        assert (one.path / "history.csv").read_bytes() == (other.path / "history.csv").read_bytes()
        state, same = (load_file(of.path / "head.safetensors") for of in (one, other))
        assert all(torch.equal(state[name], same[name]) for name in state)


def test_patience_ends_each_by_itself(config, tmp_path):
    trainer = replace(QUICK, epochs=30, patience=1, lr=0.4)
    runs = fit_seeds(replace(config, trainer=trainer)).runs
    lengths = [len(figures(run.path)) for run in runs]
    assert len(set(lengths)) > 1
    for number, run in enumerate(runs):
        other = alone(config, run.config.trainer, tmp_path / f"alone{number}")
        assert len(figures(other.path)) == lengths[number]


def test_one_that_diverges_leaves_the_others_alone(config, monkeypatch):
    whole = members.train_together

    def spoilt(replicas, *rest):
        next(replicas[1].head.parameters()).data[:] = float("nan")
        return whole(replicas, *rest)

    monkeypatch.setattr(members, "train_together", spoilt)
    seeds = fit_seeds(config)
    assert [run.config.trainer.seed for run in seeds.runs] == [3, 5]
    assert [one.seed for one in seeds.failed] == [4]
    assert seeds.exit_code == 1
    assert "seed 4 has no run: the loss is not finite" in "\n".join(seeds.lines())
    assert not (config.out / "seed4" / "config.yaml").exists()
    assert all(np.isfinite(figures(run.path)).all() for run in seeds.runs)


def test_where_all_diverge_nothing_stays(config):
    spoilt = replace(QUICK, lr=1e30, clip_norm=0)
    named = "^seeds 3, 4, 5 have no run; of seed 3, the loss is not finite in epoch 1: lower `lr`"
    with pytest.raises(EgofeatError, match=named):
        fit_seeds(replace(config, trainer=spoilt, head="linear", options={}))
    assert not config.out.exists()


def test_groups_that_validate_follow_the_seed_of_the_data(config):
    trainer = replace(QUICK, seed=1, data_seed=9)
    runs = fit_seeds(replace(config, trainer=trainer, seeds=2)).runs
    assert {run.config.trainer.order_seed for run in runs} == {9}
    told = yaml.safe_load((runs[0].path / "config.yaml").read_text())["trainer"]
    assert (told["seed"], told["data_seed"]) == (1, 9)


def test_one_run_is_asked_for_where_one_is_returned(config):
    with pytest.raises(RequestError, match="`seeds` 3 makes several runs: call fit_seeds"):
        fit_head(config)

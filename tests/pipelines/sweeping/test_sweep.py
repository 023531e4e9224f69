"""Many heads, seeds and features by one call: the same as single trainings, however it is done."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tests.networks import light
from tests.pipelines.sweeping.conftest import COMMON, rows_of, table_of, weights_of

from egofeat.cli.command import show
from egofeat.errors import RequestError
from egofeat.extract.backbones import BACKBONES, find_backbone, load
from egofeat.heads import TrainerConfig
from egofeat.heads.linear import LinearHead
from egofeat.pipelines.extraction.extract import run_jobs
from egofeat.pipelines.sweeping import at_once, costs, features, fitting, timings
from egofeat.pipelines.sweeping.options import SweepConfig
from egofeat.pipelines.sweeping.sweep import sweep
from egofeat.pipelines.training.evaluate import evaluate
from egofeat.pipelines.training.fit import fit_alike, fit_head
from egofeat.pipelines.training.options import FitConfig
from egofeat.store import StoreWriter


def test_a_sweep_is_its_single_trainings_in_one_table(study, tmp_path):
    config = study(splits={"test": "test"})
    found = sweep(config)
    rows = rows_of(config.out)
    assert [(row["head"], row["seed"]) for row in rows] == [
        ("linear", "0"),
        ("lstm", "0"),
        ("linear", "1"),
        ("lstm", "1"),
    ]
    store = Path(yaml.safe_load(config.study.read_text())["features"][0]["store"])
    trainer = TrainerConfig(**COMMON, seed=1)
    alone = fit_head(FitConfig(head="lstm", store=store, out=tmp_path / "alone", trainer=trainer))
    assert (tmp_path / "alone/head.safetensors").read_bytes() == (
        Path(rows[3]["run"]) / "head.safetensors"
    ).read_bytes()
    assert float(rows[3]["val/verb/top1"]) == alone.evaluation.metrics["verb/top1"]
    judged = evaluate(alone.path, "test").metrics["verb/top1"]
    assert float(rows[3]["test/verb/top1"]) == judged
    assert found.exit_code == 0
    assert found.comparison.split == "test"
    lstm = next(line for line in found.comparison.lines_ if line.configuration == "lstm")
    assert lstm.mean == pytest.approx((judged + float(rows[1]["test/verb/top1"])) / 2)


def test_what_is_done_is_neither_trained_nor_evaluated_again(study, monkeypatch):
    config = study(splits={"test": "test"})
    sweep(config)
    before = weights_of(config.out), table_of(config.out), rows_of(config.out)

    def refuse(*_, **__):
        raise AssertionError("done already")

    monkeypatch.setattr(fitting, "fit_head", refuse)
    monkeypatch.setattr(fitting, "evaluate_run", refuse)
    sweep(config)
    assert before == (weights_of(config.out), table_of(config.out), rows_of(config.out))


class EndedError(BaseException):
    """As a process that is ended."""


def test_one_that_ends_between_fits_or_inside_goes_on_to_the_same_table(
    study, tmp_path, monkeypatch
):
    whole = study(asked={"out": tmp_path / "whole"}, splits={"test": "test"})
    sweep(whole)
    config = study(splits={"test": "test"})
    trained = []

    def fit(*args, **more):
        def on_epoch(record):
            trained.append(record)
            if len(trained) in (2, 7):
                raise EndedError

        return fit_head(*args, on_epoch=on_epoch, **more)

    monkeypatch.setattr(fitting, "fit_head", fit)
    monkeypatch.setattr(fitting, "evaluate_run", lambda *_: (_ for _ in ()).throw(EndedError))
    with pytest.raises(EndedError):
        sweep(config)
    with pytest.raises(EndedError):
        sweep(config)  # the first is trained, and not judged on the test split
    monkeypatch.undo()
    monkeypatch.setattr(fitting, "fit_head", fit)
    with pytest.raises(EndedError):
        sweep(config)
    monkeypatch.undo()
    sweep(config)
    assert weights_of(config.out) == weights_of(whole.out)
    same = {"run", "runs"}
    for read in (rows_of, table_of):
        for one, other in zip(read(config.out), read(whole.out), strict=True):
            assert {n: v for n, v in one.items() if n not in same} == {
                n: v for n, v in other.items() if n not in same
            }
    assert not list(config.out.glob("runs/*/checkpoint*"))


@pytest.mark.slow
def test_one_that_is_killed_goes_on_to_the_same_table(study, tmp_path):
    config = study(common={"epochs": 40, "lr": 0.01, "patience": 0}, seeds=3)
    sweep(
        study(
            asked={"out": tmp_path / "whole"},
            common={"epochs": 40, "lr": 0.01, "patience": 0},
            seeds=3,
        )
    )
    words = [sys.executable, "-m", "egofeat", "sweep", str(config.study), "--out", str(config.out)]
    child = subprocess.Popen(words, stderr=subprocess.PIPE)
    while not list(config.out.glob("runs/*/history.csv")) and child.poll() is None:
        time.sleep(0.05)
    time.sleep(0.3)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stderr.close()
    assert not (config.out / "results.csv").exists()
    sweep(config)
    assert weights_of(config.out) == weights_of(tmp_path / "whole")


def test_a_fit_that_fails_is_a_row_with_its_reason_and_the_others_go_on(study, capsys):
    config = study(heads=[{"head": "linear", "lr": [0.02, 1e30]}, {"head": "lstm"}])
    found = sweep(config)
    assert found.exit_code == 1
    failed = [row for row in rows_of(config.out) if row["failure"]]
    assert len(failed) == 2
    assert all("diverged" in row["failure"] or "finite" in row["failure"] for row in failed)
    assert [len(line.runs) for line in found.comparison.lines_] == [2, 2]
    with pytest.raises(BaseException):  # noqa: B017 - exit code 1
        show(found, as_json=True)
    assert len(json.loads(capsys.readouterr().out)["failed"]) == 2


def test_memory_that_is_not_there_is_a_reason(study, monkeypatch):
    def embed(*_):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory")

    monkeypatch.setattr(LinearHead, "embed", embed)
    found = sweep(study())
    assert {why for _, why in found.failed} == {
        "there was not enough memory: choose smaller options"
    }
    assert [line.configuration for line in found.comparison.lines_] == ["lstm"]


def alike(out: Path, whole: Path) -> bool:
    """Whether two sweeps have the same rows, table and heads."""
    places = str(out), str(whole)
    return weights_of(out) == weights_of(whole) and all(
        [{name: of.replace(*places) for name, of in row.items()} for row in read(out)]
        == read(whole)
        for read in (rows_of, table_of)
    )


@pytest.mark.slow
def test_a_fit_that_kills_two_processes_is_a_reason_and_the_others_go_on(
    study, monkeypatch, tmp_path, capfd
):
    (tmp_path / "deadly.py").write_text(
        "import os\nfrom egofeat.heads.linear import LinearHead\n\n\n"
        "class Deadly(LinearHead):\n"
        "    def embed(self, x):\n"
        "        os._exit(9) if os.environ.get('DEADLY') else None\n"
        "        return super().embed(x)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("EGOFEAT_TRUST", "deadly")
    more = {"heads": [{"head": ["deadly:Deadly", "linear"]}], "splits": {"test": "test"}}
    sweep(study(asked={"out": tmp_path / "whole"}, **more))
    config = study(asked={"jobs": 2}, **more)
    monkeypatch.setenv("DEADLY", "1")
    found = sweep(config)
    said = "2 processes ended while they trained it, as for want of memory"
    assert [why.split(":")[0] for _, why in found.failed] == [said] * 2, capfd.readouterr().err
    assert [len(line.runs) for line in found.comparison.lines_] == [2]
    monkeypatch.delenv("DEADLY")
    assert sweep(replace(config, jobs=1)).failed == ()
    assert alike(config.out, tmp_path / "whole")
    assert not (config.out / ".work").exists()


WORKERS = [
    {"jobs": 2},
    pytest.param({"devices": ("cpu", "cpu")}, marks=pytest.mark.slow),
    pytest.param({"slurm": "cluster=local,nodes=2,time=5"}, marks=pytest.mark.slow),
    pytest.param({"ray": "local,workers=2,cpus=0.5"}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("workers", WORKERS, ids=["jobs", "devices", "slurm", "ray"])
def test_workers_make_what_one_process_makes(study, tmp_path, workers):
    if "ray" in workers:
        pytest.importorskip("ray")
    sweep(study(asked={"out": tmp_path / "whole"}, splits={"test": "test"}))
    config = study(asked=workers, splits={"test": "test"})
    assert sweep(config).failed == ()
    assert alike(config.out, tmp_path / "whole")


def test_jobs_and_workers_exclude_each_other(tmp_path):
    with pytest.raises(RequestError, match="`jobs`"):
        SweepConfig(study=tmp_path, jobs=2, devices=("cpu", "cpu"))


def test_seeds_on_the_same_batches_are_trained_at_once_to_what_each_is_alone(
    study, tmp_path, monkeypatch
):
    heads = [{"head": "linear", "lr": [0.02, 1e30]}, {"head": "lstm"}]
    common = {**COMMON, "data_seed": 7}
    more = {"heads": heads, "common": common, "seeds": [0, 2, 5]}
    whole = study(asked={"out": tmp_path / "whole"}, **more)
    with monkeypatch.context() as patched:  # each alone
        patched.setattr(at_once, "_alike", lambda configs: [[name] for name in configs])
        sweep(study(asked={"out": tmp_path / "alone"}, **more))
    sweep(whole)
    for path in (tmp_path / "alone" / "runs").glob("*/head.safetensors"):
        alone, state = load_file(path), load_file(whole.out / "runs" / path.parent.name / path.name)
        assert all(torch.allclose(state[name], alone[name], atol=1e-5) for name in alone)
    config = study(**more)
    seen = []

    def fit(configs, **rest):
        def on_epoch(record):
            seen.append(len(configs))
            if len(seen) == 5:
                raise EndedError

        return fit_alike(configs, on_epoch=on_epoch, **rest)

    monkeypatch.setattr(at_once, "fit_alike", fit)
    with pytest.raises(EndedError):
        sweep(config)
    assert len(sweep(config).failed) == 3
    assert set(seen) == {3}
    assert alike(config.out, whole.out)


def test_words_are_searched_for_as_numbers_are(study, capsys):
    config = study(heads=[{"head": "linear"}], search={"optimizer": ["adam", "sgd"]})
    assert not sweep(config).failed
    said = capsys.readouterr().err
    assert "optimizer sgd, seed 0: verb top-1" in said.replace("verb/top1", "verb top-1")
    assert {row["optimizer"] for row in rows_of(config.out)} == {"adam", "sgd"}


def test_the_search_is_made_on_validation_with_the_first_seed(study):
    config = study(
        heads=[{"head": "linear"}, {"head": "lstm", "lr": 0.02}],
        common={"epochs": 3},
        search={"lr": [1e-6, 0.02, "2e-2"], "weight_decay": [0, 1e-3]},
        splits={"test": "test"},
        seeds=[3, 5],
    )
    found = sweep(config)
    rows = rows_of(config.out)
    linear = [row for row in rows if row["head"] == "linear"]
    tried = [row for row in linear if row["seed"] == "3"]
    assert len(tried) == 4
    best = max(tried, key=lambda row: float(row["val/verb/top1"]))
    chosen = next(row for row in tried if row["chosen"] == "True")
    assert chosen == best
    assert chosen["lr"] == "0.02"
    other = next(row for row in linear if row["seed"] == "5")
    assert (other["lr"], other["chosen"]) == ("0.02", "True")
    assert sum(row["chosen"] == "True" for row in linear) == 2
    by_head = {one.configuration.split()[0].strip(","): one.tried for one in found.spent}
    assert by_head == {"linear": 4, "lstm": 2}
    assert all(len(line.runs) == 2 for line in found.comparison.lines_)


def test_what_a_line_costs_is_counted_and_measured_once(study, monkeypatch):
    # The store's network is none that there is: here it is one.
    monkeypatch.setattr(costs, "_counted", {})
    monkeypatch.setattr(costs, "find_backbone", lambda _: find_backbone("mobilenetv2"))
    monkeypatch.setattr(timings, "load", lambda _, *more: load("mobilenetv2", *more))
    config = study(heads=[{"head": "linear"}], seeds=1)
    found = sweep(config)
    with (config.out / "table.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["head_multiply_adds"] == "18"  # 6 values, 3 verbs
    assert row["verb/top1"] == row["mean"]
    assert float(row["verb/top3"]) == 1  # of three verbs
    percent = 100 * float(row["mean"])
    work = int(row["multiply_adds"]) + 18
    weights = int(row["backbone_parameters"]) + 6 * 3 + 3
    assert float(row["percent_per_giga"]) == pytest.approx(percent / work * 1e9)
    assert float(row["percent_per_million"]) == pytest.approx(percent / weights * 1e6)
    assert float(row["features_ms"]) > float(row["head_ms"]) > 0
    assert found.to_dict()["configurations"][0]["head_ms"] == float(row["head_ms"])
    before = (config.out / "table.csv").read_bytes()
    monkeypatch.setattr(timings, "median_seconds", lambda *_: 1.0)
    sweep(config)
    assert (config.out / "table.csv").read_bytes() == before
    (config.out / "timings.json").write_text('{"machine": "another", "ms": {}}')
    sweep(config)
    with (config.out / "table.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["head_ms"] == "1000.0"


def test_a_baseline_is_what_the_others_are_tested_to(study):
    found = sweep(study(heads=[{"head": "linear", "baseline": True, "lr": 1e-6}, {"head": "lstm"}]))
    assert found.comparison.reference.startswith("linear")


def test_each_part_of_the_rows_is_its_own_line(study):
    config = study(heads=[{"head": "linear", "train_fraction": [0.3, 1.0]}])
    found = sweep(config)
    said = [line.configuration for line in found.comparison.lines_]
    assert sorted(said) == ["linear train fraction 0.3", "linear train fraction 1"]
    assert [len(line.runs) for line in found.comparison.lines_] == [2, 2]
    assert len(set(weights_of(config.out).values())) == 4


def test_what_cannot_be_compared_is_told_and_its_rows_are_kept(study):
    config = study(figure="noun/top1")
    found = sweep(config)
    assert found.comparison is None
    assert "noun/top1" in found.uncompared
    assert len(rows_of(config.out)) == 4
    assert any(found.uncompared in str(line) for line in found.lines())


def test_heads_on_stores_need_no_file(judged_store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = judged_store()
    config = SweepConfig(
        store=(store,),
        head=("linear", "lstm"),
        seeds=2,
        settings={"epochs": "1", "lr": "1e-3,2e-3"},
    )
    with pytest.raises(RequestError, match="lr"):
        sweep(config)
    found = sweep(SweepConfig(store=(store,), head=("linear",), settings={"epochs": "1"}))
    assert found.folder == "sweeps/linear"
    assert len(found.rows) == 1


@pytest.fixture
def of_videos(encoder, tmp_path, monkeypatch):
    """A study of two networks, of frames and of clips, on ten short videos of two classes."""
    for name in ("mobilenetv2", "r3d_18"):
        spec, build = BACKBONES[name]
        monkeypatch.setitem(BACKBONES.own, name, (spec, light(build)))
    for split, number in (("train", 3), ("val", 2)):
        for verb in ("cut", "wash"):
            folder = tmp_path / "clips" / split / verb
            folder.mkdir(parents=True)
            for n in range(number):
                encoder(folder / f"{split}-{verb}{n}.mp4", frames=8 + n)
    manifest = {
        "version": 1,
        "datasets": {"mine": {"format": "folder", "media": str(tmp_path / "clips")}},
    }
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    said = {
        "version": 1,
        "name": "networks",
        "dataset": "mine",
        "manifest": str(tmp_path / "manifest.yaml"),
        "features": [
            {
                "backbone": "mobilenetv2",
                "weights": "random",
                "tap": ["gap", "block15"],
                "frames": 4,
            },
            {"backbone": "r3d_18", "weights": "random", "tap": "gap", "size": 32},
        ],
        "heads": [{"head": "linear"}, {"head": "stam", "tap": "block15"}],
        "common": COMMON,
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(said, sort_keys=False))

    def make(name):
        folder = tmp_path / name
        return SweepConfig(
            study=tmp_path / "study.yaml", features=folder / "features", out=folder / "swept"
        )

    return make


def test_features_are_extracted_from_one_decode_and_all_goes_on_where_it_was(
    of_videos, monkeypatch
):
    decoded = []

    def extract(jobs, compute):
        report = run_jobs(jobs, compute)
        decoded.append([report.decoded, *(one.extracted for one in report.stores)])
        return report

    monkeypatch.setattr(features, "run_jobs", extract)
    whole = of_videos("whole")
    assert len(sweep(whole).rows) == 4
    assert decoded[0][1:] == [10, 10]
    frames = 2 * (8 + 9 + 10 + 8 + 9)
    assert frames // 2 < decoded[0][0] <= frames, "none is decoded twice, for both networks"
    config = of_videos("ended")
    written = []

    def write(self, *args):
        written.append(self.path)
        if len(written) == 2:
            raise EndedError
        return write_shard(self, *args)

    write_shard = StoreWriter.write_shard
    with monkeypatch.context() as patched:
        patched.setattr(StoreWriter, "write_shard", write)
        with pytest.raises(EndedError):
            sweep(config)

    def end(_):
        raise EndedError

    with pytest.raises(EndedError):
        sweep(config, on_fit=end)
    assert sorted(decoded[-1][1:]) == [0, 10]
    sweep(config)
    assert decoded[-1] == [0, 0, 0]
    assert alike(config.out, whole.out)


def test_two_sweeps_of_one_folder_do_not_meet(study):
    config = study()

    def again(_):
        with pytest.raises(RequestError, match="another process is sweeping"):
            sweep(config)

    sweep(config, on_fit=again)

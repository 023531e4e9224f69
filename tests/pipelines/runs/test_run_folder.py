"""A run's folder: what is altered is told, one training at a time, killed anywhere and resumed."""

import hashlib
import json
import multiprocessing
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from egofeat.errors import EgofeatError, RequestError
from egofeat.heads import TrainerConfig
from egofeat.pipelines.runs.claim import claim
from egofeat.pipelines.runs.config import read_config
from egofeat.pipelines.runs.run import load_run
from egofeat.pipelines.training.evaluate import evaluate
from egofeat.pipelines.training.fit import FitConfig, fit_head

GOLDEN = Path(__file__).parents[2] / "golden/runs_without_schema"
QUICK = TrainerConfig(epochs=4, lr=0.02, device="cpu")
COVERED = (
    *("config.yaml", "head.safetensors", "history.csv", "metrics.json", "predictions.npz"),
    *("classes-verb.csv", "confusion-verb.csv", "trained-on.json"),
)


@pytest.fixture
def config(verb_noun_store, tmp_path):
    return FitConfig(
        head="linear",
        store=verb_noun_store(),
        targets=("verb",),
        out=tmp_path / "run",
        trainer=QUICK,
    )


@pytest.fixture
def run(config):
    return fit_head(config).path


def sums(run):
    lines = (run / "SHA256SUMS").read_text().splitlines()
    return {line.split("  ")[1]: line.split("  ")[0] for line in lines}


def test_every_file_of_a_run_has_its_digest(run, config):
    assert sums(run) == {
        name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in COVERED
    }
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=run, check=True)
    evaluate(run, "train")
    fit_head(config)
    assert {*sums(run)} == {
        *(*COVERED, "metrics-train.json", "predictions-train.npz"),
        *("classes-verb-train.csv", "confusion-verb-train.csv"),
    }
    assert not [path for path in run.iterdir() if path.name.startswith(".")]


def test_a_flipped_bit_of_head_or_config_is_told_before_use(run):
    for name in ("head.safetensors", "config.yaml"):
        whole = (run / name).read_bytes()
        for place in range(0, len(whole), len(whole) // 23):
            flipped = bytearray(whole)
            flipped[place] ^= 0x10
            (run / name).write_bytes(flipped)
            with pytest.raises(EgofeatError, match=r"altered|is not a run|no head that fits"):
                load_run(run)
        (run / name).write_bytes(whole)
    load_run(run)


def test_a_run_of_before_digests_is_read(run):
    (run / "SHA256SUMS").unlink()
    load_run(run)
    (run / "SHA256SUMS").write_text("rubbish\n")
    with pytest.raises(EgofeatError, match=r"SHA256SUMS is damaged.*remove it"):
        load_run(run)


RUBBISH = (
    *(b"", b"5", b"[]", b"\xff\xfe", b"\x00", b"[" * 5000, b"- " * 5000, b"1" * 5000),
    *(b"a: 2001-99-99", b"&a [*a]", b"!!python/object:os.system {}", b"a: &b [1]\nc: *b\n"),
)
MADE_UP = {
    "head": (None, "nohead", "../x"),
    "options": (None, {"hidden": []}, {"dropout": "x"}),
    "trainer": ({"seed": -1}, {"seed": "x"}, {"seed": 2**70}, {"sed": 1}),
    "classes": ({}, {"verb": []}, {"../x": ["a"]}, {"verb": ["c"] * 5000}, {"verb": [1, 2, 3]}),
    "preset": (5, "none"),
    "dataset": ("../../x", "", 7),
    "normalize": ([], {}, 3.5),
    "init": ([],),
}
SOURCES = {
    "shape": ([4], [4, 2**40], [4, 2**30], "ab"),
    "recipe": ({}, None),
    "tap": ("../../x", "", 7),
}
OF_NOW = {
    **MADE_UP,
    "schema": (0, "2", [], 2.5),
    "sources": (5, [], [5], [{}]),
    "splits": (5, {"val": []}, {"val_groups": 3}, {"test": "x"}),
    "fuse": ("mean", None),
    "result": (5, {}),
}
OF_BEFORE = {
    **MADE_UP,
    **{name.replace("shape", "feature_shape"): values for name, values in SOURCES.items()},
    "stores": (5, [], [5]),
    "val_split": ([], {}, 3.5),
    "val_groups": (3,),
}


def test_rubbish_for_a_config_is_one_sentence(run):
    path = run / "config.yaml"
    said = yaml.safe_load(path.read_text())
    before = yaml.safe_load((GOLDEN / "lstm/config.yaml").read_text())
    (run / "SHA256SUMS").unlink()
    made_up = [{**said, key: value} for key in OF_NOW for value in OF_NOW[key]]
    made_up += [{**before, key: value} for key in OF_BEFORE for value in OF_BEFORE[key]]
    sources = [{**said["sources"][0], key: value} for key in SOURCES for value in SOURCES[key]]
    made_up += [{**said, "sources": [source]} for source in sources]
    made_up += [
        {key: value for key, value in whole.items() if key != lacking}
        for lacking in ("head", "classes", "sources", "tap")
        for whole in (said, before)
        if lacking in whole
    ]
    for text in (*RUBBISH, *(yaml.safe_dump(one).encode() for one in made_up)):
        path.write_bytes(text)
        with pytest.raises(EgofeatError) as told:
            load_run(run)
        assert len(str(told.value)) < 500


def test_a_run_of_a_newer_egofeat_asks_for_it(run):
    path = run / "config.yaml"
    path.write_text(path.read_text().replace("schema: 2", "schema: 3"))
    with pytest.raises(RequestError, match=r"by a newer egofeat \(schema 3\): upgrade egofeat"):
        load_run(run)


def cut(record):
    if record["epoch"] == 2:
        raise KeyboardInterrupt


@pytest.mark.parametrize("torn", [b"", b"3,4,0.0", b"3,4,0.02,0.1,0.2,0.3,0.4\n"])
def test_a_history_is_added_to_and_what_was_lost_is_cut(config, tmp_path, torn):
    whole = fit_head(config).path
    again = replace(config, out=tmp_path / "again")
    with pytest.raises(KeyboardInterrupt):
        fit_head(again, on_epoch=cut)
    history = tmp_path / "again/history.csv"
    assert len(history.read_text().splitlines()) == 3
    assert (whole / "history.csv").read_bytes().startswith(history.read_bytes())
    history.write_bytes(history.read_bytes() + torn)
    resumed = fit_head(again).path
    for name in ("head.safetensors", "history.csv", "predictions.npz"):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()


def test_an_altered_checkpoint_or_history_is_not_gone_on_from(config):
    with pytest.raises(KeyboardInterrupt):
        fit_head(config, on_epoch=cut)
    checkpoint, history = config.out / "checkpoint.safetensors", config.out / "history.csv"
    whole = checkpoint.read_bytes()
    for place in range(0, len(whole), len(whole) // 31):
        flipped = bytearray(whole)
        flipped[place] ^= 0x04
        checkpoint.write_bytes(flipped)
        with pytest.raises(EgofeatError, match=r"not a checkpoint of this head.*remove it"):
            fit_head(config)
    checkpoint.write_bytes(whole)
    text = history.read_text()
    for changed in (text.replace("0.02", "0.03"), text[:-9], ""):
        history.write_text(changed)
        with pytest.raises(EgofeatError, match=r"history\.csv does not fit its checkpoint"):
            fit_head(config)
    history.write_text(text)
    fit_head(config)


def test_remains_of_a_first_moment_do_not_hinder(config):
    config.out.mkdir()
    for name in (".config.yaml.tmp", ".lock", ".tmp~run~0~1~config.yaml"):
        (config.out / name).write_text("x")
    fit_head(config)


def hold(path, run, ready, go):
    with claim(path, read_config(run)):
        ready.set()
        go.wait(60)


def test_a_second_training_in_one_folder_is_refused(config):
    context = multiprocessing.get_context("spawn")
    ready, go = context.Event(), context.Event()
    other = context.Process(target=hold, args=(config.out, GOLDEN / "lstm", ready, go))
    other.start()
    try:
        assert ready.wait(60)
        with pytest.raises(RequestError, match=r"another process is training in .*run.*`out`"):
            fit_head(config)
        other.kill()  # the lock goes with the process
        other.join()
        fit_head(config)
    finally:
        other.kill()


def test_a_refused_request_leaves_no_folder(config):
    with pytest.raises(RequestError):
        fit_head(replace(config, trainer=replace(QUICK, gaze_weight=1.0)))
    assert not config.out.exists()


def test_a_full_disk_is_one_sentence_that_names_the_file(config, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("egofeat.store.files.sync", full)
    with pytest.raises(EgofeatError, match=r"config\.yaml cannot be written \(No space left"):
        fit_head(config)


def test_a_split_that_leaves_the_folder_is_refused(config, labelled_store):
    splits = ["train"] * 6 + ["val"] * 4 + ["../x"] * 2
    store = labelled_store(splits, {"verb": [0, 1] * 6}, {"verb": ("a", "b")}, out="other")
    path = fit_head(replace(config, store=store)).path
    with pytest.raises(RequestError, match=r"split '\.\./x' does not stay inside"):
        evaluate(path, "../x")
    assert json.loads((path / "metrics.json").read_text())["split"] == "val"
    own = replace(config, store=store, val_split="../x", out=path.parent / "own")
    assert fit_head(own).evaluation.segments == 2, "nothing is named by a run's own split"

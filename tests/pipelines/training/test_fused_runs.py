"""Heads on several stores of one data set: side by side, or a head each, from fit to zip."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from egofeat.cli import app
from egofeat.errors import RequestError, StoreError
from egofeat.heads import TrainerConfig
from egofeat.pipelines.exporting.epic_challenge import export_challenge
from egofeat.pipelines.runs.run import load_run
from egofeat.pipelines.training.evaluate import evaluate
from egofeat.pipelines.training.fit import FitConfig, fit_head
from egofeat.recipe import Recipe, Transform, Windows
from egofeat.segments import Dataset
from egofeat.store import StoreWriter

QUICK = TrainerConfig(epochs=4, lr=0.02, device="cpu")
KEPT = ("head.safetensors", "predictions.npz", "metrics.json", "history-1.csv", "history-2.csv")


@pytest.fixture
def stores(verb_noun_store):
    """Vectors of two backbones, of unequal steps and channels."""
    return (
        verb_noun_store(out="one"),
        verb_noun_store(out="two", row=(2, 8), weights="random:1"),
    )


@pytest.fixture
def config(stores, tmp_path):
    return FitConfig(
        head="linear", store=stores, targets=("verb",), out=tmp_path / "run", trainer=QUICK
    )


def logits_of(path):
    with np.load(path / "predictions.npz") as predictions:
        return {name: predictions[name] for name in predictions.files}


def test_features_side_by_side_train_one_head(config, stores):
    run = fit_head(replace(config, normalize=True))
    assert run.parameters == (6 + 8) * 3 + 3
    assert run.evaluation.metrics["verb/top1"] > 0.8
    assert run.evaluation.alone == {}
    saved = yaml.safe_load((run.path / "config.yaml").read_text())
    assert saved["fuse"] == "features"
    assert [source["store"] for source in saved["sources"]] == [str(path) for path in stores]
    assert [source["shape"] for source in saved["sources"]] == [[4, 6], [2, 8]]
    assert [source["tap"] for source in saved["sources"]] == ["gap", "gap"]
    assert len({source["digest"] for source in saved["sources"]}) == 2
    assert saved["sources"][1]["recipe"]["weights"] == "random:1"
    assert evaluate(run.path, device="cpu").to_dict() == run.evaluation.to_dict()
    head = load_run(run.path).head
    assert head.standardise.mean.shape == (14,)


def test_a_head_a_store_is_to_the_bit_what_it_is_alone(config, stores, tmp_path):
    config = replace(config, head="lstm", targets=(), fuse="logits", normalize=True)
    fused = fit_head(config)
    loaded = load_run(fused.path)
    head = loaded.head
    assert loaded.config.fuse == "logits"
    both = []
    for number, path in enumerate(stores):
        alone = fit_head(replace(config, store=path, out=tmp_path / f"alone-{number}"))
        both.append(logits_of(alone.path))
        state = load_run(alone.path).head.state_dict()
        member = head.members[number].state_dict()
        assert state.keys() == member.keys()
        assert all(torch.equal(state[key], member[key]) for key in state)
        history = (fused.path / f"history-{number + 1}.csv").read_bytes()
        assert history == (alone.path / "history.csv").read_bytes()
        label = f"toy-{alone.config.sources[0].digest[:8]}:gap"
        assert fused.evaluation.alone[label] == alone.evaluation.metrics
        assert any(line.startswith(f"{label} verb ") for line in fused.evaluation.lines())
    predicted = logits_of(fused.path)
    for target in ("logits_verb", "logits_noun"):
        mean = (both[0][target] + both[1][target]) / 2
        assert np.allclose(predicted[target], mean, atol=1e-6)
    metrics = json.loads((fused.path / "metrics.json").read_text())
    assert metrics == fused.evaluation.to_dict()
    assert metrics["stores"] == fused.evaluation.alone
    assert {"loss-1.png", "loss-2.png"} <= {path.name for path in fused.path.iterdir()}


@pytest.mark.parametrize("after", [2, 6])
def test_a_run_cut_in_either_head_goes_on_to_the_same_end(config, tmp_path, after):
    seen = []

    def cut(record):
        seen.append(record)
        if len(seen) == after:
            raise KeyboardInterrupt

    config = replace(config, fuse="logits")
    whole = fit_head(config)
    again = replace(config, out=tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        fit_head(again, on_epoch=cut)
    epochs = []
    run = fit_head(again, on_epoch=epochs.append)
    assert len(epochs) == 8 - after
    for name in KEPT:
        ours, theirs = ((one.path / name).read_bytes() for one in (run, whole))
        assert ours.replace(b'"cut"', b'"run"') == theirs
    assert not list(run.path.glob("checkpoint*"))
    assert not list(whole.path.glob("checkpoint*"))


def test_a_finished_run_is_known_again_and_another_fusion_is_another_run(config, stores, tmp_path):
    first = fit_head(config)
    epochs = []
    assert fit_head(config, on_epoch=epochs.append).evaluation.metrics == first.evaluation.metrics
    assert not epochs
    for other in ({"fuse": "logits"}, {"store": stores[::-1]}, {"store": stores[0]}):
        with pytest.raises(RequestError, match=r"holds another run.*`out`"):
            fit_head(replace(config, **other))
    with pytest.raises(RequestError, match="`fuse` is mean: choose features, logits or weighted"):
        replace(config, fuse="mean")
    damaged = yaml.safe_load((first.path / "config.yaml").read_text())
    del damaged["sources"][1]["recipe"]
    (first.path / "config.yaml").write_text(yaml.safe_dump(damaged))
    with pytest.raises(RequestError, match="is not a run"):
        load_run(first.path)


@pytest.mark.parametrize("fuse", ["features", "logits"])
def test_stores_that_have_moved_are_named_in_order(config, stores, tmp_path, fuse):
    run = fit_head(replace(config, fuse=fuse))
    moved = [shutil.move(path, tmp_path / f"moved-{k}") for k, path in enumerate(stores)]
    with pytest.raises(StoreError, match="no feature store"):
        evaluate(run.path)
    assert evaluate(run.path, store=moved, device="cpu").metrics == run.evaluation.metrics
    with pytest.raises(RequestError, match="trained on 2 stores and 1 are named: give `store`"):
        evaluate(run.path, store=moved[0])
    with pytest.raises(RequestError, match="holds other features than run"):
        evaluate(run.path, store=moved[::-1])


def test_segments_that_stand_in_one_store_alone_are_left_out_and_counted(
    config, stores, verb_noun_store, capsys
):
    fewer = verb_noun_store(out="three", weights="random:2", without=(0, 60, 61, 99))
    run = fit_head(replace(config, store=(stores[0], fewer), fuse="logits"))
    assert run.evaluation.segments == 28
    said = capsys.readouterr().err
    assert f"96 segments are in all stores; left out: 4 of {stores[0]}, 0 of {fewer}" in said
    assert "segment_060" not in logits_of(run.path)["ids"]
    evaluate(run.path, "train", device="cpu")
    assert "left out: 4 of" in capsys.readouterr().err
    none = verb_noun_store(out="four", weights="random:3", without=range(60, 100))
    with pytest.raises(RequestError, match=r"split 'val' .* has no labelled segments"):
        fit_head(replace(config, store=(none, stores[0])))


def test_maps_of_several_sizes_are_fused_by_their_logits_alone(config, verb_noun_store):
    maps = (
        verb_noun_store(out="maps", row=(2, 6, 2, 2), weights="random:2"),
        verb_noun_store(out="clips", row=(2, 2, 6, 3, 3), weights="random:3"),
    )
    config = replace(config, store=maps, head="convlstm", options={"filters": 4})
    with pytest.raises(RequestError, match=r"2×2 and 3×3 cannot be concatenated.*`fuse` logits"):
        fit_head(config)
    assert not config.out.exists()
    run = fit_head(replace(config, fuse="logits", trainer=replace(QUICK, epochs=1)))
    assert len(run.evaluation.alone) == 2
    assert np.isfinite(logits_of(run.path)["logits_verb"]).all()


def test_clips_of_maps_and_frames_of_one_size_join(config, verb_noun_store):
    maps = (
        verb_noun_store(out="maps", row=(2, 6, 2, 2), weights="random:2"),
        verb_noun_store(out="clips", row=(2, 2, 6, 2, 2), weights="random:3"),
    )
    run = fit_head(replace(config, store=maps, normalize=True))
    assert run.evaluation.metrics["verb/top1"] > 0.8


def test_windows_of_whole_videos_are_refused(config, tmp_path):
    recipe = Recipe(
        backbone="toy", weights="random:0", transform=Transform("squash", 48, 48),
        plan=Windows(32, 16, 30.0, 8), taps={"gap": (6,)},
        dtype="float16",
    )  # fmt: skip
    dataset = Dataset("toy", {}, (), {})
    StoreWriter.open(tmp_path / "flat", dataset, recipe, made_with={"egofeat": "0"}).close()
    with pytest.raises(RequestError, match=r"holds windows over whole videos.*without `windows`"):
        fit_head(replace(config, store=tmp_path / "flat"))


def test_the_challenge_zip_of_a_fused_run(labelled_store, tmp_path):
    rng = np.random.default_rng(0)
    counts = {"verb": 97, "noun": 300}
    labels = {t: rng.integers(0, n, 30).tolist() for t, n in counts.items()}
    classes = {t: [f"{t}{k}" for k in range(n)] for t, n in counts.items()}
    splits = ["train"] * 20 + ["val"] * 10
    stores = [
        labelled_store(splits, labels, classes, out=f"epic-{k}", weights=f"random:{k}")
        for k in range(2)
    ]
    quick = replace(QUICK, epochs=1)
    config = FitConfig(
        head="linear", store=stores, fuse="logits", out=tmp_path / "epic", trainer=quick
    )
    run = fit_head(config)
    assert export_challenge(run.path, tmp_path / "epic.zip", "val", device="cpu").there == 10
    moved = [shutil.move(path, tmp_path / path.parts[-3] / "moved") for path in stores]
    covered = export_challenge(run.path, tmp_path / "epic.zip", "val", moved, device="cpu")
    assert covered.there == 10


def test_the_command_line_joins_stores(stores, tmp_path):
    def egofeat(*words):
        return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)

    both = ("--store", stores[0], "--store", stores[1])
    run = tmp_path / "run"
    fit = ("fit-head", "linear", *both, "--tap", "gap,gap", "--fuse", "logits", "--out", run)
    fitted = egofeat(*fit, "--epochs", 2, "--device", "cpu", "--json")
    metrics = json.loads(fitted.stdout)
    assert len(metrics["stores"]) == 2
    evaluated = egofeat("evaluate", run, *both, "--device", "cpu")
    assert evaluated.exit_code == 0
    assert evaluated.stdout.startswith("30 segments of val\nverb ")

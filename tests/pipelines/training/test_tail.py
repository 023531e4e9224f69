"""Tails: trained on kept maps, exported, and read back as the backbone's weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from typer.testing import CliRunner

from egofeat.cli import app
from egofeat.errors import RequestError
from egofeat.extract.backbones.cost import multiply_adds
from egofeat.extract.backbones.registry import find_backbone
from egofeat.heads.registry import build_head
from egofeat.heads.training.optim import make_optimizer, set_rate
from egofeat.store import open_store

OF = ("s3d_v1_top_heavy", "Mixed_4f")
ROW = (3, 2, 832, 2, 2)


def run(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output + done.stderr
    return done.output


def refused(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 1
    return str(done.exception)


def extract(root, out, backbone, taps, weights):
    run(
        *("extract", "--manifest", root / "m.yaml", "--backbone", backbone, "--weights", weights),
        *("--tap", taps, "--clips", 2, "--clip-frames", 10, "--size", 64, "--dtype", "float32"),
        *("--out", out, "--workers", 1),
    )
    (store,) = (out / "lamps").iterdir()
    return store


def same_as_run(store, folder):
    """The largest difference of a store's logits, views averaged, to what a run predicted."""
    predicted = np.load(folder / "predictions.npz")
    opened = open_store(store, "logits")
    rows = opened.rows("val")
    logits = dict(zip(opened.ids[rows].tolist(), opened.take(rows).mean(axis=1), strict=True))
    ours = np.stack([logits[id_] for id_ in predicted["ids"].tolist()])
    assert np.abs(ours).max() > 1e-3
    return np.abs(ours - predicted["logits_action"]).max()


@pytest.mark.parametrize(
    ("backbone", "tap", "option"),
    [("i3d", "Mixed_4f", "norms=frozen"), ("s3d_v1_top_heavy", "Mixed_5b", "norms=trained")],
)
def test_exported_weights_give_the_features_and_logits_of_the_run(
    clips, tmp_path, backbone, tap, option
):
    maps = extract(clips, tmp_path / "maps", backbone, tap, "random:1")
    out = tmp_path / "run"
    fit = ("fit-head", "tail", "--store", maps, "--init", "backbone", "--option", option)
    run(*fit, "--epochs", 2, "--batch-size", 4, "--device", "cpu", "--out", out)
    run("export-weights", out)
    exported = out / "weights.safetensors"
    again = extract(clips, tmp_path / "again", backbone, f"{tap},logits", exported)
    kept, made = open_store(maps, tap), open_store(again, tap)
    everything = np.arange(len(kept))
    assert np.array_equal(kept.take(everything), made.take(everything))
    assert same_as_run(again, out) < 2e-5
    with safe_open(exported, "numpy") as file:
        facts = json.loads(file.metadata()["egofeat"])
    assert facts == {"backbone": backbone, "classes": ["far", "near"], "like": None}
    # A later tail starts from it, the maps being those of the same blocks below.
    later = tmp_path / "later"
    run(*fit[:4], "--init", exported, "--epochs", 1, "--device", "cpu", "--out", later)
    assert yaml.safe_load((later / "config.yaml").read_text())["init"]["file"] == str(exported)


def test_what_a_tail_cannot_do_is_said(clips, tmp_path):
    store = extract(clips, tmp_path / "maps", "i3d", "Mixed_5b,gap", "random:0")
    fit = ("fit-head", "tail", "--store", store, "--device", "cpu", "--out", tmp_path / "run")
    assert "i3d has no blocks above 'gap'" in refused(*fit, "--tap", "gap")
    wide = (*fit, "--tap", "Mixed_5b")
    assert "leave `normalize` out" in refused(*wide, "--normalize")
    linear = ("fit-head", "linear", *fit[2:], "--tap", "gap", "--init", "backbone")
    assert "'linear' has none" in refused(*linear)
    with pytest.raises(RequestError, match="is the blocks above one tap of a backbone"):
        build_head("tail", ROW, {"verb": 4})
    run(*fit[:1], "linear", *fit[2:], "--tap", "gap", "--epochs", 1)
    assert "trained no blocks of a backbone" in refused("export-weights", tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "tap", "percent"),
    [
        ("i3d", "Mixed_4f", 1.7),
        ("s3d", "mixed_4f", 1.7),
        ("s3d_v3", "Mixed_6e", 2.6),
        ("i3d_nln_8x8_r50", "stage4", 9.7),
    ],
)
def test_a_tail_has_the_documented_share_of_the_multiply_adds(name, tap, percent):
    spec, build = find_backbone(name)
    share = 1 - multiply_adds(spec, build, [tap]) / multiply_adds(spec, build)
    assert 100 * share == pytest.approx(percent, abs=0.05)
    page = (Path(__file__).parents[3] / "docs/heads.md").read_text(encoding="utf-8")
    said = page.partition("What is above `Mixed_4f` of")[2].partition(".\n")[0]
    assert name in said
    assert f"{percent} %" in said


def tail(**options):
    torch.manual_seed(0)
    return build_head("tail", ROW, {"verb": 4}, of_tap=OF, **options)


def test_norms_stay_or_learn():
    maps = torch.randn(4, *ROW)
    for norms, stays in (("frozen", True), ("trained", False)):
        head = tail(norms=norms).train()
        mean = head.blocks.stages["map"]["branch1"].spatial.bn.running_mean
        before = mean.clone()
        head(maps)["verb"].sum().backward()
        assert torch.equal(before, mean) is stays
        weight = head.blocks.stages["map"]["branch1"].spatial.bn.weight
        assert (weight.grad is None) is stays


def test_training_draws_a_view_and_evaluation_averages_all():
    maps = torch.randn(1, *ROW).expand(6, *ROW)
    head = tail(dropout=0.0).eval()
    alone = torch.stack([head(maps[:, [view]])["verb"][0] for view in range(3)])
    assert torch.allclose(head(maps)["verb"][0], alone.mean(dim=0), atol=1e-5)
    assert torch.allclose(head(maps[:, 1])["verb"][0], alone[1], atol=1e-5)  # as views alone come
    drawn = head.train()(maps)["verb"]
    of = {int((alone - one).abs().sum(dim=1).argmin()) for one in drawn}
    nearest = torch.stack([(alone - one).abs().amax(dim=1).min() for one in drawn])
    assert nearest.max() < 1e-4
    assert len(of) > 1
    assert torch.allclose(
        tail(dropout=0.0, views="all").train()(maps)["verb"][0], alone.mean(dim=0), atol=1e-4
    )


def test_blocks_learn_at_their_own_rate():
    head = tail(rate=0.25)
    optimizer = make_optimizer("sgd", head, lr=1.0, weight_decay=0.0, l2=0.0)
    set_rate(optimizer, 0.5)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    learning = [p for p in head.parameters() if p.requires_grad]
    assert len(rates) == len(learning)
    blocks = {id(p) for p in head.blocks.parameters()}
    assert all(rates[id(p)] == (0.125 if id(p) in blocks else 0.5) for p in learning)


@pytest.mark.slow
def test_real_weights_of_i3d_on_real_clips(real_data, tmp_path, monkeypatch):
    """Trained a little on hands that are washed, exported, and asked again."""
    monkeypatch.setenv("EGOFEAT_WEIGHTS", str(real_data / "weights"))
    for split in ("train", "val"):
        for name in ("Step_1", "Step_3"):
            folder = tmp_path / "media" / split / name
            folder.mkdir(parents=True)
            source = real_data / "data" / "handwash12" / split / name
            for path in sorted(source.iterdir())[:2]:
                (folder / path.name).symlink_to(path)
    manifest = {"version": 1, "datasets": {"lamps": {"format": "folder", "media": "media"}}}
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(manifest))
    maps = extract(tmp_path, tmp_path / "maps", "i3d", "Mixed_4f", "kinetics400")
    fit = ("fit-head", "tail", "--store", maps, "--init", "backbone", "--epochs", 2)
    run(*fit, "--device", "cpu", "--out", tmp_path / "run")
    run("export-weights", tmp_path / "run", "--out", tmp_path / "new.safetensors")
    again = extract(tmp_path, tmp_path / "a", "i3d", "logits", tmp_path / "new.safetensors")
    assert same_as_run(again, tmp_path / "run") < 1e-5
    recipes = [open_store(store).recipe for store in (maps, again)]
    assert recipes[0].transform == recipes[1].transform  # known by what it was made from

"""A variant from its file to a prediction; the file is gone once the features are there."""

import json

import numpy as np
import yaml
from typer.testing import CliRunner

from egofeat.cli import app
from egofeat.extract.backbones.variants import SlowFast
from egofeat.names import short_name
from egofeat.store import open_store

TINY = SlowFast(depth=[1, 1, 1, 1], width=8, frames=2, stride=4, alpha=2)
SLOW = SlowFast(pathways="slow", depth=[1, 1, 1, 1], width=8, frames=2, stride=4)


def run(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output + done.stderr + str(done.exception)
    return done.stdout


def write(path, described):
    """A description as a person writes it: with a comment, and in another order."""
    keys = described.model_dump(mode="json", exclude_defaults=True)
    path.write_text(
        "# mine\n" + yaml.safe_dump(dict(reversed(keys.items())) | {"family": "slowfast"})
    )
    return path


def extract(clips, out, *words):
    options = ("--manifest", clips / "m.yaml", "--workers", 1, "--size", 32, "--dtype", "float32")
    run("extract", *options, "--out", out, *words)
    (store,) = (out / "lamps").iterdir()
    return store


def rows(store, tap):
    opened = open_store(store, tap)
    return dict(zip(opened.ids.tolist(), opened.take(np.arange(len(opened))), strict=True))


def test_the_whole_path_needs_the_file_once(clips, tmp_path):
    file = write(tmp_path / "tiny.yaml", TINY)
    words = ("--backbone", file, "--weights", "random:1", "--tap", "slowfast,slow_map")
    store = extract(clips, tmp_path / "a", *words)
    assert store.name.startswith(short_name(TINY.name).replace(":", "_") + "-")
    other = write(tmp_path / "other.yaml", TINY)
    file.unlink()
    # Of another file that says the same, or the description itself, it is the same store.
    words = ("--weights", "random:1", "--tap", "slowfast,slow_map")
    assert extract(clips, tmp_path / "a", "--backbone", other, *words) == store
    by_name = extract(clips, tmp_path / "b", "--backbone", TINY.name, *words, "--devices", "cpu")
    assert by_name.name == store.name
    ours, theirs = rows(store, "slowfast"), rows(by_name, "slowfast")
    assert all(np.array_equal(ours[key], theirs[key]) for key in theirs)
    other.unlink()
    (listed,) = json.loads(run("ls", tmp_path / "a", "--json"))
    assert listed["backbone"] == TINY.name
    assert TINY.name in run("ls", tmp_path / "a").replace("\n", "")
    assert "is sound" in run("verify", store)
    head = tmp_path / "head"
    fit = ("--epochs", 1, "--device", "cpu", "--out", head)
    run("fit-head", "linear", "--store", store, "--tap", "slowfast", *fit)
    run("evaluate", head, "--split", "val", "--device", "cpu")
    video = clips / "media/val/far/0.mp4"
    told = json.loads(run("predict", head, video, "--device", "cpu", "--json"))
    assert "far" in json.dumps(told)
    again = ("--manifest", clips / "m.yaml", "--workers", 1, "--out", tmp_path / "a", "--json")
    assert json.loads(run("reextract", "--all", "lamps", *again))["stores"] == []


def test_what_a_report_says_is_extracted_again_without_the_file(clips, tmp_path):
    file, other = write(tmp_path / "a.yaml", TINY), write(tmp_path / "b.yaml", TINY)
    words = ("extract", "--manifest", clips / "m.yaml", "--out", tmp_path / "f", "--weights")
    both = (*words, "random", "--backbone", file, "--backbone", other)
    done = CliRunner().invoke(app, [str(word) for word in both])
    assert done.exit_code != 0
    assert "names one twice" in str(done.exception)
    said = run(*words, "random", "--size", 32, "--backbone", file, "--json")
    assert json.loads(said)["request"]["backbones"] == [TINY.name]
    (tmp_path / "said.json").write_text(said)
    file.write_text("family: s3d")
    again = json.loads(run("extract", "--config", tmp_path / "said.json", "--json"))
    assert (again["extracted"], again["store"]) == (0, json.loads(said)["store"])


def test_the_tail_of_a_variant_is_trained_and_exported(clips, tmp_path):
    file = write(tmp_path / "slow.yaml", SLOW)
    words = ("--backbone", file, "--weights", "random:1", "--tap", "stage4")
    maps = extract(clips, tmp_path / "maps", *words)
    file.unlink()
    out = tmp_path / "tail"
    fit = ("fit-head", "tail", "--store", maps, "--init", "backbone", "--epochs", 1)
    run(*fit, "--batch-size", 4, "--device", "cpu", "--out", out)
    run("export-weights", out)
    words = ("--backbone", SLOW.name, "--weights", out / "weights.safetensors")
    again = extract(clips, tmp_path / "again", *words, "--tap", "stage4,logits")
    kept, made = rows(maps, "stage4"), rows(again, "stage4")
    assert all(np.array_equal(kept[key], made[key]) for key in made)
    logits = rows(again, "logits")
    with np.load(out / "predictions.npz") as predicted:
        ours = np.stack([logits[id_].mean(axis=0) for id_ in predicted["ids"].tolist()])
        assert np.abs(ours - predicted["logits_action"]).max() < 2e-5


def test_a_variant_is_described_drawn_and_swept(clips, tmp_path):
    file = write(tmp_path / "slow.yaml", SLOW)
    told = run("backbones", file)
    assert told.splitlines()[0] == short_name(SLOW.name)
    assert '"pathways": "slow"' in " ".join(told.split())
    assert json.loads(run("backbones", file, "--json"))["name"] == SLOW.name
    drawn = ("visualize", "maps", "--video", clips / "media/val/far/0.mp4", "--backbone", file)
    run(*drawn, "--weights", "random", "--tap", "stage2", "--device", "cpu", "--out", tmp_path)
    (picture,) = tmp_path.glob("*-maps-*.png")
    assert picture.name.startswith(short_name(SLOW.name).replace(":", "-"))
    assert picture.name.endswith("stage2.png")
    study = {
        "version": 1,
        "name": "small",
        "dataset": "lamps",
        "manifest": str(clips / "m.yaml"),
        "features": [{"backbone": str(file), "weights": "random", "size": 32, "tap": "gap"}],
        "heads": [{"head": "linear"}],
        "common": {"epochs": 1},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    words = ("--out", tmp_path / "swept", "--features", tmp_path / "features", "--device", "cpu")
    run("sweep", tmp_path / "study.yaml", *words)
    assert f"{short_name(SLOW.name)}/gap" in (tmp_path / "swept/results.csv").read_text()

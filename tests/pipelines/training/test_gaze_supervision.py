"""Gaze from a data set to a taught head, its figures and its pictures; two streams and flow."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from egofeat.cli import app
from egofeat.errors import RequestError
from egofeat.gaze import Gaze
from egofeat.heads import TrainerConfig
from egofeat.pipelines.extraction.extract import run as extract
from egofeat.pipelines.extraction.job import ExtractConfig
from egofeat.pipelines.figures.mosaics import draw_mosaic
from egofeat.pipelines.runs.run import load_run
from egofeat.pipelines.training.evaluate import evaluate
from egofeat.pipelines.training.fit import FitConfig, fit_head
from egofeat.pipelines.visualize import attention as attention_pictures
from egofeat.pipelines.visualize.options import AttentionConfig
from egofeat.recipe import Recipe, Transform, Uniform
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import ShardRows, StoreWriter, open_store

STEPS, SIDE, CLASSES, DECOYS = 3, 6, 6, 4
TRAIN, VAL = 200, 60
QUICK = TrainerConfig(epochs=1, device="cpu")
OPTIONS = {"width": 24, "hidden": 16, "dropout": 0.0}


def film(path, frames=3 * (TRAIN + VAL)):
    """Write frames at 3 a second."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=3)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(frames):
            picture = np.full((64, 64, 3), 100 + number % 100, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory):
    """Stores of one video whose segments are told apart only where its wearer looks."""
    folder = tmp_path_factory.mktemp("gaze")
    rng = np.random.default_rng(0)
    rows = TRAIN + VAL
    maps = rng.normal(0, 0.3, (rows, STEPS, CLASSES + 3, SIDE, SIDE))
    labels = rng.integers(0, CLASSES, rows)
    looked = np.zeros((rows, STEPS, 2), np.float32)
    for row, label in enumerate(labels):
        others = [k for k in rng.permutation(CLASSES) if k != label][:DECOYS]
        for step in range(STEPS):
            cells = rng.choice(SIDE * SIDE, DECOYS + 1, replace=False)
            pairs = [(0, 1), (0, 2), (1, 2), (0, 2), (1, 2)]
            for cell, colour, pair in zip(cells, (label, *others), pairs, strict=True):
                y, x = divmod(int(cell), SIDE)
                maps[row, step, colour, y, x] += 3
                maps[row, step, [CLASSES + mark for mark in pair], y, x] += 2
            looked[row, step] = (np.array(divmod(int(cells[0]), SIDE))[::-1] + 0.5) / SIDE
    times = np.arange(rows)[:, None] + (np.arange(STEPS) + 0.5) / STEPS
    gaze = Gaze(times.ravel(), looked.reshape(-1, 2), np.ones(times.size, np.uint8), (64, 64))
    segments = tuple(
        Segment(
            f"s{row:03d}",
            "kitchen",
            float(row),
            row + 1.0,
            split="train" if row < TRAIN else "val",
            labels={"verb": int(label)},
        )
        for row, label in enumerate(labels)
    )
    classes = {"verb": tuple(f"verb{k}" for k in range(CLASSES))}
    media = {"kitchen": Media(film(folder / "kitchen.mp4"))}
    dataset = Dataset("kitchen", media, segments, classes, gaze={"kitchen": gaze})

    def write(name, features, *, dataset=dataset, tap="map", backbone="toy"):
        recipe = Recipe(
            backbone=backbone,
            weights="random:0",
            transform=Transform("squash", 48, 48),
            plan=Uniform(STEPS),
            taps={tap: features.shape[1:]},
            dtype="float16",
        )
        writer = StoreWriter.open(folder / name, dataset, recipe, made_with={"egofeat": "0"})
        writer.write_shard(
            "kitchen",
            ShardRows(
                ids=[segment.id for segment in segments],
                videos=["kitchen"] * rows,
                starts=np.arange(rows, dtype=np.float64),
                stops=np.arange(rows) + 1.0,
                clipped=np.zeros(rows, bool),
                times=times,
                taps={tap: features.astype(np.float16)},
            ),
        )
        writer.close()
        return writer.path

    grid = np.abs(rng.normal(0, 0.1, (rows, STEPS, 1, 32, 32)))
    for row in range(rows):
        for step in range(STEPS):
            x, y = (looked[row, step] * 32).astype(int)
            grid[row, step, 0, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] += 5
    return SimpleNamespace(
        dataset=dataset,
        maps=write("maps", maps),
        blind=write("blind", maps, dataset=replace(dataset, gaze={})),
        noise=write("noise", rng.normal(size=(rows, STEPS, 5, 4, 4)), backbone="noise"),
        flow=write("flow", grid, tap="grid", backbone="flow_grid"),
        video=media["kitchen"].path,
        labels=labels,
        looked=looked,
    )


@pytest.fixture(scope="module")
def taught(kitchen, tmp_path_factory):
    """A run of `stam` that is taught with gaze."""
    trainer = TrainerConfig(
        epochs=14, lr=5e-3, schedule="constant", l2=0, gaze_weight=1.0, gaze_sigma=0.7, device="cpu"
    )
    config = FitConfig(
        head="stam",
        store=kitchen.maps,
        options=OPTIONS,
        trainer=trainer,
        out=tmp_path_factory.mktemp("runs") / "taught",
    )
    return config, fit_head(config)


def test_gaze_comes_from_the_store_and_is_judged_on_validation(kitchen, taught):
    _, run = taught
    points = open_store(kitchen.maps).gaze_points(np.arange(TRAIN + VAL))
    assert np.allclose(points[..., :2], kitchen.looked, atol=1e-6)
    metrics = run.evaluation.metrics
    assert metrics["verb/top1"] > 0.9
    assert metrics["gaze/auc"] >= 0.95
    assert metrics["gaze/error"] < 0.05
    assert metrics["gaze/steps"] == 1
    assert 0.4 < metrics["gaze/centre_auc"] < 0.6
    assert any(line.startswith("gaze ") for line in run.evaluation.lines())
    assert yaml.safe_load((run.path / "config.yaml").read_text())["trainer"]["gaze_weight"] == 1.0


def test_gaze_is_needed_to_train_and_not_to_evaluate(kitchen, taught, tmp_path):
    config, run = taught
    with pytest.raises(RequestError, match=r"blind.* has no gaze to train with.*`gaze_weight`"):
        fit_head(replace(config, store=kitchen.blind, out=tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    with pytest.raises(RequestError, match="this head learns none: choose stam"):
        fit_head(replace(config, head="linear", options={}, out=tmp_path / "none"))
    blind = evaluate(run.path, store=kitchen.blind, device="cpu").metrics
    assert "gaze/auc" not in blind
    assert blind["verb/top1"] == run.evaluation.metrics["verb/top1"]


def test_the_control_is_the_same_command_without_the_weight(kitchen, tmp_path):
    words = ("fit-head", "stam", "--store", str(kitchen.maps), "--device", "cpu", "--epochs", "1")
    options = [word for name, value in OPTIONS.items() for word in ("--option", f"{name}={value}")]
    egofeat = CliRunner()
    control = egofeat.invoke(
        app,
        [*words, *options, "--out", str(tmp_path / "control"), "--json"],
        catch_exceptions=False,
    )
    assert "gaze/auc" in json.loads(control.stdout)
    weighed = ["--gaze-weight", "0.5", "--gaze-sigma", "2", "--out", str(tmp_path / "taught")]
    egofeat.invoke(app, [*words, *options, *weighed], catch_exceptions=False)
    trainers = [load_run(tmp_path / name).config.trainer for name in ("control", "taught")]
    assert [t.gaze_weight for t in trainers] == [0.0, 0.5]
    assert trainers[1].gaze_sigma == 2.0


def test_weighted_streams_lean_to_the_one_that_knows(kitchen, taught, tmp_path):
    config, alone = taught
    both = (kitchen.maps, kitchen.noise)
    config = replace(config, store=both, fuse="weighted", out=tmp_path / "both")
    run = fit_head(config)
    knows, guesses = run.evaluation.alone.values()
    assert knows["verb/top1"] == alone.evaluation.metrics["verb/top1"]
    assert knows["gaze/auc"] == alone.evaluation.metrics["gaze/auc"]
    assert knows["verb/weight"] > 0.7
    assert knows["verb/weight"] + guesses["verb/weight"] == pytest.approx(1)
    assert "gaze/auc" in guesses
    assert "gaze/auc" not in run.evaluation.metrics
    fused = run.evaluation.metrics
    assert fused["verb/top1"] > knows["verb/top1"] - 0.05
    assert evaluate(run.path, device="cpu").to_dict() == run.evaluation.to_dict()
    assert fit_head(config).evaluation.metrics == fused


def test_flow_is_joined_to_maps_as_their_last_channel(kitchen, tmp_path):
    config = FitConfig(
        head="flow_attention",
        store=(kitchen.maps, kitchen.flow),
        options={"width": 16},
        trainer=QUICK,
        out=tmp_path / "flow",
    )
    run = fit_head(config)
    assert run.evaluation.metrics["gaze/auc"] > 0.9  # what moves is where the wearer looks
    for wrong in (
        {"store": kitchen.maps},
        {"store": (kitchen.flow, kitchen.maps)},
        {"fuse": "logits"},
    ):
        with pytest.raises(RequestError, match=r"flow_attention.*(`fuse` features|with another)"):
            fit_head(replace(config, **wrong, out=tmp_path / "none"))


def size_of(path):
    with av.open(str(path)) as video:
        stream = video.streams.video[0]
        return stream.width, stream.height, sum(1 for _ in video.decode(stream))


def look(run, out, **of):
    return attention_pictures.attention(AttentionConfig(run=run, out=out, device="cpu", **of))


@pytest.mark.drawn
def test_pictures_of_a_segment_and_of_a_video(kitchen, taught, tmp_path, monkeypatch):
    _, run = taught
    manifest = SimpleNamespace(dataset=lambda name: kitchen.dataset)
    monkeypatch.setattr(attention_pictures, "load_manifest", lambda path: manifest)
    titles = []

    def draw(*args, title, **rest):
        titles.append(title)
        return draw_mosaic(*args, title=title, **rest)

    monkeypatch.setattr(attention_pictures, "draw_mosaic", draw)
    monkeypatch.chdir(run.path)
    words = ["visualize", "attention", ".", "--segment", "s210", "--out", str(tmp_path)]
    said = CliRunner().invoke(app, [*words, "--device", "cpu"], catch_exceptions=False)
    of_run = f"{run.path.parent.name}-{run.path.name}"
    strip, video = (tmp_path / f"attention-{of_run}-s210.{kind}" for kind in ("png", "mp4"))
    assert said.stdout.split() == [str(strip), str(video)]
    assert titles == [f"stam of {run.path.parent.name}/{run.path.name} looks at s210"]
    assert strip.read_bytes().startswith(b"\x89PNG")
    assert size_of(video) == (512, 256, 3)


@pytest.mark.parametrize("fuse", ["features", "logits"])
def test_pictures_of_a_video_of_no_data_set(tmp_path, fuse):
    video = film(tmp_path / "a b.mp4", frames=12)
    segments = tuple(
        Segment(f"{split}{k}", "v", float(k), k + 2.0, split=split, labels={"verb": k % 2})
        for k in range(2)
        for split in ("train", "val")
    )
    dataset = Dataset("tiny", {"v": Media(video)}, segments, {"verb": ("a", "b")})
    wanted = ExtractConfig(
        weights="random", frames=3, size=64, taps=("block5",), device="cpu", out=tmp_path
    )
    stores = [Path(extract(wanted, dataset).store)]
    if fuse == "logits":
        other = replace(wanted, weights="random:1", frames=2, out=tmp_path / "other")
        stores.append(Path(extract(other, dataset).store))
    config = FitConfig(
        head="stam", store=stores, fuse=fuse, options=OPTIONS, trainer=QUICK, out=tmp_path / "run"
    )
    run = fit_head(config).path
    pictures = tmp_path / "pictures"
    drawn = look(run, pictures, video=video).pictures
    numbers = ["-1", "-2"] if fuse == "logits" else [""]
    assert [Path(path).name for path in drawn] == [
        f"attention-{tmp_path.name}-run-a_b{number}.{kind}"
        for number in numbers
        for kind in ("png", "mp4")
    ]
    assert size_of(drawn[1]) == (256, 256, 12)
    with pytest.raises(RequestError, match=r"none\.mp4 does not exist: "):
        look(run, pictures, video=tmp_path / "none.mp4")


def test_pictures_that_cannot_be_are_refused(kitchen, taught, tmp_path, monkeypatch):
    _, run = taught
    manifest = SimpleNamespace(dataset=lambda name: kitchen.dataset)
    monkeypatch.setattr(attention_pictures, "load_manifest", lambda path: manifest)
    with pytest.raises(RequestError, match="`video` FILE, or `segment` ID"):
        look(run.path, tmp_path)
    with pytest.raises(RequestError, match="no segment 's999'"):
        look(run.path, tmp_path, segment="s999")
    plain = fit_head(
        FitConfig(head="linear", store=kitchen.maps, trainer=QUICK, out=tmp_path / "linear")
    )
    with pytest.raises(RequestError, match=r"'linear' .* no attention over places"):
        look(plain.path, tmp_path, segment="s210")

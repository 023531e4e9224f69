"""Recognition by views: each view through the head alone, the mean of their softmaxes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from egofeat.cli import app
from egofeat.errors import RequestError, StoreError
from egofeat.heads import HEADS, TrainerConfig
from egofeat.pipelines.runs.run import load_run
from egofeat.pipelines.training.evaluate import evaluate
from egofeat.pipelines.training.fit import FitConfig, fit_head
from egofeat.recipe import Clips, KeyFrames, Recipe, Transform, Uniform
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import ShardRows, StoreWriter, open_store

QUICK = TrainerConfig(epochs=4, lr=0.02, device="cpu")
SPLITS = ["train"] * 40 + ["val"] * 20
CLASSES = {"verb": ("take", "put", "cut"), "noun": ("cup", "knife", "pan")}
TRANSFORM = Transform("short-side", 256, 256)
KEPT = ("metrics.json", "predictions.npz", "confusion-verb.png")


@pytest.fixture
def clip_store(tmp_path):
    """Write a store of clips × crops views whose features tell verb and noun, and vary by view."""

    def make(clips=1, crops=1, *, row=(6,), transform=(), plan=None, weights="random:0"):
        rng = np.random.default_rng(0)
        labels = {target: rng.integers(0, 3, len(SPLITS)) for target in CLASSES}
        ids = [f"segment_{number:02d}" for number in range(len(SPLITS))]
        segments = tuple(
            Segment(
                id=id_,
                video="video",
                start=float(number),
                stop=number + 1.0,
                split=SPLITS[number],
                labels={target: int(of[number]) for target, of in labels.items()},
            )
            for number, id_ in enumerate(ids)
        )
        media = {"video": Media(tmp_path / "video.mp4")}
        dataset = Dataset(name="toy", media=media, segments=segments, classes=CLASSES)
        recipe = Recipe(
            backbone="toy",
            weights=weights,
            transform=replace(TRANSFORM, crops=crops, **dict(transform)),
            plan=plan or Clips(clips, 32, 2, 30.0),
            taps={"tap": (clips * crops, *row)},
            dtype="float16",
        )
        views = np.random.default_rng(clips * crops)
        features = views.normal(0, 1.5, (len(ids), clips * crops, *row))
        by_channel = np.moveaxis(features, -1 if len(row) == 1 else 3, 1)
        for shift, of in enumerate(labels.values()):
            by_channel[np.arange(len(ids)), of + 3 * shift] += 2
        writer = StoreWriter.open(tmp_path / "stores", dataset, recipe, made_with={})
        rows = ShardRows(
            ids=ids,
            videos=["video"] * len(ids),
            starts=np.arange(len(ids), dtype=np.float64),
            stops=np.arange(len(ids)) + 1.0,
            clipped=np.zeros(len(ids), bool),
            times=np.zeros((len(ids), clips * crops)),
            taps={"tap": features.astype(np.float16)},
        )
        writer.write_shard("video", rows)
        writer.close()
        return writer.path

    return make


@pytest.fixture
def fitted(tmp_path):
    """Fit a head on a store or several, into a folder of its own."""

    def fit(store, head="linear", **changes):
        config = FitConfig(head=head, store=store, out=tmp_path / f"run-{head}", trainer=QUICK)
        return fit_head(replace(config, **changes)).path

    return fit


def logits_of(path):
    with np.load(path) as predictions:
        return {name: predictions[name] for name in predictions.files}


def plainly(run, store, one_view):
    """Target to the mean softmax of validation segments, a segment and a view at a time."""
    head = load_run(run).head
    opened = open_store(store)
    means = {}
    with torch.no_grad():
        for target in head.targets:
            means[target] = np.stack(
                [
                    np.mean(
                        [
                            head(torch.from_numpy(view.astype(np.float32))[one_view])[target]
                            .softmax(1)[0]
                            .numpy()
                            for view in opened[opened.ids[row]]
                        ],
                        axis=0,
                    )
                    for row in opened.rows("val")
                ]
            )
    return means


def test_softmaxes_are_averaged_and_not_logits(clip_store, fitted):
    run, many = fitted(clip_store()), clip_store(10, 3)
    evaluation = evaluate(run, store=many, views=(10, 3), device="cpu")
    said = logits_of(run / "predictions-10x3.npz")
    wanted = plainly(run, many, (None, None))
    for target, mean in wanted.items():
        np.testing.assert_allclose(np.exp(said[f"logits_{target}"]), mean, atol=2e-6)
        truth = said[f"labels_{target}"]
        top1 = (mean.argmax(1) == truth).mean()
        assert evaluation.metrics[f"{target}/top1"] == pytest.approx(top1)
    joint = wanted["verb"][:, :, None] * wanted["noun"][:, None]
    pairs = joint.reshape(len(joint), -1).argmax(1)
    hits = pairs == said["labels_verb"] * 3 + said["labels_noun"]
    assert evaluation.metrics["action/top1"] == pytest.approx(hits.mean())
    # A linear head of the mean of the views is the mean of the logits: another thing.
    together = fitted(many, trainer=replace(QUICK, epochs=1), out=run.parent / "together")
    plain, by_views = evaluate(together, device="cpu"), evaluate(together, views=(10, 3))
    assert plain.views is None
    assert by_views.segments == plain.segments == 20
    averaged = torch.from_numpy(logits_of(together / "predictions.npz")["logits_verb"]).softmax(1)
    by_views_mean = np.exp(logits_of(together / "predictions-10x3.npz")["logits_verb"])
    assert np.abs(averaged.numpy() - by_views_mean).max() > 0.01


def test_one_view_is_the_plain_evaluation_to_the_bit(clip_store, fitted):
    run = fitted(clip_store(), head="lstm")
    plain = evaluate(run, device="cpu")
    alone = evaluate(run, views=(1, 1), device="cpu")
    assert alone.metrics == plain.metrics
    one, other = logits_of(run / "predictions.npz"), logits_of(run / "predictions-1x1.npz")
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert alone.lines()[0] == "20 segments of val, 1 view a segment (1x1)"


def test_files_say_the_views_beside_the_plain_ones(clip_store, fitted):
    run = fitted(clip_store())
    before = {name: (run / name).read_bytes() for name in KEPT}
    many = clip_store(4, 3)
    evaluation = evaluate(run, store=many, views=(4, 3), device="cpu")
    evaluate(run, "train", store=many, views=(4, 3), device="cpu")
    assert {name: (run / name).read_bytes() for name in KEPT} == before
    names = {path.name for path in run.iterdir()}
    assert {"metrics-4x3.json", "predictions-4x3.npz", "confusion-verb-4x3.png"} <= names
    assert {"metrics-train-4x3.json", "confusion-noun-train-4x3.png"} <= names
    assert evaluation.lines()[0] == "20 segments of val, 12 views a segment (4x3)"
    said = json.loads((run / "metrics-4x3.json").read_text())
    assert said == evaluation.to_dict()
    assert said["views"] == "4x3"
    assert "views" not in json.loads(before["metrics.json"])


@pytest.mark.parametrize("head", ["convlstm", "conv1d", "stam", "attention_pool"])
def test_the_steps_of_a_clips_map_stay_together(clip_store, fitted, head):
    row = (4, 6, 2, 2)
    run, many = fitted(clip_store(row=row), head), clip_store(3, 3, row=row)
    evaluate(run, store=many, views=(3, 3), device="cpu")
    said = logits_of(run / "predictions-3x3.npz")
    for target, mean in plainly(run, many, (None,)).items():
        np.testing.assert_allclose(np.exp(said[f"logits_{target}"]), mean, atol=2e-6)


def test_frames_of_an_image_network_are_views(clip_store, fitted):
    store = clip_store(8, plan=Uniform(8))
    run = fitted(store, head="conv1d")
    evaluate(run, views=(8, 1), device="cpu")
    said = logits_of(run / "predictions-8x1.npz")
    for target, mean in plainly(run, store, (None, None)).items():
        np.testing.assert_allclose(np.exp(said[f"logits_{target}"]), mean, atol=2e-6)
    with pytest.raises(RequestError, match="has 8x1 views a segment and `views` asks for 20x1"):
        evaluate(run, views=(20, 1))


def test_other_views_than_the_stores_are_refused(clip_store, fitted):
    run, many = fitted(clip_store()), clip_store(10, 3)
    with pytest.raises(RequestError, match=r"1x1 views a segment.* asks for 10x3.*`store`"):
        evaluate(run, views=(10, 3))
    with pytest.raises(RequestError, match="has 10x3 views a segment and `views` asks for 3x10"):
        evaluate(run, store=many, views=(3, 10))
    with pytest.raises(RequestError, match="holds other features than run"):
        evaluate(run, store=many)
    with pytest.raises(RequestError, match="trained on 1 stores and 2 are named"):
        evaluate(run, store=[many, many], views=(10, 3))
    assert not list(run.glob("*x*.json"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": "random:1"}, r"weights random:1, not random:0"),
        ({"transform": {"resize": "squash"}}, r"transform.resize squash, not short-side"),
        (
            {"transform": {"size": 288, "pool_grid": 4}},
            r"pool_grid 4, not absent; .*size 288, not 256",
        ),
        ({"row": (7,)}, r"taps\.tap \(1, 7\), not \(1, 6\)"),
        (
            {"plan": Uniform(10)},
            r"plan.sampling uniform, not clips",
        ),
    ],
)
def test_a_store_of_another_recipe_is_refused(clip_store, fitted, changes, said):
    run = fitted(clip_store())
    with pytest.raises(StoreError, match=rf"in more than their views \(.*{said}"):
        evaluate(run, store=clip_store(10, 3, **changes), views=(10, 3))


def test_a_store_without_a_number_of_views_is_refused(clip_store, fitted):
    run = fitted(clip_store(plan=KeyFrames(32, 2, 30.0)))
    with pytest.raises(RequestError, match=r"holds key-frames: leave `views` out"):
        evaluate(run, views=(1, 1))


@pytest.mark.parametrize(("head", "preset"), [("conv1d", "seed"), ("transformer", None)])
def test_a_head_of_one_number_of_steps_is_refused(clip_store, fitted, head, preset):
    run = fitted(clip_store(20), head, preset=preset)
    with pytest.raises(
        RequestError, match=rf"'{head}' of run .* 20 steps.* a view has 1: .*linear"
    ):
        evaluate(run, views=(20, 1), device="cpu")


def test_twenty_steps_of_a_clip_suit_the_seeds_head(clip_store, fitted):
    row = (20, 6, 2, 2)
    run, many = fitted(clip_store(row=row), "conv1d", preset="seed"), clip_store(2, 3, row=row)
    evaluate(run, store=many, views=(2, 3), device="cpu")
    said = logits_of(run / "predictions-2x3.npz")
    for target, mean in plainly(run, many, (None,)).items():
        np.testing.assert_allclose(np.exp(said[f"logits_{target}"]), mean, atol=2e-6)


def two_stores(clip_store, clips, crops):
    """Maps of unequal steps and channels, of two backbones."""
    return [
        clip_store(clips, crops, row=(4, 6, 2, 2)),
        clip_store(clips, crops, row=(2, 7, 2, 2), weights="random:1"),
    ]


@pytest.mark.parametrize("fuse", ["logits", "weighted"])
def test_a_head_a_store_averages_its_own_views(clip_store, fitted, fuse):
    run = fitted(two_stores(clip_store, 1, 1), fuse=fuse)
    plain = evaluate(run, views=(1, 1), device="cpu")
    assert plain.alone == evaluate(run, device="cpu").alone
    many = two_stores(clip_store, 2, 3)
    evaluation = evaluate(run, store=many, views=(2, 3), device="cpu")
    said = torch.from_numpy(logits_of(run / "predictions-2x3.npz")["logits_verb"])
    head = load_run(run).head
    parts = []
    for member, path in zip(head.members, many, strict=True):
        store = open_store(path)
        rows = torch.from_numpy(store.take(store.rows("val")).astype(np.float32))
        with torch.no_grad():
            each = [member(rows[:, view : view + 1])["verb"].softmax(1) for view in range(6)]
        parts.append({"verb": torch.stack(each).mean(0).log()})
    weight = head.weights()["verb"] if fuse == "weighted" else torch.full((2,), 0.5)
    wanted = sum(w * part["verb"] for w, part in zip(weight, parts, strict=True))
    torch.testing.assert_close(said, wanted.detach(), atol=1e-5, rtol=1e-5)
    assert len(evaluation.alone) == 2
    with pytest.raises(RequestError, match="has 1x1 views"):
        evaluate(run, store=[many[0], two_stores(clip_store, 1, 1)[1]], views=(2, 3))


def test_stores_side_by_side_keep_views_beside_each_other(clip_store, fitted):
    run, many = fitted(two_stores(clip_store, 1, 1), "conv1d"), two_stores(clip_store, 3, 1)
    evaluate(run, store=many, views=(3, 1), device="cpu")
    said = logits_of(run / "predictions-3x1.npz")["logits_verb"]
    head = load_run(run).head
    one, two = (store.take(store.rows("val")) for store in map(open_store, many))
    both = np.concatenate([one, two.repeat(2, axis=2)], axis=3).astype(np.float32)
    with torch.no_grad():
        each = [head(torch.from_numpy(both[:, view]))["verb"].softmax(1) for view in range(3)]
    np.testing.assert_allclose(np.exp(said), torch.stack(each).mean(0), atol=2e-6)


def test_segments_go_through_the_head_in_batches(clip_store, fitted, monkeypatch):
    run, many = fitted(clip_store()), clip_store(10, 3)
    evaluate(run, store=many, views=(10, 3), device="cpu")
    at_once = logits_of(run / "predictions-10x3.npz")["logits_verb"]
    seen = []
    embed = HEADS["linear"].embed

    def counted(head, features):
        seen.append(len(features))
        return embed(head, features)

    monkeypatch.setattr(HEADS["linear"], "embed", counted)
    monkeypatch.setattr("egofeat.heads.training.passes.EVALUATION_BYTES", 3 * 30 * 6 * 4)
    evaluate(run, store=many, views=(10, 3), device="cpu")
    assert max(seen) <= 4 * 30
    assert sum(seen) == 20 * 30
    in_parts = logits_of(run / "predictions-10x3.npz")["logits_verb"]
    np.testing.assert_allclose(in_parts, at_once, atol=1e-6)


def test_views_on_the_command_line(clip_store, fitted):
    run, many = fitted(clip_store()), clip_store(10, 3)

    def said(*words):
        return CliRunner().invoke(app, ["evaluate", str(run), "--device", "cpu", *words])

    people = said("--views", "10x3", "--store", str(many))
    assert people.exit_code == 0, people.output
    assert people.output.startswith("20 segments of val, 30 views a segment (10x3)\n")
    machine = said("--views", "10x3", "--store", str(many), "--json")
    assert json.loads(machine.stdout)["views"] == "10x3"
    refused = said("--views", "ten")
    assert isinstance(refused.exception, RequestError)
    assert "`views` ten is not a number of views: give clips x crops, such as 10x3" in str(
        refused.exception
    )

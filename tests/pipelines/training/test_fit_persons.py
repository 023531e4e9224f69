"""From a store of persons to a run: which rows train, what is kept, what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from egofeat.boxes import Boxes, boxes_digest
from egofeat.errors import RequestError, WeightsError
from egofeat.heads import TrainerConfig
from egofeat.heads.training.recipes import trainer_config
from egofeat.pipelines.exporting.export import ExportConfig, export
from egofeat.pipelines.exporting.formats import FORMATS
from egofeat.pipelines.runs.rows import open_run_rows, open_run_store
from egofeat.pipelines.runs.run import load_run
from egofeat.pipelines.runs.targets import labelled_rows
from egofeat.pipelines.training.evaluate import evaluate
from egofeat.pipelines.training.fit import FitConfig, fit_head
from egofeat.pipelines.training.predict import predict
from egofeat.pipelines.visualize.attention import attention
from egofeat.pipelines.visualize.options import AttentionConfig
from egofeat.recipe import KeyFrames, Recipe, RoiAlign, Transform
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import PersonRows, ShardRows, StoreWriter, open_persons

CLASSES = ("stand", "sit", "talk to", "listen to")
QUICK = TrainerConfig(epochs=25, lr=0.05, device="cpu", patience=0, monitor="mAP", l2=0)


def moved(boxes: Boxes) -> Boxes:
    """What a detector would say: nearly the same boxes, which nobody has annotated."""
    return Boxes(boxes.corners * np.float32(0.99), np.full(len(boxes), 0.9, np.float32))


@pytest.fixture
def persons(tmp_path):
    """Write 90 training and 45 validation key frames of 1 to 3 persons.

    Who stands or sits shows it in its own map, at one place; whether somebody talks is seen of
    the others alone, who listen. `boxes` are those of the store, of the annotated ones.
    """

    def make(*, boxes=lambda annotated: annotated, out="persons", taps=("roi_map",), fps=30.0):
        rng = np.random.default_rng(0)
        segments, truth, maps = [], {}, []
        for number in range(135):
            count = int(rng.integers(1, 4))
            left = np.sort(rng.random(count)) * 0.6 + 0.01 * np.arange(count)
            talks = count > 1 and rng.random() < 0.5
            actions = []
            for person in range(count):
                own = int(rng.random() < 0.5)
                actions.append([own, *([2] if talks and person == 0 else [])])
                map_ = rng.normal(0, 0.3, (6, 3, 3))
                map_[own, rng.integers(3), rng.integers(3)] += 3
                map_[5] += 3 * (talks and person > 0)
                maps.append(map_)
            corners = np.stack([left, left * 0 + 0.1, left + 0.3, left * 0 + 0.8], 1)
            video, stamp = f"video_{number % 2}", f"{900 + number:04d}"
            id_ = f"{video}_{stamp}"
            split = "train" if number < 90 else "val"
            moment = float(number)
            segments.append(Segment(id_, video, moment, moment + 1, split, group=video))
            truth[id_] = Boxes.of(corners.tolist(), actions=actions)
        stored = {id_: boxes(of) for id_, of in truth.items()}
        dataset = Dataset(
            name="toy-ava",
            media={f"video_{k}": Media(tmp_path / f"video_{k}.mp4") for k in range(2)},
            segments=tuple(segments),
            classes={"action": CLASSES},
            key_frames=True,
            boxes=truth,
            evaluated=frozenset({0, 1, 2}),
        )
        features = np.stack(maps)
        by_tap = {"roi_map": features, "roi": features.max((2, 3))}
        recipe = Recipe(
            backbone="toy",
            weights="random:0",
            transform=Transform("squash", 48, 48),
            roi=RoiAlign(("map",), (16,), grid=3),
            plan=KeyFrames(4, 2, fps, boxes=boxes_digest(stored)),
            taps={tap: by_tap[tap].shape[1:] for tap in taps},
            dtype="float16",
        )
        offsets = np.cumsum([0, *map(len, truth.values())])
        writer = StoreWriter.open(tmp_path / out, dataset, recipe, made_with={"egofeat": "0"})
        for video in range(2):
            frames = np.arange(video, 135, 2)
            rows = np.concatenate([np.arange(*offsets[f : f + 2]) for f in frames])
            each = np.repeat(frames, np.diff(offsets)[frames]).astype(float)
            mine = [segments[frame] for frame in frames]
            writer.write_shard(
                f"video_{video}",
                ShardRows(
                    ids=[segment.id for segment in mine],
                    videos=[segment.video for segment in mine],
                    starts=np.array([segment.start for segment in mine]),
                    stops=np.array([segment.stop for segment in mine]),
                    clipped=np.zeros(len(mine), bool),
                    times=np.stack([each - 1, each, each + 1], 1),
                    taps={tap: by_tap[tap][rows].astype(np.float16) for tap in taps},
                    offsets=np.cumsum([0, *np.diff(offsets)[frames]]),
                    boxes=np.concatenate([stored[segment.id].corners for segment in mine]),
                    scores=np.concatenate([stored[segment.id].scores for segment in mine]),
                ),
            )
        writer.close()
        return writer.path

    return make


@pytest.fixture
def config(persons, tmp_path):
    return FitConfig(head="roi", store=persons(), out=tmp_path / "run", trainer=QUICK)


def with_others(config, tmp_path):
    return replace(config, options={"others": 2, "hidden": 16}, out=tmp_path / "others")


def test_a_run_on_persons_holds_everything_to_do_it_again(config, tmp_path):
    seen = []
    run = fit_head(with_others(config, tmp_path), on_epoch=seen.append)
    names = {path.name for path in run.path.iterdir()}
    assert {"config.yaml", "head.safetensors", "history.csv", "metrics.json"} <= names
    assert "instances-action.png" in names
    assert not (run.path / "checkpoint.safetensors").exists()
    assert run.evaluation.metrics["action/mAP"] > 0.95
    assert run.evaluation.segments == 45, "key frames"
    assert seen[-1]["val/action/mAP"] > 0.95
    saved = yaml.safe_load((run.path / "config.yaml").read_text())
    assert saved["options"] == {"pool": "max", "others": 2, "hidden": 16, "dropout": 0.5}
    (source,) = saved["sources"]
    assert source["shape"] == [3, 6, 3, 3]
    assert source["tap"] == "roi_map"
    assert source["recipe"]["plan"]["boxes"].startswith("sha256:")
    assert saved["classes"] == {"action": list(CLASSES)}
    assert saved["trainer"]["monitor"] == "mAP"
    assert saved["init"] is None
    head = load_run(run.path).head
    assert head.persons == 3


def test_others_are_what_tells_who_talks(config, tmp_path):
    def of_talking(run):
        return run.evaluation.classes["talk to"].average_precision

    assert of_talking(fit_head(config)) < 0.8
    assert of_talking(fit_head(with_others(config, tmp_path))) > 0.95


def test_annotated_persons_train_whatever_they_do(config):
    rows = open_persons(config.store)
    idle = rows.rows("train")[3]
    rows.labels["action"][idle] = False
    every = labelled_rows(rows, "train", ("action",))
    assert every.tolist() == rows.rows("train").tolist()
    assert idle in every


def test_a_run_that_was_cut_goes_on_to_the_same_end(config, tmp_path):
    def cut(record):
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    quick = replace(with_others(config, tmp_path), trainer=replace(QUICK, epochs=4))
    whole = fit_head(replace(quick, out=tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        fit_head(quick, on_epoch=cut)
    epochs = []
    run = fit_head(quick, on_epoch=epochs.append)
    assert len(epochs) == 2
    for name in ("head.safetensors", "history.csv"):
        assert (run.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert run.config.result.training[0].best_epoch == whole.config.result.training[0].best_epoch
    again = fit_head(quick, on_epoch=epochs.append)
    assert len(epochs) == 2, "a finished run is evaluated"
    assert again.evaluation.metrics == run.evaluation.metrics


@pytest.mark.parametrize("head", ["linear", "attention_pool", "stam"])
def test_any_head_may_read_persons(config, tmp_path, head):
    quick = replace(QUICK, epochs=2)
    run = fit_head(replace(config, head=head, out=tmp_path / head, trainer=quick))
    assert 0 < run.evaluation.metrics["action/mAP"] <= 1


@pytest.mark.parametrize("others", [0, 2])
def test_held_or_not_the_bits_are_the_same(config, tmp_path, others):
    kept = []
    for choice in ("on", "off"):
        trainer = TrainerConfig(epochs=3, batch_size=8, device="cpu", device_cache=choice)
        options = {"others": others, "pool": "attention"}
        out = tmp_path / choice / "run"
        run = fit_head(replace(config, trainer=trainer, out=out, options=options))
        names = ("head.safetensors", "history.csv", "predictions.npz", "metrics.json")
        kept.append([(run.path / name).read_bytes() for name in names])
    assert kept[0] == kept[1]


def test_vectors_do_as_maps_do(config, persons, tmp_path):
    both = persons(taps=("roi", "roi_map"), out="both")
    runs = [
        fit_head(replace(config, store=both, tap=tap, out=tmp_path / tap))
        for tap in ("roi", "roi_map")
    ]
    figures = [run.evaluation.metrics["action/mAP"] for run in runs]
    assert figures[0] == figures[1], "the maximum over space, before or after"
    with pytest.raises(RequestError, match="several taps"):
        fit_head(replace(config, store=both))
    with pytest.raises(RequestError, match=r"pool attention .* needs maps"):
        fit_head(replace(config, store=both, tap="roi", options={"pool": "attention"}))


def test_figures_of_standardisation_are_of_persons_and_not_of_nobody(config, tmp_path):
    alone = fit_head(replace(config, normalize=True))
    beside = fit_head(replace(with_others(config, tmp_path), normalize=True))
    means = [load_run(run.path).head.standardise.mean for run in (alone, beside)]
    assert torch.equal(*means)
    assert beside.evaluation.metrics["action/mAP"] > 0.95


def test_the_ava_preset_scales_its_rate(config):
    trainer = trainer_config("ava", iterations=200, batch_size=16, eval_every=50, device="cpu")
    run = fit_head(replace(config, preset="ava", trainer=trainer))
    assert run.config.trainer.lr == pytest.approx(0.1 * 16 / 64)
    assert run.config.trainer.batch_size == 16
    metrics = json.loads((run.path / "metrics.json").read_text())
    assert metrics["classes"]["sit"]["average_precision"] > 0.95


def test_detected_boxes_are_for_evaluation(config, persons):
    fit_head(replace(config, trainer=replace(QUICK, epochs=1)))
    detected = persons(boxes=moved, out="detected")
    with pytest.raises(RequestError, match=r"no annotated persons.*egofeat roi --boxes annotated"):
        fit_head(replace(config, store=detected))
    run = load_run(config.out)
    opened = open_run_rows(run, detected)
    assert isinstance(opened, PersonRows)
    assert not opened.annotated.any()
    assert opened.row_shape == run.config.sources[0].shape
    assert evaluate(config.out, store=detected, device="cpu").boxes == "detected"
    with pytest.raises(RequestError, match="holds other features than run"):
        open_run_rows(run, persons(boxes=moved, out="slower", fps=15.0))
    with pytest.raises(RequestError, match="reads persons of key frames"):
        open_run_store(run)


def test_a_run_is_judged_on_its_own_tap_whatever_stands_beside_it(config, persons):
    fit_head(replace(config, trainer=replace(QUICK, epochs=1)))
    both = persons(boxes=moved, out="both", taps=("roi", "roi_map"))
    alone = persons(boxes=moved, out="alone")
    figures = [evaluate(config.out, store=store, device="cpu").metrics for store in (alone, both)]
    assert figures[0] == figures[1]


def test_what_is_for_whole_videos_refuses_a_run_on_persons(config, tmp_path):
    run = fit_head(replace(config, head="stam", trainer=replace(QUICK, epochs=1))).path
    video = tmp_path / "video_0.mp4"
    refused = r"run .* reads persons of key frames.* use egofeat evaluate or annotate"
    with pytest.raises(RequestError, match=refused):
        predict(run, [video], device="cpu")
    for of in ({"video": video}, {"segment": "video_0_0900"}):
        with pytest.raises(RequestError, match=refused):
            attention(AttentionConfig(run=run, out=tmp_path, device="cpu", **of))


@pytest.mark.parametrize("form", FORMATS)
def test_persons_are_not_exported_without_their_boxes(config, tmp_path, form):
    with pytest.raises(RequestError, match=r"persons of key frames.*egofeat\.store\.open_persons"):
        export(ExportConfig(store=config.store, to=form, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_trained_is_one_sentence(config, persons, verb_noun_store, tmp_path):
    def sentence(kind=RequestError, **changes):
        with pytest.raises(kind) as caught:
            fit_head(replace(config, **changes))
        assert not (tmp_path / "run").exists()
        return str(caught.value)

    segments = verb_noun_store()
    refused = sentence(store=segments, preset="ava", trainer=trainer_config("ava"))
    assert "reads persons of key frames" in refused
    assert "egofeat roi" in refused
    other = persons(out="other", fps=15.0)
    assert "these are not joined: name one store" in sentence(store=(config.store, other))
    missing = sentence(val_split="test")
    assert "split 'test'" in missing
    assert "train, val" in missing
    assert "`val_from_train` divides segments" in sentence(val_from_train=0.2, val_split="dev")
    assert "has several classes a row" in sentence(trainer=replace(QUICK, sampling="balanced"))
    assert "has several classes a row" in sentence(trainer=replace(QUICK, logit_adjustment=1.0))
    assert "`monitor` top1 is not a metric" in sentence(trainer=replace(QUICK, monitor="top1"))
    assert "no option 'filters'" in sentence(options={"filters": 3})
    with pytest.raises(RequestError, match=r"`epochs` 0 trains nothing.*`init`"):
        replace(config, trainer=replace(QUICK, epochs=0))


def published(tmp_path, classes=4, channels=6, name="published.pyth"):
    generator = torch.Generator().manual_seed(2)
    state = {
        "head.projection.weight": torch.randn(classes, channels, generator=generator),
        "head.projection.bias": torch.randn(classes, generator=generator),
    }
    torch.save({"model_state": state, "epoch": 3}, tmp_path / name)
    return tmp_path / name, state


def test_a_published_classifier_is_kept_or_trained_on(config, tmp_path):
    path, state = published(tmp_path)
    epochs = []
    kept = fit_head(
        replace(config, init=path, trainer=replace(QUICK, epochs=0)), on_epoch=epochs.append
    )
    assert not epochs
    assert not (kept.path / "history.csv").exists()
    loaded = load_run(kept.path)
    head, saved = loaded.head, loaded.config
    assert torch.equal(head.classifiers[0].weight, state["head.projection.weight"])
    assert torch.equal(head.classifiers[0].bias, state["head.projection.bias"])
    assert saved.init.file == str(path)
    assert len(saved.init.sha256) == 64
    assert (kept.path / "metrics.json").exists()

    moved_there = path.rename(tmp_path / "elsewhere.pyth")
    again = replace(config, init=moved_there, trainer=replace(QUICK, epochs=0))
    assert fit_head(again).path == kept.path, "the same weights, wherever they lie"
    trained = fit_head(replace(config, init=moved_there, out=tmp_path / "trained"))
    assert trained.evaluation.metrics["action/mAP"] > kept.evaluation.metrics["action/mAP"]
    other, _ = published(tmp_path, name="other.pyth", channels=5)
    with pytest.raises(RequestError, match="holds another run"):
        fit_head(replace(again, init=other))


@pytest.mark.parametrize(
    ("changed", "shape", "says"),
    [
        ({}, (80, 6), r"is \[80, 6\], classes by features, and this head's is \[4, 6\]"),
        ({}, (4, 2304), r"is \[4, 2304\].*this head's is \[4, 6\]"),
        ({"options": {"others": 1}}, (4, 6), r"this head's is \[4, 262\].*others 0"),
    ],
)
def test_a_classifier_of_another_shape_is_refused(config, tmp_path, changed, shape, says):
    path, _ = published(tmp_path, *shape)
    with pytest.raises(RequestError, match=says):
        fit_head(replace(config, init=path, **changed))
    assert not config.out.exists()


def test_init_with_what_it_cannot_have_is_refused(config, tmp_path, verb_noun_store):
    path, _ = published(tmp_path)
    with pytest.raises(WeightsError, match="there is no weights file"):
        fit_head(replace(config, init=tmp_path / "absent.pyth"))
    with pytest.raises(RequestError, match="reads features as they are"):
        replace(config, init=path, normalize=True)
    segments = replace(config, head="linear", store=verb_noun_store(), trainer=TrainerConfig())
    with pytest.raises(RequestError, match="holds one classifier and this run has 2"):
        fit_head(replace(segments, init=path))

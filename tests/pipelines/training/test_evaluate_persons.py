"""Heads of persons judged by frame mAP: files, figures, boxes of others, AVA's result CSV."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from egofeat.boxes import Boxes, boxes_digest, key_frame_id, stamp_of
from egofeat.errors import RequestError
from egofeat.heads import TrainerConfig
from egofeat.heads.measures.frame_map import Placed, average_precisions, mean_precision, overlaps
from egofeat.heads.roi import RoiHead
from egofeat.pipelines.runs.config import RunConfig, Source, Splits
from egofeat.pipelines.runs.run import Run
from egofeat.pipelines.runs.trained_on import labels_digest
from egofeat.pipelines.training.evaluate import evaluate, evaluate_run
from egofeat.pipelines.training.fit import FitConfig, fit_head
from egofeat.recipe import KeyFrames, Recipe, RoiAlign, Transform
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import ShardRows, StoreWriter, open_persons

NAMES = ("stand", "walk", "(3)", "sit", "swim")
EVALUATED = frozenset({0, 1, 3, 4})
SURE = 6.0


def key_frames(count, video, seed):
    """Id of each key frame to two persons, left and right, each with one or two actions."""
    rng = np.random.default_rng(seed)
    made = {}
    for number in range(count):
        sides = rng.integers(150, 240, (2, 2))
        low = np.array([[40, 100], [540, 300]]) + rng.integers(0, 100, (2, 2))
        corners = np.concatenate([low, low + sides], axis=1) / 1000
        actions = [rng.choice(4, rng.integers(1, 3), replace=False).tolist() for _ in range(2)]
        made[key_frame_id(video, f"{902 + number:04d}")] = Boxes.of(corners, actions=actions)
    return made


def logits_of(boxes):
    """Logits [n, classes] that say what annotated boxes have."""
    logits = np.full((len(boxes), len(NAMES)), -SURE)
    for row, actions in enumerate(boxes.actions):
        logits[row, list(actions)] = SURE
    return logits


@pytest.fixture
def write(tmp_path):
    """Write a store of persons: `(truth, boxes, logits, out, …) -> path`; features are logits."""

    def make(truth, boxes, logits, out="features", *, unseen=(), seed=0, weights="random:0"):
        ids = [*truth, *unseen]
        splits = {id_: "train" if id_.startswith("made_a") else "val" for id_ in ids}
        segments = tuple(
            Segment(
                id_, id_.rpartition("_")[0], float(stamp_of(id_)), float(stamp_of(id_)) + 1,
                splits[id_], group=id_.rpartition("_")[0],
            )
            for id_ in ids
        )  # fmt: skip
        videos = dict.fromkeys(segment.video for segment in segments)
        dataset = Dataset(
            "toy", {video: Media(tmp_path / video) for video in videos}, segments,
            {"action": NAMES}, key_frames=True, boxes=truth, evaluated=EVALUATED,
        )  # fmt: skip
        recipe = Recipe(
            backbone="toy", weights=weights, transform=Transform("whole", 48, 48),
            roi=RoiAlign(("slow_map",), (16,)),
            plan=KeyFrames(32, 2, 30.0, boxes=boxes_digest(boxes)), taps={"roi": (len(NAMES),)},
            dtype="float32",
        )  # fmt: skip
        writer = StoreWriter.open(tmp_path / out, dataset, recipe, made_with={"egofeat": "0"})
        for video in videos:
            there = {id_: of for id_, of in boxes.items() if id_.rpartition("_")[0] == video}
            if not there:
                continue
            moments = np.array([float(stamp_of(id_)) for id_ in there])
            offsets = np.cumsum([0, *map(len, there.values())])
            each = np.repeat(moments, np.diff(offsets))
            writer.write_shard(
                video,
                ShardRows(
                    ids=list(there),
                    videos=[video] * len(there),
                    starts=moments,
                    stops=moments + 1,
                    clipped=np.zeros(len(there), bool),
                    times=np.stack([each - 1, each, each + 1], axis=1),
                    taps={"roi": np.concatenate([logits[id_] for id_ in there]).astype("float32")},
                    offsets=offsets,
                    boxes=np.concatenate([one.corners for one in there.values()]),
                    scores=np.concatenate([one.scores for one in there.values()]),
                ),
            )
        writer.close()
        return writer.path

    return make


@pytest.fixture
def truth():
    return key_frames(12, "made_a", 0) | key_frames(10, "made_b", 1)


@pytest.fixture
def known(truth):
    return {id_: logits_of(boxes) for id_, boxes in truth.items()}


@pytest.fixture
def judge(tmp_path):
    """Evaluate a store by a head whose logits are the features."""

    def evaluated(store, split="val", own=None):
        rows = open_persons(store)
        head = RoiHead((1, len(NAMES)), {"action": len(NAMES)}).eval()
        with torch.no_grad():
            head.classifiers[0].weight.copy_(torch.eye(len(NAMES)))
            head.classifiers[0].bias.zero_()
        config = RunConfig(
            dataset=rows.dataset,
            head="roi",
            options={},
            classes={"action": NAMES},
            splits=Splits(),
            trainer=TrainerConfig(),
            sources=Source.of(open_persons(own or store)),
            labels_digest=labels_digest(rows, ("action",)),
        )
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        return evaluate_run(Run(path=folder, config=config, head=head), rows, split)

    return evaluated


def noisy(truth, seed=0):
    """Detected boxes near the annotated ones and beside them, and logits that often err."""
    rng = np.random.default_rng(seed)
    boxes, logits = {}, {}
    for id_, persons in truth.items():
        near = persons.corners + rng.integers(-15, 16, persons.corners.shape) / 1000
        beside = [[0.3, 0.05, 0.35, 0.2]]
        corners = np.round(np.concatenate([near, near[:1], beside]).clip(0, 1), 3)
        boxes[id_] = Boxes.of(corners, np.round(rng.random(len(corners)), 3))
        said = logits_of(persons)[[0, 1, 0, 0]] / 3
        logits[id_] = said + rng.normal(0, 2, said.shape) - 1
    return boxes, logits


def read_back(evaluation, truth):
    """The frame mAP of the result CSV, read as the public evaluation reads it."""
    frames = {tuple(id_.rsplit("_", 1)): n for n, id_ in enumerate(truth)}
    with evaluation.detections.open(newline="") as file:
        rows = [(frames[row[0], row[1]], *map(float, row[2:])) for row in csv.reader(file)]
    precisions = {}
    for class_ in sorted(EVALUATED):
        found = np.array([row for row in rows if row[5] == class_ + 1]).reshape(-1, 7)
        stood = [
            (frames[tuple(id_.rsplit("_", 1))], np.round(box.astype(float), 3))
            for id_, persons in truth.items()
            for box, actions in zip(persons.corners, persons.actions, strict=True)
            if class_ in actions
        ]
        corners = np.array([box for _, box in stood]).reshape(-1, 4)
        of_class = average_precisions(
            Placed(np.array([frame for frame, _ in stood], np.int64), corners),
            np.ones((len(stood), 1), bool),
            Placed(found[:, 0].astype(np.int64), found[:, 1:5]),
            found[:, 6:],
            [0],
        )
        if stood:
            precisions[class_] = of_class[0]
    return mean_precision(precisions)


def test_perfect_detections_are_perfect(write, judge, truth, known):
    evaluation = judge(write(truth, truth, known))
    assert evaluation.metrics == {"action/mAP": pytest.approx(1), "action/box_recall": 1}
    assert (evaluation.segments, evaluation.persons, evaluation.annotated) == (10, 20, 20)
    assert evaluation.boxes == "annotated"
    assert set(evaluation.classes) == {"stand", "walk", "sit"}
    (warning,) = evaluation.warnings
    assert warning == "is evaluated on 3 of 4 evaluated classes: nobody is annotated with swim"
    first, *_, last = evaluation.lines()
    assert first == "10 key frames of val with 20 annotated persons: 20 annotated boxes, 3 classes"
    assert "action  mAP 100.0 %  box recall 100.0 %" in evaluation.lines()
    assert last.endswith("detections.csv")


@pytest.mark.drawn
def test_what_is_written_says_the_same(write, judge, truth, known):
    evaluation = judge(write(truth, truth, known))
    folder = evaluation.run
    written = json.loads((folder / "metrics.json").read_text())
    assert written == json.loads(json.dumps(evaluation.to_dict()))
    val = [persons for id_, persons in truth.items() if id_.startswith("made_b")]
    sitting = sum(3 in actions for persons in val for actions in persons.actions)
    assert written["classes"]["sit"] == {
        "average_precision": pytest.approx(1),
        "annotated": sitting,
    }
    with np.load(folder / "predictions.npz") as saved:
        assert saved["probabilities"].shape == (20, len(NAMES))
        assert saved["ids"][0] == "made_b_0902"
        np.testing.assert_array_equal(saved["boxes"][:2], val[0].corners)
        sure = 1 / (1 + np.exp(-SURE))
        assert saved["probabilities"].max() == pytest.approx(sure)
        assert (saved["scores"] == 1).all()
    assert (folder / "precision-action.png").stat().st_size > 5000


def test_persons_in_the_wrong_key_frame_are_never_right(write, judge, truth, known):
    first, *others = truth
    shift = dict(zip(truth, [*others, first], strict=True))
    apart = {  # each frame's persons where those of no other are
        id_: Boxes.of([[k / 25, 0, (k + 1) / 25, 1]], actions=[(k % 4,)])
        for k, id_ in enumerate(truth)
    }
    boxes = {shift[id_]: replace(persons, actions=()) for id_, persons in apart.items()}
    logits = {shift[id_]: logits_of(persons) for id_, persons in apart.items()}
    evaluation = judge(write(apart, boxes, logits))
    assert evaluation.metrics == {"action/mAP": 0, "action/box_recall": 0}
    assert evaluation.boxes == "detected"


def test_key_frames_without_a_stored_box_are_missed(write, judge, truth, known):
    stored = {id_: of for id_, of in truth.items() if id_ not in {"made_b_0903", "made_b_0907"}}
    evaluation = judge(write(truth, stored, known))
    assert (evaluation.segments, evaluation.segments_of_split, evaluation.empty) == (10, 10, 2)
    assert evaluation.lines()[0].endswith("; 2 have no features")
    assert evaluation.metrics["action/box_recall"] == 0.8
    for name, precision in evaluation.classes.items():
        of_class = [
            (id_ in stored)
            for id_, persons in truth.items()
            for actions in persons.actions
            if id_.startswith("made_b") and NAMES.index(name) in actions
        ]
        assert precision.average_precision == pytest.approx(np.mean(of_class))
    assert "misses 4 of 20 annotated persons in 2 key frames that have no stored box" in (
        evaluation.warnings
    )


def test_key_frames_that_nobody_looked_at_count_neither_way(write, judge, truth, known):
    more = {"made_b_0950": Boxes.of([[0.1, 0.1, 0.5, 0.5]])}
    logits = known | {"made_b_0950": np.full((1, len(NAMES)), 2 * SURE)}
    evaluation = judge(write(truth, truth | more, logits, unseen=more))
    assert evaluation.metrics["action/mAP"] == pytest.approx(1)
    assert (evaluation.segments, evaluation.persons) == (10, 21)
    assert "ignores boxes in key frames that are not annotated: 1" in evaluation.warnings
    looked_at = truth | {"made_b_0950": Boxes.of(())}
    wrong = judge(write(looked_at, truth | more, logits, "empty"))
    assert wrong.metrics["action/mAP"] < 0.95
    assert wrong.segments == 11


def test_the_result_csv_is_as_ava_takes_it(write, judge, truth):
    boxes, logits = noisy(truth)
    logits["made_b_0902"][0] = [3, -20, 5, -9.9, -9.85]
    evaluation = judge(write(truth, boxes, logits))
    lines = evaluation.detections.read_text().splitlines()
    x1, y1, x2, y2 = boxes["made_b_0902"].corners[0]
    box = f"made_b,0902,{x1:.3f},{y1:.3f},{x2:.3f},{y2:.3f}"
    assert lines[:3] == [f"{box},1,0.9526", f"{box},4,0.0001", f"{box},5,0.0001"]
    assert {int(line.split(",")[6]) - 1 for line in lines} == EVALUATED
    assert not any(line.endswith("0.0000") for line in lines)
    assert all(0.05 < one.average_precision < 0.95 for one in evaluation.classes.values())
    val = {id_: persons for id_, persons in truth.items() if id_.startswith("made_b")}
    assert read_back(evaluation, val) == pytest.approx(evaluation.metrics["action/mAP"], abs=0.005)


def test_overlaps_are_those_of_the_decimals(write, judge):
    """Of boxes of which one is half the other, singles and doubles say different things."""
    wide = np.array([[k, 2 * k, k + 100, 2 * k + 200] for k in range(1, 60)]) / 1000
    half = np.array([[k, 2 * k, k + 100, 2 * k + 100] for k in range(1, 60)]) / 1000
    hits = overlaps(wide, half) >= 0.5
    assert (hits != (overlaps(wide.astype("f4"), half.astype("f4")) >= 0.5)).any()
    ids = [key_frame_id("made_b", f"{902 + k:04d}") for k in range(len(wide))]
    stood = {id_: Boxes.of([box], actions=[[0]]) for id_, box in zip(ids, wide, strict=True)}
    found = {id_: Boxes.of([box], [0.9]) for id_, box in zip(ids, half, strict=True)}
    logits = {id_: np.full((1, len(NAMES)), -k / 10) for k, id_ in enumerate(ids)}
    evaluation = judge(write(stood, found, logits))
    assert evaluation.metrics["action/box_recall"] == hits.mean()


def test_what_cannot_be_evaluated_is_one_sentence(write, judge, truth, known):
    store = write(truth, truth, known)
    with pytest.raises(RequestError, match=r"no persons of split 'dev': its splits are train, val"):
        judge(store, "dev")
    bare = {id_: Boxes.of(of.corners, actions=[[2]] * len(of)) for id_, of in truth.items()}
    with pytest.raises(RequestError, match=r"nobody in split 'val'.*`split`"):
        judge(write(bare, bare, known, "bare"))
    (store / "boxes.npz").unlink()
    with pytest.raises(RequestError, match="nobody in split 'train'"):
        judge(store, "train")


@pytest.fixture
def run(write, truth, known, tmp_path):
    quick = TrainerConfig(epochs=3, lr=0.05, batch_size=8, device="cpu")
    store = write(truth, truth, known)
    return fit_head(FitConfig(head="roi", store=store, out=tmp_path / "fitted", trainer=quick))


def test_a_run_is_judged_on_boxes_of_both_kinds(run, write, truth):
    own = (run.path / "metrics.json").read_bytes()
    assert json.loads(own)["boxes"] == "annotated"
    detected = write(truth, *noisy(truth), "detected")
    evaluation = evaluate(run.path, store=detected, device="cpu")
    assert evaluation.boxes == "detected"
    digest = open_persons(detected).store.recipe.boxes[7:15]
    names = {path.name for path in run.path.iterdir()}
    for stem in ("metrics{}.json", "predictions{}.npz", "detections{}.csv"):
        assert {stem.format(""), stem.format(f"-boxes-{digest}")} <= names
    train = evaluate(run.path, "train", detected, device="cpu")
    assert train.detections.name == f"detections-train-boxes-{digest}.csv"
    assert f"precision-action-train-boxes-{digest}.png" == train.pictures[0].name
    assert (run.path / "metrics.json").read_bytes() == own


def test_other_features_are_refused(run, write, truth):
    other = write(truth, *noisy(truth), "other", weights="random:1")
    with pytest.raises(RequestError, match="holds other features than run"):
        evaluate(run.path, store=other, device="cpu")

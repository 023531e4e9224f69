"""Frame mAP against the public evaluation of AVA and against a plain reading of its definition.

torchmetrics' MeanAveragePrecision is no reference here: it interpolates at 101 recalls as COCO
does, sends a found box to the best annotated box that is still free, and needs pycocotools.
"""

import csv
import json
import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egofeat.heads.measures.frame_map import Placed, average_precisions, mean_precision, overlaps

GOLDEN = Path(__file__).parents[2] / "golden"
CASES = runpy.run_path(str(GOLDEN / "ava_cases.py"))
PUBLIC = json.loads((GOLDEN / "ava_map.json").read_text())


def placed(frames, boxes):
    return Placed(np.array(frames, np.int64), np.array(boxes, np.float64).reshape(-1, 4))


def of_rows(annotated, found, classes):
    """Average precision by name, of rows of CSV files; key frames without annotation are none."""
    number = {frame: k for k, frame in enumerate(dict.fromkeys(row[:2] for row in annotated))}
    precisions = {}
    for id_, name in classes.items():
        truth = [row for row in annotated if len(row) > 2 and int(row[6]) == id_]
        seen = [row for row in found if row[:2] in number and int(row[6]) == id_]
        of_class = average_precisions(
            placed([number[row[:2]] for row in truth], [row[2:6] for row in truth]),
            np.ones((len(truth), 1), bool),
            placed([number[row[:2]] for row in seen], [row[2:6] for row in seen]),
            np.array([row[7] for row in seen], np.float64).reshape(-1, 1),
            [0],
        )
        if 0 in of_class:
            precisions[name] = of_class[0]
    return precisions


def agrees(precisions, public):
    evaluated = {name: value for name, value in public.items() if value is not None}
    mean = evaluated.pop("mAP", None)
    assert precisions == pytest.approx(evaluated, rel=1e-12, abs=1e-15)
    if mean is not None:
        assert mean_precision(precisions) == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize("seed", range(CASES["CASES"]))
def test_random_cases_are_what_the_public_evaluation_says(seed):
    agrees(of_rows(*CASES["case"](seed), CASES["CLASSES"]), PUBLIC["cases"][seed])


def test_the_cases_hold_what_they_are_for():
    values = [value for public in PUBLIC["cases"] for value in public.values()]
    assert sum(value is None for value in values) > 10
    assert sum(value is not None and 0.1 < value < 0.9 for value in values) > 30


@pytest.mark.real_data
def test_the_small_evaluation_is_what_the_public_one_says(real_data):
    folder = real_data / "data/annotations/ava/eval"
    annotated, found = (
        [tuple(row) for row in csv.reader((folder / name).read_text().splitlines())]
        for name in ("gt.csv", "pred.csv")
    )
    agrees(of_rows(annotated, found, {k: f"action{k}" for k in (1, 2, 3)}), PUBLIC["eval"])


def plainly(truth, found):
    """Average precision of one class read off its definition; rows (frame, box[, score])."""
    taken, outcome = set(), {}
    for place, (frame, box, _) in sorted(enumerate(found), key=lambda entry: -entry[1][2]):
        rivals = [(_iou(box, other), -k) for k, (of, other) in enumerate(truth) if of == frame]
        overlap, number = max(rivals, default=(0, 1))
        outcome[place] = overlap >= 0.5 and number not in taken
        if overlap >= 0.5:
            taken.add(number)
    ranking = sorted(outcome, key=lambda place: (found[place][2], place), reverse=True)
    points, right = [], 0
    for seen, place in enumerate(ranking, start=1):
        right += outcome[place]
        points.append((right / len(truth), right / seen))
    steps = sorted({recall for recall, _ in points} - {0})
    area, before = 0.0, 0.0
    for recall in steps:
        area += (recall - before) * max(p for r, p in points if r >= recall)
        before = recall
    return area


def _iou(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = width * height if width > 0 and height > 0 else 0
    sides = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(sides) - shared)


sides = st.tuples(st.integers(0, 3), st.integers(1, 3)).map(lambda side: (side[0], sum(side)))
boxes = st.tuples(sides, sides).map(lambda s: (s[0][0], s[1][0], s[0][1], s[1][1]))
frames = st.integers(0, 3)
annotated_rows = st.lists(st.tuples(frames, boxes), min_size=1, max_size=8)
found_rows = st.lists(st.tuples(frames, boxes, st.integers(0, 4)), max_size=12)


@given(truth=annotated_rows, found=found_rows)
def test_a_plain_reading_of_the_definition_agrees(truth, found):
    got = average_precisions(
        placed(*zip(*truth, strict=True)),
        np.ones((len(truth), 1), bool),
        placed([row[0] for row in found], [row[1] for row in found]),
        np.array([[row[2]] for row in found], np.float32).reshape(-1, 1),
        [0],
    )
    assert got[0] == pytest.approx(plainly(truth, found), abs=1e-12)


@given(truth=annotated_rows)
def test_what_is_annotated_and_nothing_else_is_perfect_unless_in_another_frame(truth):
    alone = list({frame: (frame, box) for frame, box in truth}.values())
    of, corners = zip(*alone, strict=True)
    scores = np.linspace(0, 1, len(alone))[:, None]
    has = np.ones((len(alone), 1), bool)
    perfect = average_precisions(placed(of, corners), has, placed(of, corners), scores, [0])
    assert perfect == {0: pytest.approx(1)}
    elsewhere = placed(np.array(of) + 10, corners)
    assert average_precisions(placed(of, corners), has, elsewhere, scores, [0]) == {0: 0}


def test_classes_are_apart_and_those_without_annotation_are_left_out():
    truth = placed([5, 2], [[0, 0, 1, 1], [0, 0, 1, 1]])
    actions = np.array([[True, False, False], [True, True, False]])
    found = placed([2, 5], [[0, 0, 1, 0.5], [0, 0, 1, 0.4]])
    scores = np.array([[0.2, 0.9, 0.9], [0.8, 0.1, 0.9]], np.float32)
    precisions = average_precisions(truth, actions, found, scores, range(3))
    assert precisions == {0: 0.25, 1: 1.0}
    assert mean_precision(precisions) == 0.625
    assert set(average_precisions(truth, actions, found, scores, [1, 2])) == {1}


def test_overlap_is_of_the_union():
    one, other = (
        np.array([[0, 0, 2, 2.0]] * 3),
        np.array([[0, 0, 2, 1], [1, 1, 3, 3], [2, 2, 3, 3]]),
    )
    assert overlaps(one, other).tolist() == [0.5, 1 / 7, 0]
    assert math.isclose(float(overlaps(one[:1], one[:1])[0]), 1)


def test_of_two_boxes_overlapped_alike_the_first_is_meant():
    truth = placed([0, 0], [[0, 0, 2, 1], [1, 0, 3, 1]])
    between, second = [0.5, 0, 2.5, 1], [1, 0, 3, 1]
    found, scores = placed([0, 0], [between, second]), np.array([[0.9], [0.8]])
    assert average_precisions(truth, np.ones((2, 1), bool), found, scores, [0]) == {0: 1}
    first = placed([0, 0], [between, [0, 0, 2, 1]])
    assert average_precisions(truth, np.ones((2, 1), bool), first, scores, [0]) == {0: 0.5}

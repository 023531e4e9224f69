"""Detections of any program, scored as the public evaluation of AVA does."""

import pytest

from egofeat.errors import EgofeatError
from egofeat.pipelines.recognition.options import ScoreConfig
from egofeat.pipelines.recognition.score_boxes import score_boxes

TRUTH = "a,1,0.1,0.1,0.5,0.5,1,0\na,1,0.1,0.1,0.5,0.5,3,0\na,2,0.2,0.2,0.6,0.6,1,1\n"


@pytest.mark.real_data
def test_the_public_evaluation_gives_the_same(real_data):
    folder = real_data / "data/annotations/ava/eval"
    names = folder / "action_list.txt"
    scored = score_boxes(
        ScoreConfig(truth=folder / "gt.csv", found=folder / "pred.csv", label_map=names)
    )
    assert scored.mean == pytest.approx(0.0938552, abs=1e-7)
    assert {name: round(one.average_precision, 4) for name, one in scored.classes.items()} == {
        "action1": 0.1705,
        "action2": 0.0,
        "action3": 0.1111,
    }


def score(folder, found, **more):
    (folder / "truth.csv").write_text(TRUTH)
    (folder / "found.csv").write_text(found)
    return score_boxes(ScoreConfig(truth=folder / "truth.csv", found=folder / "found.csv", **more))


def test_a_box_counts_for_its_own_action_alone(tmp_path):
    right = "a,1,0.1,0.1,0.5,0.5,1,0.9\na,2,0.2,0.2,0.6,0.6,1,0.8\n"
    scored = score(tmp_path, right)
    assert {name: one.average_precision for name, one in scored.classes.items()} == {
        "action 1": 1.0,
        "action 3": 0.0,
    }
    wrong = "b,7,0.1,0.1,0.5,0.5,1,0.95\n"
    scored = score(tmp_path, right + wrong)
    assert scored.classes["action 1"].average_precision == pytest.approx(2 / 3)
    assert scored.elsewhere == 1
    (tmp_path / "out.csv").write_text("b,0007\n")
    assert score(tmp_path, right + wrong, excluded=tmp_path / "out.csv").elsewhere == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a,1,0.1,0.1,0.5,0.5,1", "has 7 cells: write video, time stamp"),
        ("a,1,0.1,0.1,0.5,0.5,run,0.5", "the action is 'run': write a whole number"),
        ("a,1,0.1,0.1,0.5,x,1,0.5", "'x' is no number"),
        ("a,1,0.5,0.1,0.5,0.5,1,0.5", "the box has no area"),
        ("a,-1,0.1,0.1,0.5,0.5,1,0.5", "the time stamp is '-1': write seconds"),
    ],
)
def test_a_line_that_is_no_detection_is_one_sentence(tmp_path, line, said):
    with pytest.raises(EgofeatError, match=f"found.csv line 1.*{said}"):
        score(tmp_path, line)

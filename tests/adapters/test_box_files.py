"""Boxes of a detector: what is kept, what is left out and counted, and what comes back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egofeat.adapters.reading.box_files import annotated, detections_csv, read_detections
from egofeat.boxes import Boxes, boxes_digest
from egofeat.errors import ManifestError
from egofeat.segments import Dataset, Segment


def frames(*ids):
    return [Segment(id_, id_.rpartition("_")[0]) for id_ in ids]


def read(tmp_path, text, ids, min_score=0.0):
    path = tmp_path / "boxes.csv"
    path.write_bytes(text.encode())
    return read_detections(path, frames(*ids), min_score)


def reasons(detections):
    return [remark.partition(".csv: ")[2] for remark in detections.remarks]


def test_boxes_are_ordered_by_score_and_corners(tmp_path):
    found = read(
        tmp_path,
        "v,0902,.5,.1,.6,.2,,0.9\n"
        "v,902.0,.3,.1,.4,.2,,0.95\n"
        "v,0902,.1,.1,.2,.2,,0.9\n"
        "a_b,1.25,.1,.1,.2,.2,1\n",
        ["v_902", "a_b_01.250"],
    )
    boxes = found.boxes["v_902"]
    assert boxes.corners[:, 0].tolist() == pytest.approx([0.3, 0.1, 0.5])
    assert boxes.scores.tolist() == pytest.approx([0.95, 0.9, 0.9])
    assert boxes.corners.dtype == boxes.scores.dtype == np.float32
    assert boxes.actions == ()
    assert len(found.boxes["a_b_01.250"]) == 1
    assert not found.remarks
    assert found.digest == boxes_digest(found.boxes)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("between", [",", "\t", " , "])
def test_ways_to_write_a_table(tmp_path, between, end):
    rows = [("v", "1", ".1", ".1", ".2", ".2", "", ".8"), ("v", "1", ".3", ".1", ".4", ".2", ".9")]
    text = end.join(between.join(row) for row in rows) + end + end
    found = read(tmp_path, text, ["v_1"])
    assert found.boxes["v_1"].scores.tolist() == pytest.approx([0.9, 0.8])


def test_rows_of_one_box_are_one_with_its_highest_score(tmp_path):
    found = read(
        tmp_path, "v,1,.1,.1,.2,.2,3,.5\nv,1,.1,.1,.2,.2,7,.9\nv,1,.10,.1,.2,.2,,.2\n", ["v_1"], 0.8
    )
    assert found.boxes["v_1"].scores.tolist() == pytest.approx([0.9])
    assert not found.remarks


def test_what_is_left_out_is_counted_by_reason(tmp_path):
    found = read(
        tmp_path,
        "v,1,.1,.1,.2,.2,,.9\n"
        "v,1,-.01,.1,1.01,.2,,.9\n"  # by the margin only: cut
        "v,1,-.02,.1,.2,.2,,.9\n"
        "v,1,.1,.1,1.2,.2,,.1\n"
        "v,1,.3,.1,.2,.2,,.9\n"
        "v,1,.1,.1,.4,.2,,.7999\n"
        "v,1,.1,.1,.5,.2,,.8\n"
        "v,2,.1,.1,.5,.2,,.1\n"
        "v,3,.1,.1,.5,.2,,.9\n"
        "w,1,.1,.1,.5,.2,4,.9\n"
        "w,1,.1,.1,.5,.2,5,.9\n",
        ["v_1", "v_2", "w_2"],
        0.8,
    )
    assert list(found.boxes) == ["v_1"]
    assert found.boxes["v_1"].corners[:, 2].tolist() == pytest.approx([1, 0.2, 0.5])
    assert reasons(found) == [
        "boxes of key frames that are not in the data set are left out: 2 of 10",
        "boxes that reach out of their frame by more than 0.01 are left out: 2 of 10",
        "boxes without area are left out: 1 of 10",
        "boxes with a score below 0.8 are left out: 2 of 10",
        "key frames left without a box: 2 of 3",
    ]


def test_a_box_far_out_is_not_taken_for_the_one_that_it_would_be_cut_to(tmp_path):
    found = read(tmp_path, "v,1,-.5,.1,.2,.2,,.9\nv,1,0,.1,.2,.2,,.6\n", ["v_1"])
    assert found.boxes["v_1"].scores.tolist() == pytest.approx([0.6])
    assert len(found.remarks) == 1


def test_no_box_at_all(tmp_path):
    found = read(tmp_path, "", ["v_1"])
    assert found.boxes == {}
    assert reasons(found) == ["key frames left without a box: 1 of 1"]


def test_a_folder_of_tables(tmp_path):
    (tmp_path / "a.csv").write_text("a,1,.1,.1,.2,.2,,.9\n")
    (tmp_path / "b.csv").write_text("b\t1\t.1\t.1\t.2\t.2\t\t.9\n")
    (tmp_path / "c.csv").write_text("")
    (tmp_path / "detector.json").write_text("{}")
    found = read_detections(tmp_path, frames("a_1", "b_1"), 0.5)
    assert list(found.boxes) == ["a_1", "b_1"]
    assert not found.remarks


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("v,1,.1,.1,.2,.9", r"boxes.csv line 2 has 6 cells: write video, time stamp, x1, y1, x2"),
        ("v,1,.1,.1,.2,.2,,.9,1", r"line 2 has 9 cells"),
        ("v,1,.1,.1,x,.2,,.9", r"line 2: x2 is 'x': write a number"),
        ("v,1,.1,.1,.2,.2,,high", r"line 2: the score is 'high': write a number"),
        ("v,1,.1,.1,.2,.2,,nan", r"line 2: the score is 'nan': write a number"),
        ("v,1,.1,.1,.2,.2,12", r"line 2: the score is 12: write one from 0 to 1, in the last cell"),
        ("v,1,.1,.1,.2,.2,,-0.1", r"line 2: the score is -0.1"),
        ("v,t,.1,.1,.2,.2,,.9", r"line 2: the time stamp is 't': write seconds"),
        ('"v,1,.1,.1,.2,.2,,.9', r"line 2 is not CSV"),
    ],
)
def test_a_line_that_is_no_box_is_named(tmp_path, line, says):
    with pytest.raises(ManifestError, match=says):
        read(tmp_path, f"v,1,.1,.1,.2,.2,,.9\n{line}\n", ["v_1"])


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(ManifestError, match=r"none.csv does not exist: put the file there"):
        read_detections(tmp_path / "none.csv", frames("v_1"), 0.5)
    with pytest.raises(ManifestError, match=r"holds no .csv of boxes: name a folder that does"):
        read_detections(tmp_path, frames("v_1"), 0.5)


unit = st.floats(0, 1, width=32)
pairs = st.tuples(unit, unit).filter(lambda pair: pair[0] != pair[1]).map(sorted)
detected = st.dictionaries(
    st.sampled_from(["v-_x_0902", "v-_x_1.500000", "v-_x_7"]),
    st.dictionaries(
        st.tuples(pairs, pairs).map(lambda p: (p[0][0], p[1][0], p[0][1], p[1][1])), unit
    )
    .filter(bool)
    .map(lambda scores: Boxes.of(list(scores), list(scores.values()))),
)


@given(detected)
def test_what_is_written_comes_back(tmp_path_factory, boxes):
    path = tmp_path_factory.mktemp("boxes") / "v.csv"
    path.write_bytes(detections_csv(boxes))
    found = read_detections(path, frames(*boxes), 0.0)
    assert not found.remarks
    assert found.boxes.keys() == boxes.keys()
    for id_, of_frame in boxes.items():
        order = np.lexsort((*of_frame.corners.T[::-1], -of_frame.scores))
        np.testing.assert_array_equal(found.boxes[id_].corners, of_frame.corners[order])
        np.testing.assert_array_equal(found.boxes[id_].scores, of_frame.scores[order])


@given(detected, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(tmp_path_factory, boxes, rnd):
    path = tmp_path_factory.mktemp("boxes") / "v.csv"
    path.write_bytes(detections_csv(boxes))
    digest = read_detections(path, frames(*boxes), 0.25).digest
    lines = path.read_text().splitlines(keepends=True)
    rnd.shuffle(lines)
    path.write_text("".join(lines))
    assert read_detections(path, frames(*boxes), 0.25).digest == digest


def test_the_form_of_what_is_written():
    written = detections_csv({"v_x_0902": Boxes.of([[0, 0.1, 0.25, 1]], [0.995518])})
    assert written == b"v_x,0902,0.0,0.1,0.25,1.0,,0.995518\n"
    assert detections_csv({"v_1": Boxes.of([])}) == b""


def test_a_video_with_a_comma_in_its_name(tmp_path):
    written = detections_csv({'a,"b"_1': Boxes.of([[0, 0, 1, 1]], [1])}).decode()
    assert list(read(tmp_path, written, ['a,"b"_1']).boxes) == ['a,"b"_1']


def test_annotated_boxes_as_detections():
    boxes = {"v_1": Boxes.of([[0, 0, 1, 1]], actions=[[3]]), "v_2": Boxes.of([])}
    dataset = Dataset("d", {}, tuple(frames("v_1", "v_2", "v_3")), {}, boxes=boxes)
    found = annotated(dataset)
    assert list(found.boxes) == ["v_1"]
    assert found.boxes["v_1"].scores.tolist() == [1]
    assert found.boxes["v_1"].actions == ()
    assert found.remarks == ("key frames without an annotated person are left out: 2 of 3",)
    assert found.digest == boxes_digest({"v_1": boxes["v_1"]})
    assert not annotated(Dataset("d", {}, tuple(frames("v_1")), {}, boxes=boxes)).remarks


@pytest.mark.real_data
def test_the_real_detections(real_data):
    folder = real_data / "data/annotations/ava/small"
    train = folder / "ava_detection _train_boxes_and _labels_include_ negative_v2.2.csv"
    ids = [
        f"IMG_{video}_{second}"
        for video in ("0110", "0114", "0120", "0130")
        for second in range(1, 23)
    ]
    found = read_detections(train, frames(*ids), 0.8)
    assert list(found.boxes) == ids
    assert all(len(boxes) == 1 for boxes in found.boxes.values())
    assert not found.remarks
    val = folder / "ava _detection_val_boxes_and_labels.csv"
    found = read_detections(
        val, frames(*(f"IMG_0177_{second:04d}" for second in range(1, 25))), 0.8
    )
    assert len(found.boxes) == 22
    assert [remark.partition(".csv: ")[2] for remark in found.remarks] == [
        "key frames left without a box: 2 of 24"
    ]


@pytest.mark.real_data
def test_the_real_evaluation_pair(real_data):
    ids = ["3reY9zJKhqN_1774", "HmR8SmNIoxu_1384", "5HNXoce1raG_1097"]
    found = read_detections(real_data / "data/annotations/ava/eval/pred.csv", frames(*ids), 0.5)
    # Of ten boxes a frame, counted by hand.
    assert [len(found.boxes[id_]) for id_ in ids] == [5, 3, 5]
    assert found.boxes[ids[0]].scores[0] == np.float32(0.949)

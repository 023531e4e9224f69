"""Stores of persons: key frames with a row a person, its box and score beside its features."""

import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from egofeat.boxes import Boxes
from egofeat.errors import RequestError, StoreError
from egofeat.store import (
    FORMATS,
    PersonRows,
    list_stores,
    open_persons,
    open_store,
    verify,
)

KINDS = [(name, None) for name in FORMATS] + [
    (name, compress) for name, form in FORMATS.items() for compress in form.compressors
]
FEW = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NAMES = ("bend", "sit", "stand")
LEFT, RIGHT, ALL = (0.0, 0.1, 0.5, 0.9), (0.5, 0.1, 1.0, 0.9), (0.0, 0.0, 1.0, 1.0)

scores = st.sampled_from([0.25, 0.5, 0.75]) | st.floats(0, 1, width=32)


@st.composite
def detections(draw):
    """Key frames with their boxes, of a few places so that some repeat."""
    stamps = draw(st.lists(st.integers(0, 9), min_size=1, max_size=5, unique=True))
    boxes = {}
    for stamp in stamps:
        corners = draw(st.lists(st.sampled_from([LEFT, RIGHT, ALL]), min_size=1, max_size=5))
        boxes[f"v_{stamp:04}"] = Boxes.of(corners, [draw(scores) for _ in corners])
    return boxes


def data_set(make, *shards, truth=None, splits=None, evaluated=frozenset()):
    about = {id_: {"split": split} for id_, split in (splits or {}).items()}
    return dataclasses.replace(
        make.dataset(*shards, classes={"action": NAMES}, **about),
        key_frames=True,
        boxes=truth or {},
        evaluated=evaluated,
    )


def person_store(make, out, boxes, taps=None, **options):
    """A finished store of one shard; `options` are of the data set, or of the writer."""
    rows = make.person_rows(boxes, taps)
    about = {name: options.pop(name) for name in ("truth", "splits") if name in options}
    dataset = data_set(make, rows, **about)
    writer = make.writer(out, dataset, make.person_recipe(taps), **options)
    writer.write_shard("v", rows)
    writer.close()
    return writer.path, rows


def plainly(store, others):
    """Rows of a store with their others, by reading one segment after the other."""
    found = []
    firsts = np.cumsum([0, *store.lengths])
    for number, id_ in enumerate(store.ids):
        features = store[id_].astype(np.float32)
        confidence = store.scores[firsts[number] : firsts[number + 1]].tolist()
        ranked = sorted(range(len(features)), key=lambda row: -confidence[row])
        for row in range(len(features)):
            beside = [features[other] for other in ranked if other != row][:others]
            absent = [np.zeros_like(features[0])] * (others - len(beside))
            found.append(np.stack([features[row], *beside, *absent]))
    return np.stack(found)


@pytest.mark.parametrize(("form", "compress"), KINDS)
@FEW
@given(boxes=detections(), cut=st.integers(0, 4), others=st.integers(0, 4), data=st.data())
def test_rows_are_those_of_every_segment_read_plainly(
    make, tmp_path_factory, form, compress, boxes, cut, others, data
):
    taps = {"roi": (3,), "roi_map": (2, 2, 2)}
    ids = list(boxes)
    parts = [{id_: boxes[id_] for id_ in part} for part in (ids[:cut], ids[cut:]) if part]
    shards = {f"{n}": make.person_rows(part, taps, seed=n) for n, part in enumerate(parts)}
    recipe = make.person_recipe(taps)
    writer = make.writer(
        tmp_path_factory.mktemp("s"), data_set(make, *shards.values()), recipe, format=form,
        compress=compress,
    )  # fmt: skip
    for name, rows in shards.items():
        writer.write_shard(name, rows)
    assert verify(writer.path) == []
    tap = data.draw(st.sampled_from(sorted(taps)))
    store = open_store(writer.path, tap)
    persons = open_persons(writer.path, tap, others=others)
    expected = plainly(store, others)
    assert persons.row_shape == expected.shape[1:]
    assert (persons.dtype, store.mapped) == (np.float16, compress is None)
    assert persons.nbytes == expected.astype(np.float16).nbytes
    np.testing.assert_array_equal(persons.take(persons.rows()), expected)
    seen = data.draw(st.lists(st.integers(0, len(persons) - 1), max_size=7))
    chosen = np.array(seen, np.int64)
    persons.advise_random(chosen)
    wide = np.full((len(chosen), *persons.row_shape), np.nan, np.float32)
    assert persons.take(chosen, wide) is wide
    np.testing.assert_array_equal(wide, expected[chosen])
    np.testing.assert_array_equal(
        persons.boxes, np.concatenate([boxes[id_].corners for id_ in ids])
    )
    np.testing.assert_array_equal(persons.scores, np.concatenate([boxes[i].scores for i in ids]))
    assert persons.ids.tolist() == [id_ for id_ in ids for _ in range(len(boxes[id_]))]
    np.testing.assert_array_equal(store.boxes, persons.boxes)
    np.testing.assert_array_equal(store.scores, persons.scores)
    assert len(store.times) == len(store.boxes)


def test_others_come_by_score_and_equal_ones_in_their_order(make, tmp_path):
    boxes = Boxes.of([LEFT, RIGHT, ALL, LEFT], [0.5, 0.9, 0.5, 0.5])
    path, rows = person_store(make, tmp_path, {"v_1": boxes})
    taken = open_persons(path, others=4).take(np.arange(4))
    features = rows.taps["roi"]
    for row, order in enumerate([[0, 1, 2, 3], [1, 0, 2, 3], [2, 1, 0, 3], [3, 1, 0, 2]]):
        np.testing.assert_array_equal(taken[row, :4], features[order])
        assert not taken[row, 4].any()


def test_columns_say_whose_rows_they_are(make, tmp_path):
    boxes = {"v_0902": Boxes.of([LEFT, RIGHT]), "w_0903": Boxes.of([ALL])}
    path, _ = person_store(make, tmp_path, boxes, splits={"v_0902": "train", "w_0903": "val"})
    persons = open_persons(path)
    assert persons.splits.tolist() == ["train", "train", "val"]
    assert persons.groups.tolist() == [""] * 3
    assert (persons.rows("val").tolist(), persons.rows().tolist()) == ([2], [0, 1, 2])
    store = persons.store
    assert (store.path, persons.dataset, store.tap) == (path, "mine", "roi")
    assert (persons.classes, persons.unseen, persons.tail) == ({"action": NAMES}, frozenset(), {})
    assert repr(persons).endswith("roi: 3 persons × (1, 5) float16)")
    assert repr(store).startswith("PersonStore(")
    assert repr(store).endswith("roi: 2 segments, 3 × (5,) float16)")
    assert store.spans("v_0902").tolist() == [[901, 902, 903]] * 2
    again = pickle.loads(pickle.dumps(open_persons(path, others=2)))
    np.testing.assert_array_equal(again.take(np.array([1])), PersonRows(store, 2).take([1]))


def test_rows_travel_as_a_path(make, tmp_path):
    def travelling(out, frames):
        boxes = {f"v_{number}": Boxes.of([LEFT, RIGHT]) for number in range(frames)}
        path, _ = person_store(make, out, boxes)
        return len(pickle.dumps(open_persons(path, others=1)))

    few, many = travelling(tmp_path / "a", 1), travelling(tmp_path / "b", 200)
    assert few == many < 1000


def test_labels_are_those_of_the_equal_box_of_the_same_key_frame(make, tmp_path):
    nearly = (float(np.nextafter(np.float32(0.5), np.float32(1))), *RIGHT[1:])
    boxes = {
        "v_1": Boxes.of([LEFT, nearly, RIGHT], [0.1, 0.2, 0.3]),
        "v_2": Boxes.of([LEFT]),
        "v_3": Boxes.of([ALL, ALL]),
        "v_4": Boxes.of([RIGHT]),
    }
    truth = {
        "v_1": Boxes.of([RIGHT, LEFT], actions=[[0, 2], [1]]),
        "v_2": Boxes.of([]),
        "v_3": Boxes.of([ALL, ALL], actions=[[0], [1]]),
        "gone_1": Boxes.of([LEFT], actions=[[0]]),
    }
    path, _ = person_store(make, tmp_path, boxes, truth=truth)
    persons = open_persons(path)
    assert persons.labels.keys() == {"action"}
    assert persons.labels["action"].astype(int).tolist() == [
        [0, 1, 0],
        [0, 0, 0],
        [1, 0, 1],
        [0, 0, 0],
        [1, 1, 0],  # one box annotated twice does both
        [1, 1, 0],
        [0, 0, 0],
    ]
    assert persons.annotated.astype(int).tolist() == [1, 0, 1, 0, 1, 1, 0]
    assert persons.truth.ids == list(truth)


def test_without_annotations_there_is_nothing_to_learn(make, tmp_path):
    path, _ = person_store(make, tmp_path, {"v_1": Boxes.of([LEFT])})
    (path / "boxes.npz").unlink()
    persons = open_persons(path)
    assert persons.truth is None
    assert not persons.annotated.any()
    assert not persons.labels["action"].any()
    (path / "segments.json").unlink()
    assert (open_persons(path).key_frames(), open_persons(path).classes) == ([], {})


def test_an_action_of_no_class_is_told(make, tmp_path):
    truth = {"v_1": Boxes.of([LEFT], actions=[[3]])}
    path, _ = person_store(make, tmp_path, {"v_1": Boxes.of([LEFT])}, truth=truth)
    with pytest.raises(StoreError, match=r"action of number 3 and there are 3 classes: run"):
        _ = open_persons(path).labels


def test_key_frames_of_a_split_are_listed_stored_or_not(make, tmp_path):
    boxes = {"v_1": Boxes.of([LEFT]), "v_2": Boxes.of([LEFT]), "v_3": Boxes.of([LEFT])}
    rows = make.person_rows(boxes)
    splits = {"v_1": "val", "v_2": "train", "v_3": "val"}
    writer = make.writer(tmp_path, data_set(make, rows, splits=splits), make.person_recipe())
    writer.write_shard("v", make.person_rows({"v_3": boxes["v_3"]}))
    persons = open_persons(writer.path)
    assert persons.ids.tolist() == ["v_3"]
    assert persons.key_frames("val") == ["v_1", "v_3"]
    assert persons.key_frames() == ["v_1", "v_2", "v_3"]


def test_stale_and_duplicate_key_frames_are_passed_over_whole(make, tmp_path):
    boxes = {"v_1": Boxes.of([LEFT, RIGHT]), "v_2": Boxes.of([ALL] * 3), "v_3": Boxes.of([LEFT])}
    first = make.person_rows(boxes)
    again = make.person_rows({"v_1": Boxes.of([ALL])}, seed=1)
    writer = make.writer(tmp_path, data_set(make, first), make.person_recipe())
    writer.write_shard("1", first)
    writer.write_shard("2", again)
    assert writer.done() == {("v_1", 1.0, 2.0), ("v_2", 2.0, 3.0), ("v_3", 3.0, 4.0)}
    kept = data_set(make, make.person_rows({id_: boxes[id_] for id_ in ("v_1", "v_3")}))
    make.writer(tmp_path, kept, make.person_recipe())
    persons = open_persons(writer.path)
    assert persons.ids.tolist() == ["v_1", "v_1", "v_3"]
    np.testing.assert_array_equal(persons.boxes, first.boxes[[0, 1, 5]])
    np.testing.assert_array_equal(persons.take([0, 2])[:, 0], first.taps["roi"][[0, 5]])
    assert {(one.shard, one.id) for one in verify(writer.path)} == {
        ("2.h5", "v_1"),
        ("1.h5", "v_2"),
    }
    (summary,) = list_stores(writer.path)
    assert summary.held == "2 key frames, 3 persons"
    assert summary.stale == 1


def test_other_stores_hold_no_persons(make, tmp_path):
    windows = make.store(tmp_path / "w", {"v": make.flat_rows({"a": 3})}, make.flat_recipe())
    fixed = make.store(tmp_path / "f", {"s": make.rows(["a"])})
    for path in (windows, fixed):
        with pytest.raises(RequestError, match=r"no persons of key frames: make .*`egofeat roi`"):
            open_persons(path)
        with pytest.raises(RequestError, match="no persons"):
            _ = open_store(path).scores
    held = [list_stores(path)[0].held for path in (windows, fixed)]
    assert held == ["1 segment of 3 rows", "1 segment"]


def test_persons_are_not_gathered_as_segments(make, tmp_path):
    path, _ = person_store(make, tmp_path, {"v_1": Boxes.of([LEFT])})
    with pytest.raises(RequestError, match=r"holds persons of key frames.*open_persons"):
        open_store(path).take(np.array([0]))
    persons = open_persons(path)
    with pytest.raises(IndexError, match="not in 0…1"):
        persons.take(np.array([1]))
    with pytest.raises(ValueError, match="not a C-contiguous"):
        persons.take(np.array([0]), np.empty((1, 5), np.float16))


def test_an_empty_store_of_persons_opens(make, tmp_path):
    path = make.writer(tmp_path, data_set(make), make.person_recipe()).path
    persons = open_persons(path, others=2)
    assert (len(persons), persons.boxes.shape, persons.take([]).shape) == (0, (0, 4), (0, 3, 5))
    assert persons.labels["action"].shape == (0, 3)
    assert list_stores(path)[0].held == "0 key frames, 0 persons"


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ({"boxes": None}, "it has no boxes"),
        ({"scores": None}, "it has no scores"),
        ({"boxes": np.zeros((2, 4), np.float32)}, r"boxes is \(2, 4\), and it has 3 rows"),
        ({"scores": np.zeros((3, 1), np.float32)}, r"scores are not float32 \(3,\)"),
    ],
)
def test_boxes_that_are_absent_or_do_not_fit_are_damage(make, tmp_path, form, harm, told):
    rows = make.person_rows({"v_1": Boxes.of([LEFT, RIGHT]), "v_2": Boxes.of([LEFT])})
    wrong = dataclasses.replace(rows, **harm)
    path = make.misfit(tmp_path, "v", wrong, make.person_recipe(), form)
    with pytest.raises(StoreError, match=f"is damaged .*{told}.*delete it and run .*egofeat roi"):
        open_persons(path)
    (problem,) = verify(path)
    assert problem.shard == f"v{FORMATS[form].suffix}"


@pytest.mark.parametrize(
    ("corners", "score", "told"),
    [
        ((0.5, 0.1, 0.5, 0.9), 0.5, "boxes are not 0 <= x1 < x2 <= 1"),
        ((0.5, 0.9, 0.6, 0.1), 0.5, "boxes are not"),
        ((0.5, 0.1, 1.1, 0.9), 0.5, "boxes are not"),
        ((-0.1, 0.1, 0.5, 0.9), 0.5, "boxes are not"),
        ((np.nan, 0.1, 0.5, 0.9), 0.5, "boxes are not"),
        (LEFT, np.inf, "scores are not finite"),
    ],
)
def test_boxes_that_cannot_be_are_told_by_their_key_frame(make, tmp_path, corners, score, told):
    boxes = {"v_1": Boxes.of([LEFT]), "v_2": Boxes.of([LEFT, corners], [0.5, score])}
    path, _ = person_store(make, tmp_path, boxes)
    (problem,) = verify(path)
    assert problem.id == "v_2"
    assert told in problem.message
    assert "egofeat roi" in problem.message


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("column", ["boxes", "scores"])
def test_an_altered_box_or_score_is_told_by_its_key_frame(make, tmp_path, form, column):
    boxes = {"v_1": Boxes.of([LEFT]), "v_2": Boxes.of([LEFT, RIGHT]), "v_3": Boxes.of([ALL])}
    path, rows = person_store(make, tmp_path, boxes, format=form)
    shard = FORMATS[form].open(path / "shards" / f"v{FORMATS[form].suffix}")
    place = shard.person_columns[column].place
    content = bytearray(place.file.read_bytes())
    content[place.offset + 2 * getattr(rows, column)[0].nbytes] ^= 1
    place.file.write_bytes(content)
    (problem,) = verify(path)
    assert problem.id == "v_2"
    assert f"its {column} were altered" in problem.message


@pytest.mark.parametrize(("form", "compress"), KINDS)
def test_the_same_persons_make_the_same_bytes(make, tmp_path, form, compress):
    boxes = {"v_1": Boxes.of([LEFT, RIGHT], [0.5, 0.25], [])}
    paths = [
        person_store(make, tmp_path / out, boxes, format=form, compress=compress)[0] for out in "12"
    ]
    files = [
        {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}
        for path in paths
    ]
    assert files[0] == files[1]


def test_plain_libraries_read_the_boxes(make, tmp_path):
    h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")
    boxes = {"v_1": Boxes.of([LEFT, RIGHT], [0.5, 0.25])}
    path, rows = person_store(make, tmp_path / "1", boxes)
    with h5py.File(path / "shards/v.h5") as shard:
        from_hdf5 = {name: shard[name][()] for name in ("boxes", "scores", "crc32/boxes")}
    np.testing.assert_array_equal(from_hdf5["boxes"], rows.boxes)
    assert from_hdf5["boxes"].dtype == from_hdf5["scores"].dtype == "<f4"
    path, _ = person_store(make, tmp_path / "2", boxes, format="zarr")
    group = zarr.open_group(path / "shards/v.zarr", mode="r")
    for name, values in from_hdf5.items():
        np.testing.assert_array_equal(group[name][:], values)

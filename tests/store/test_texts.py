"""The texts and tables beside the shards: whatever is in them, one sentence or the right values."""

import io
import json
import os
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from egofeat.boxes import Boxes
from egofeat.errors import RequestError, StoreError
from egofeat.gaze import Gaze
from egofeat.names import check_name
from egofeat.recipe import Recipe
from egofeat.segments import Dataset, Segment
from egofeat.store.description import Description
from egofeat.store.seal import has_seal
from egofeat.store.sidecar.box_table import BoxTable
from egofeat.store.sidecar.gaze import GazeTable
from egofeat.store.sidecar.segments import read_segments
from egofeat.store.verify import verify

READERS = {
    "store.json": Description.read,
    "segments.json": read_segments,
    "gaze.npz": GazeTable.read,
    "boxes.npz": BoxTable.read,
}


@pytest.fixture
def store(make, tmp_path):
    """A store with every file beside its shards."""
    segments = (
        Segment("a_0001", "a", 1.0, 2.0, "train", {"verb": 1}, "P01"),
        Segment("b_0002", "b", 2.0, float("inf"), "val", {}, "P02"),
    )
    gaze = Gaze(
        np.array([0.0, 0.5]), np.zeros((2, 2), np.float32), np.ones(2, np.uint8), (640, 480)
    )
    dataset = Dataset(
        "mine",
        {},
        segments,
        {"verb": ("take", "put")},
        gaze={"a": gaze},
        key_frames=True,
        boxes={"a_0001": Boxes.of([(0.1, 0.1, 0.5, 0.5)], actions=[(0, 2)])},
    )
    return make.writer(tmp_path, dataset).path


def content(name, store):
    read = READERS[name](store)
    return str(vars(read)) if read else None


@pytest.mark.parametrize("name", READERS)
def test_every_flipped_bit_is_told_or_without_effect(store, name):
    whole, right = (store / name).read_bytes(), content(name, store)
    assert has_seal(store / name)
    rng = np.random.default_rng(0)
    told, said = 0, set()
    for place in {0, len(whole) - 1, *rng.integers(0, len(whole), 150).tolist()}:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        (store / name).write_bytes(flipped)
        try:
            assert content(name, store) == right, f"byte {place}"
        except StoreError as error:
            told += 1
            said.add(str(error))
    assert told > 100
    assert all(name in sentence and "\n" not in sentence for sentence in said)


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_rubbish_is_one_sentence_that_names_the_file(store, name, data):
    whole = (store / name).read_bytes()
    kinds = st.one_of(
        st.binary(max_size=200),
        # Without its last line end it says the same.
        st.integers(0, len(whole) - 2).map(lambda stop: whole[:stop]),
        st.sampled_from(
            [b"null", b"5", b"[]", b"{}", b"\xff\xfe", b"\x00", b"[" * 9999, b'{"a":' * 9999]
        ),
        st.sampled_from([b"1" * 5000, b'{"schema": 1' + b"0" * 5000 + b"}", b'{"schema": 1.5}']),
    )
    (store / name).write_bytes(data.draw(kinds))
    try:
        with pytest.raises(StoreError, match=name) as told:
            READERS[name](store)
        assert len(str(told.value)) < 600
    finally:
        (store / name).write_bytes(whole)


@pytest.mark.parametrize("name", ["store.json", "segments.json"])
def test_a_field_of_another_kind_is_told(store, name):
    path = store / name
    fields = {key: value for key, value in json.loads(path.read_text()).items() if key != "sha256"}
    odd = [None, 5, -1, 2**70, 1.5, "x", "../x", [], [None], [2**70], {}, {"x": 5}, {"../x": []}]
    told = 0
    for key in fields:
        path.write_text(json.dumps({k: v for k, v in fields.items() if k != key}))
        with pytest.raises(StoreError, match=name):
            READERS[name](store)
        for value in odd:
            path.write_text(json.dumps({**fields, key: value}))
            try:
                READERS[name](store)
            except StoreError as error:
                told += name in str(error)
    assert told > 8 * len(fields)


@pytest.mark.parametrize("column", ["video", "start", "stop", "split", "group", "labels"])
@pytest.mark.parametrize("change", ["short", "long"])
def test_columns_of_another_length_are_told(store, column, change):
    path = store / "segments.json"
    fields = json.loads(path.read_text())
    del fields["sha256"]
    owner, key = (fields["labels"], "verb") if column == "labels" else (fields, column)
    owner[key] = owner[key][:-1] if change == "short" else [*owner[key], owner[key][0]]
    path.write_text(json.dumps(fields))
    with pytest.raises(StoreError, match=rf"segments\.json is damaged \({column}.*delete it"):
        read_segments(store)


def test_a_text_of_before_seals_is_read(store):
    for name in ("store.json", "segments.json"):
        fields = json.loads((store / name).read_text())
        right = content(name, store)
        del fields["sha256"]
        (store / name).write_text(json.dumps(fields))
        assert content(name, store) == right
    told = {problem.shard for problem in verify(store)}
    assert told == {"store.json", "segments.json"}


@pytest.mark.parametrize("name", ["gaze.npz", "boxes.npz"])
def test_arrays_of_another_kind_are_told(store, name):
    path = store / name
    with np.load(path) as there:
        arrays = dict(there)
    np.savez(path, **arrays)
    assert content(name, store), "of before there were seals"
    offsets = arrays["offsets"]
    odd = [np.zeros(0), np.zeros((2, 2, 2)), offsets + 1, offsets[:-1], offsets[::-1] * 2**40]
    odd += [
        np.array(["x"], object),
        np.float64(1),
        np.array(["a", "b", "c"]),
        offsets.astype(">i8"),
    ]
    told = 0
    for key in arrays:
        for value in odd:
            np.savez(path, **{**arrays, key: value})
            try:
                READERS[name](store)
            except StoreError as error:
                told += name in str(error)
    assert told >= 7 * len(arrays)


def test_an_array_that_claims_more_than_the_file_has_takes_no_memory(store):
    with np.load(store / "gaze.npz") as there:
        arrays = dict(there)
    for shape in ("(1099511627776,)", "(99999999999999,)"):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as out:
            for key, value in arrays.items():
                plain = io.BytesIO()
                np.save(plain, value)
                claimed = plain.getvalue().replace(b"(2,)", shape.encode())
                out.writestr(f"{key}.npy", claimed)
        (store / "gaze.npz").write_bytes(archive.getvalue())
        with pytest.raises(StoreError, match=r"gaze\.npz is damaged"):
            GazeTable.read(store)


@pytest.mark.parametrize("name", READERS)
def test_pipes_devices_folders_and_giants_are_refused_at_once(store, name):
    path = store / name
    for make_it in (os.mkfifo, lambda to: to.symlink_to("/dev/zero"), lambda to: to.mkdir()):
        path.unlink()
        make_it(path)
        with pytest.raises(StoreError, match=rf"{name} is damaged \(it is no plain file\)"):
            READERS[name](store)
        path.rmdir() if path.is_dir() else path.unlink()
        path.touch()
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a hole: it takes no room on the disk
    with pytest.raises(StoreError, match="at most"):
        READERS[name](store)


@pytest.mark.parametrize(
    "name",
    ["../../../x", "..", ".", "", "/x", "a/b", "a\\b", "a\nb", "\x1b[31m", "x" * 300, "\x00"],
)
def test_names_that_leave_their_folder_are_refused(make, store, tmp_path, name):
    path = store / "store.json"
    fields = json.loads(path.read_text())
    del fields["sha256"]
    path.write_text(json.dumps({**fields, "dataset": name}))
    with pytest.raises(StoreError, match=r"store\.json is damaged \(dataset: the name") as told:
        Description.read(store)
    assert str(told.value).isprintable()
    recipe = {**fields["recipe"], "taps": {name: [2, 5]}}
    with pytest.raises(StoreError, match="the name"):
        Recipe.from_dict(recipe)
    with pytest.raises(RequestError, match="another name"):
        make.writer(tmp_path / "out", make.dataset(make.rows(["a"]), name=name))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["epic_100", "EGTEA Gaze+", "été", "a.b-c", "...", "x" * 200])
def test_plain_names_are_taken(name):
    assert check_name(name, "data set") == name


def test_what_a_recipe_does_not_tell_is_missed_in_a_sentence(make):
    fields = json.loads(make.recipe().to_json())
    read = Recipe.from_dict(fields)
    assert read.digest == make.recipe().digest
    for part in ("transform", "plan"):
        for key in fields[part]:
            lacking = {name: value for name, value in fields[part].items() if name != key}
            with pytest.raises(StoreError, match=rf"{part}.*{key}.*extract the features again"):
                Recipe.from_dict({**fields, part: lacking})


def test_an_id_of_a_file_name_that_is_no_text_is_refused(make, tmp_path):
    rows = make.rows(["a\udcff"])
    with pytest.raises(RequestError, match=r"no UTF-8 text, in .*a\\udcff.*rename"):
        make.writer(tmp_path, make.dataset(rows))

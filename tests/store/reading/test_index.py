"""The index of a large store: never stale, never believed, and nothing is lost without it."""

import contextlib
import copy
import dataclasses
import json
import os
import pickle
import shutil
import struct
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from egofeat.boxes import Boxes
from egofeat.errors import StoreError
from egofeat.store import FORMATS, list_stores, open_store, progress_of, verify
from egofeat.store.formats.shard import ShardFormat
from egofeat.store.reading import index, mapping
from egofeat.store.reading.columns import ColumnFile
from egofeat.store.removal import check_removable


@pytest.fixture(autouse=True)
def every_store_has_one(monkeypatch):
    monkeypatch.setattr(index, "FEWEST", 1)


@pytest.fixture
def opened(monkeypatch):
    """Names of the shards that were opened since the list was last cleared."""
    names = []
    whole = ShardFormat.open

    def open_(form, path):
        names.append(path.name.partition(".")[0])
        return whole(form, path)

    monkeypatch.setattr(ShardFormat, "open", open_)
    return names


@pytest.fixture(autouse=True)
def settle(monkeypatch):
    """Wait until what was written is believed: here some moments, not seconds."""
    monkeypatch.setattr("egofeat.store.reading.stamps._RACY", 30 * 10**6)
    return lambda: time.sleep(0.05)


@pytest.fixture(params=FORMATS)
def store(make, tmp_path, request, settle):
    shards = {
        name: dataclasses.replace(
            make.rows([f"{name}{n}" for n in range(3)], seed=n),
            media_stamps=np.full((3, 4), n, np.int64),
        )
        for n, name in enumerate("abc")
    }
    about = {f"{name}1": {"split": "train", "labels": {"verb": 1}, "group": "P1"} for name in "abc"}
    dataset = make.dataset(*shards.values(), classes={"verb": ("cut", "wash")}, **about)
    writer = make.writer(tmp_path, dataset, format=request.param)
    for name, rows in shards.items():
        writer.write_shard(name, rows)
    writer.close()
    settle()
    return writer.path


def test_how_far_a_store_is_takes_no_row_of_the_manifest(store, monkeypatch):
    open_store(store)
    monkeypatch.setattr("egofeat.store.reading.kept._index", pytest.fail)
    assert progress_of(store).holds("b", 3)


@pytest.mark.parametrize("fewest", [1, 64])
@pytest.mark.parametrize("seed", range(4))
def test_of_which_files_segments_were_read_is_told_in_runs(
    make, tmp_path, settle, monkeypatch, fewest, seed
):
    monkeypatch.setattr(index, "FEWEST", fewest)
    rng, shards = np.random.default_rng(seed), {}
    for name, count in zip("abcde", rng.integers(1, 9, 5), strict=True):
        videos = np.sort(rng.integers(0, 4, count))
        stamps = np.repeat(videos[:, np.newaxis] // 2, 4, axis=1)
        rows = make.rows([f"{name}{k}" for k in range(count)])
        rows = dataclasses.replace(rows, videos=[f"v{k}" for k in videos])
        shards[name] = rows if name == "c" else dataclasses.replace(rows, media_stamps=stamps)
    writer = make.writer(tmp_path, make.dataset(*shards.values()))
    for name, rows in shards.items():
        writer.write_shard(name, rows)
    writer.close()
    settle()
    open_store(writer.path)
    for names in ("", "a", "edb", "abcde"):
        held = progress_of(writer.path)
        assert held.sources(names) == {
            (video, tuple(stamp))
            for name in names
            if shards[name].media_stamps is not None
            for video, stamp in zip(
                shards[name].videos, shards[name].media_stamps.tolist(), strict=True
            )
        }
        videos = np.array([v for name in names for v in shards[name].videos], object)
        assert held.are_of(list(names), videos)
        for place in range(len(videos)):
            other = videos.copy()
            other[place] += "0"
            assert not held.are_of(list(names), other)
        assert not held.are_of(list(names), np.append(videos, "v0"))


def said(path):
    """All that a reader sees of a store."""
    store = open_store(path)
    fields = {one.name: getattr(store.table, one.name) for one in dataclasses.fields(store.table)}
    columns = {**fields, "features": [store[id_] for id_ in store.ids]}
    columns |= {"lengths": store.lengths, "clipped": store.clipped, "stamps": store.media_stamps}
    columns |= {"times": store.times, "batch": store.take(store.rows()[::-1])}
    plain = {name: repr(np.asarray(of).tolist()) for name, of in columns.items()}
    (listed,) = list_stores(path)
    progress = progress_of(path)
    return plain, listed.segments, listed.stale, listed.made_with, progress.done, progress.stamps


def without(path):
    """The same, without an index."""
    (path / ".index").unlink(missing_ok=True)
    return said(path)


def test_a_store_is_the_same_from_its_index_and_no_shard_is_opened(store, opened):
    expected = without(store)
    assert (store / ".index").is_file()
    opened.clear()
    found = open_store(store)
    assert found["b1"].tobytes()
    assert found.take(np.arange(9)).shape == (9, 2, 5)
    list_stores(store), progress_of(store)
    assert opened == []
    assert said(store) == expected
    assert verify(store) == []
    check_removable(store)


def test_only_what_is_new_or_changed_is_opened(make, store, opened, settle):
    open_store(store)
    writer = make.writer(store.parents[1], make.dataset(make.rows(["a0"])), format=None)
    writer.write_shard("b", make.rows(["b0", "b7"]))
    writer.write_shard("d", make.rows(["d0"]))
    settle()
    opened.clear()
    assert len(progress_of(store).done) == 3 + 2 + 3 + 1
    assert sorted(opened) == ["b", "d"]
    assert said(store) == without(store)


def test_a_shard_that_is_gone_is_gone(store, opened):
    open_store(store)
    (shard,) = (store / "shards").glob("b.*")
    shard.rename(store.parent / "away")
    opened.clear()
    assert sorted(open_store(store)) == ["a0", "a1", "a2", "c0", "c1", "c2"]
    assert opened == []
    assert said(store) == without(store)


def test_what_made_shards_that_are_gone_is_no_longer_told(make, store, settle):
    dataset = make.dataset(make.rows(["a0"]))
    for name in "cab":
        list_stores(store)
        writer = make.writer(store.parents[1], dataset, format=None, made_with={"egofeat": "1"})
        writer.write_shard(name, make.rows([f"{name}0"]))
        settle()
        told = list_stores(store)[0].remarks, progress_of(store).stamps
        (store / ".index").unlink()
        assert told == (list_stores(store)[0].remarks, progress_of(store).stamps)
    assert told[0] == ()


def test_a_corrected_label_is_read(make, store, opened, settle):
    open_store(store)
    rows = make.rows(["a0", "a1", "a2"])
    classes = {"verb": ("cut", "wash")}
    about = {"a1": {"labels": {"verb": 0}, "split": "validation"}}
    make.writer(store.parents[1], make.dataset(rows, classes=classes, **about), format=None)
    settle()
    opened.clear()
    found = open_store(store)
    assert (found.ids.tolist(), found.labels["verb"].tolist()) == (["a0", "a1", "a2"], [-1, 0, -1])
    assert opened == []
    assert said(store) == without(store)
    assert list_stores(store)[0].stale == 6


def test_a_store_without_its_segments_is_read(store):
    (store / "segments.json").unlink()
    expected = without(store)
    assert said(store) == expected
    assert open_store(store).splits.tolist() == [""] * 9


def test_what_was_changed_just_before_is_not_believed(store, opened, monkeypatch):
    monkeypatch.setattr("egofeat.store.reading.stamps._RACY", 3600 * 10**9)
    open_store(store)
    opened.clear()
    open_store(store)
    assert sorted(opened) == ["a", "b", "c"]


def test_a_change_of_the_same_size_that_keeps_its_time_is_seen(make, store, opened):
    open_store(store)
    (shard,) = (store / "shards").glob("b.*")
    before = shard.stat()
    writer = make.writer(store.parents[1], make.dataset(make.rows(["a0"])), format=None)
    writer.write_shard("b", make.rows(["b0", "b1", "b9"]))
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
    opened.clear()
    assert "b9" in {id_ for id_, _, _ in progress_of(store).done}
    assert opened == ["b"]


def test_a_shard_that_is_copied_over_another_is_seen(make, store, tmp_path, settle):
    open_store(store)
    stamps = np.full((3, 4), 9, np.int64)
    rows = dataclasses.replace(make.rows(["b0", "b1", "b9"], seed=7), media_stamps=stamps)
    shards = {"b": rows}
    form = next(n for n, of in FORMATS.items() if list((store / "shards").glob(f"*{of.suffix}")))
    other = make.store(tmp_path / "other", shards, format=form)
    settle()
    ids = [id_ for id_, _, _ in progress_of(store).done]
    for path in [file for file in other.rglob("shards/**/*") if file.is_file()]:
        (store / path.relative_to(other)).write_bytes(path.read_bytes())  # as `cp -r` does
    settle()
    done = {id_ for id_, _, _ in progress_of(store).done}
    assert done == {*ids, "b9"} - {"b2"}
    assert said(store) == without(store)


def test_a_store_that_cannot_be_written_is_read(store, monkeypatch):
    expected = without(store)
    (store / ".index").unlink()
    whole = Path.open

    def refused(path, mode="r", *rest, **more):
        if "x" in mode:
            raise PermissionError(13, "Permission denied")
        return whole(path, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", refused)
    assert said(store) == expected
    assert not (store / ".index").exists()


def test_a_full_disk_leaves_no_index_and_no_remains(store, monkeypatch):
    open_store(store)
    kept = (store / ".index").read_bytes()
    (shard,) = (store / "shards").glob("b.*")
    shard.rename(shard.with_name(f"e{shard.suffix}"))

    def full(file, *_):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(index, "write_index", full)
    assert "b0" in open_store(store)
    assert (store / ".index").read_bytes() == kept
    assert not list(store.glob(".tmp*"))


def test_a_flipped_bit_is_noticed(store):
    expected = without(store)
    whole = (store / ".index").read_bytes()
    rng = np.random.default_rng(0)
    for bit in rng.integers(0, 8 * len(whole), 60).tolist():
        altered = bytearray(whole)
        altered[bit // 8] ^= 1 << bit % 8
        (store / ".index").write_bytes(altered)
        assert said(store) == expected
    for size in (0, 3, 20, len(whole) // 2):
        (store / ".index").write_bytes(whole[:size])
        assert said(store) == expected


def forged(path, like=(), **changed):
    """Give columns of an index other numbers, with the checksums that they then have.

    `like` names two columns: the first becomes the second.
    """
    start = struct.Struct("<8sQI")
    content = (path / ".index").read_bytes()
    magic, length, _ = start.unpack(content[: start.size])
    text = json.loads(content[start.size : start.size + length])
    begin = -(-(start.size + length) // 64) * 64
    data = bytearray(content[begin:])

    def column(name):
        code, shape, offset, _ = text["columns"][name]
        size = int(np.prod(shape)) * np.dtype(code).itemsize
        return np.frombuffer(bytes(data[offset : offset + size]), code).reshape(shape)

    for name, change in changed.items():
        values = column(name)
        values = values.astype({"i": "<i8", "S": "U"}.get(values.dtype.kind, values.dtype))
        if runs := text["columns"].pop(f"{name}#runs", None):
            text["columns"]["runs"] = runs
            values = np.repeat(values, column("runs"), axis=0)
        change(values)
        entry = [values.dtype.str, list(values.shape), len(data), zlib.crc32(values.tobytes())]
        text["columns"][name] = entry
        data += values.tobytes()
    if like:
        text["columns"][like[0]] = text["columns"][like[1]]
    head = json.dumps(text).encode()
    head = start.pack(magic, len(head), zlib.crc32(head)) + head
    head += bytes(-(-len(head) // 64) * 64 - len(head))
    (path / ".index").write_bytes(head + bytes(data))


def fill(value):
    def change(values):
        values[...] = value

    return change


def first(value):
    def change(values):
        values.flat[0] = value

    return change


BELOW = fill(-7)


def characters(values):
    values.view(np.uint32)[0] = 0x7FFFFFFF


def outside(values):
    values[...] = np.array("../../x", values.dtype)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("shard/count", first(5)),
        ("shard/rows", fill(1000)),
        ("shard/offset/gap", fill(1 << 50)),
        ("shard/offset/gap", BELOW),
        ("segment/length", first(100)),
        ("segment/length", first(-1)),
        ("segment/id", characters),
        ("segment/clipped", lambda values: fill(7)(values.view(np.uint8))),
        ("label/verb", first(9)),
        ("skipped", first(1 << 40)),
        ("order", first(-1)),
        ("shard/made", first(3)),
    ],
)
def test_a_forged_index_is_made_anew_or_refused_in_a_sentence(store, name, change):
    expected = without(store)
    forged(store, **{name: change})
    with contextlib.ExitStack() as stack:
        if name.startswith("shard/offset") and change is not BELOW:  # the file itself is asked
            stack.enter_context(pytest.raises(StoreError, match="is damaged"))
        assert said(store) == expected
    assert verify(store) == []


def test_files_outside_of_a_shard_are_not_read(make, tmp_path, settle):
    path = make.store(tmp_path, {"a": make.rows(["a0"])}, format="zarr")
    settle()
    expected = without(path)
    forged(path, **{"shard/file/gap": outside})
    assert said(path) == expected
    chunk = path / "shards/a.zarr/taps/gap/c/0/0/0"
    other = chunk.rename(tmp_path / "other")
    chunk.symlink_to(other)
    with pytest.raises(StoreError, match="is no plain file"):
        open_store(path)


def test_a_column_is_not_another_one_of_other_bounds(make, store, settle):
    without(store)
    forged(store, like=("shard/made", "shard/count"))
    make.writer(store.parents[1], make.dataset(make.rows(["a0"])), format=None).write_shard(
        "d", make.rows(["d0"])
    )
    settle()
    assert said(store) == without(store)


def test_lengths_whose_sum_runs_over_are_not_believed(make, tmp_path, settle):
    rows = make.flat_rows({str(n): 1 for n in range(4096)}, {"gap": (2048,)})
    path = make.store(tmp_path, {"a": rows}, make.flat_recipe({"gap": (2048,)}))
    settle()
    lengths = open_store(path).lengths.tolist()
    forged(path, **{"segment/length": fill(1 << 40), "shard/rows": fill(1 << 52)})
    assert open_store(path).lengths.tolist() == lengths


def test_a_file_of_a_shard_that_has_grown_is_refused_from_an_index_too(make, tmp_path, settle):
    path = make.store(tmp_path, {"a": make.rows(["a0"])}, format="zarr")
    settle()
    open_store(path)
    with (path / "shards/a.zarr/taps/gap/c/0/0/0").open("ab") as file:
        file.write(bytes(8))
    for _ in range(2):
        with pytest.raises(StoreError, match=r"is damaged .* 28 bytes"):
            open_store(path)
        (path / ".index").unlink(missing_ok=True)


def test_an_index_that_came_with_a_copy_is_not_read_further(store, tmp_path, settle, monkeypatch):
    expected = said(store)
    copy = shutil.copytree(store, tmp_path / "copy" / store.name)
    settle()
    read, whole = [], ColumnFile.column
    monkeypatch.setattr(
        ColumnFile, "column", lambda *a, **more: read.append(a[1]) or whole(*a, **more)
    )
    open_store(copy)
    assert read == ["shard/stamp"]
    assert said(copy) == expected


def test_an_index_that_is_cut_while_a_store_is_open_harms_nobody(store):
    expected = without(store)
    files = len(list(Path("/proc/self/fd").iterdir()))
    opened = open_store(store)
    assert len(list(Path("/proc/self/fd").iterdir())) == files
    os.truncate(store / ".index", 0)
    assert sorted(opened.ids.tolist()) == sorted(opened)
    assert opened.splits.tolist().count("train") == 3
    assert said(store) == expected


def test_an_index_of_very_wide_columns_is_not_kept(make, tmp_path):
    ids = ["x" * 40_000, *map(str, range(30))]
    path = make.store(tmp_path, {"a": make.rows(ids)})
    assert open_store(path).ids.tolist() == ids
    assert [file.name for file in path.glob(".*")] == []


def test_one_thread_writes_an_index_at_a_time(store):
    (store / ".index").unlink(missing_ok=True)
    with index._begun(store) as first:
        expected = said(store)
        assert not (store / ".index").exists()
        assert Path(first.name).exists()
    assert not list(store.glob(".*"))
    assert said(store) == expected
    assert (store / ".index").exists()


def test_a_table_from_an_index_travels_and_is_taken_from_as_any_other(store):
    expected, rows = open_store(store).table, np.array([5, 0])
    table = pickle.loads(pickle.dumps(open_store(store).table))
    assert (len(table), table.ids.tolist()) == (9, expected.ids.tolist())
    assert repr(copy.copy(open_store(store).table)) == repr(expected)
    found = open_store(store).table.take(rows)
    assert (len(found), found.ids.tolist()) == (2, expected.ids[rows].tolist())
    assert found.labels["verb"].tolist() == expected.labels["verb"][rows].tolist()
    assert open_store(store).table.split_by(expected.ids).counts == dict.fromkeys(expected.ids, 1)
    with pytest.raises(AttributeError, match="nothing"):
        _ = table.nothing


@pytest.mark.parametrize("kind", ["flat", "persons"])
def test_windows_and_persons_are_read_from_an_index(make, tmp_path, kind, settle):
    if kind == "flat":
        shards = {n: make.flat_rows({f"{n}1": 4, f"{n}2": 2}) for n in "ab"}
        path = make.store(tmp_path, shards, make.flat_recipe())
    else:
        boxes = Boxes.of([(0.1, 0.2, 0.3, 0.4), (0.2, 0.2, 0.9, 0.9)])
        shards = {n: make.person_rows({f"{n}_1": boxes, f"{n}_2": boxes}) for n in "ab"}
        path = make.store(tmp_path, shards, make.person_recipe())
    settle()

    def seen():
        store = open_store(path)
        spans = [store.spans(id_).tolist() for id_ in store]
        return [store[id_].tolist() for id_ in store], spans, store.lengths.tolist()

    expected = seen()
    assert (path / ".index").exists()
    assert seen() == expected
    forged(path, **{"segment/length": first(5)})
    assert seen() == expected


def test_what_the_recipe_does_not_say_is_refused_from_an_index_too(make, tmp_path, settle):
    rows = make.rows(["a"], {"gap": (3, 5)})
    path = make.misfit(tmp_path, "s", rows, make.recipe())
    settle()
    list_stores(path)
    assert (path / ".index").exists()
    for _ in range(2):
        with pytest.raises(StoreError, match="its tap gap is not float16"):
            open_store(path)


@pytest.mark.parametrize("other", ["P05_6", "Pü_1"])
@pytest.mark.parametrize("kept", [False, True])
def test_the_nearest_id_of_many_is_named_at_once(make, tmp_path, settle, kept, other):
    ids = [*(f"P{n % 37:02}_{n}" for n in range(5000) if n % 37 != 6), other]
    path = make.store(tmp_path, {"s": make.rows(ids)})
    settle()
    store = open_store(path)
    if kept:
        store = open_store(path)
    assert [one in store for one in (ids[0], other, ids[-2])] == [True] * 3
    assert store[other].tobytes() == store.take(np.array([len(ids) - 1])).tobytes()
    for absent in ("P05_5x", "P05_5" + "x" * 100, 5, "P05_é", "P05_?", "", "~"):
        assert absent not in store
    began = time.process_time()
    with pytest.raises(StoreError, match=r"segments and none is 'P05_5x', the nearest is 'P05_5"):
        store["P05_5x"]
    assert time.process_time() - began < 0.5


def test_readers_beside_a_writer_see_whole_shards(make, store):
    expected = open_store(store)["c1"].tobytes()
    found, done = [], threading.Event()

    def read():
        while not done.is_set():
            one = open_store(store)
            found.append((one["c1"].tobytes(), len(one) % 3))

    shards = {name: make.rows([f"{name}{n}" for n in range(3)]) for name in "abcdefg"}
    writer = make.writer(store.parents[1], make.dataset(*shards.values()), format=None)
    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for name in "defg":
        writer.write_shard(name, shards[name])
    done.set()
    for thread in threads:
        thread.join()
    assert set(found) == {(expected, 0)}
    assert said(store) == without(store)
    assert not list(store.glob(".tmp*"))


@pytest.mark.parametrize("kind", ["segments", "flat"])
def test_more_shards_than_may_be_mapped_are_read_file_by_file(make, tmp_path, monkeypatch, kind):
    if kind == "segments":
        shards = {
            name: make.rows([f"{name}{n}" for n in range(4)], seed=ord(name)) for name in "abc"
        }
        path = make.store(tmp_path, shards)
    else:
        shards = {name: make.flat_rows({f"{name}1": 4, f"{name}2": 2}) for name in "abc"}
        path = make.store(tmp_path, shards, make.flat_recipe())
    mapped = open_store(path)
    expected = {id_: mapped[id_].copy() for id_ in mapped}
    monkeypatch.setattr(mapping, "MOST", 2)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    store = open_store(path)
    assert (mapped.mapped, store.mapped) == (True, False)
    for id_ in store:
        np.testing.assert_array_equal(store[id_], expected[id_], strict=True)
        assert not store[id_].flags.writeable
    if kind == "segments":
        rows = np.array([7, 0, 11, 0, 3])
        for dtype in (np.float16, np.float32):
            here, there = (np.empty((5, 2, 5), dtype) for _ in range(2))
            np.testing.assert_array_equal(store.take(rows, here), mapped.take(rows, there))
        store.advise_random(rows)
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors + 1
    (path / "shards/b.h5").write_bytes(b"")
    with pytest.raises(StoreError, match="is damaged"):
        store["b1"]


def test_a_store_is_listed_while_its_files_come_and_go(store, monkeypatch):
    list_stores(store)
    (expected,) = list_stores(store)
    gone = store / "shards/.tmp~gone"
    gone.mkdir()
    whole = os.scandir

    def going(path="."):
        if os.fspath(path) == str(gone):
            gone.rmdir()
        return whole(path)

    monkeypatch.setattr(os, "scandir", going)
    (listed,) = list_stores(store)
    assert not gone.exists()
    assert listed.bytes == expected.bytes

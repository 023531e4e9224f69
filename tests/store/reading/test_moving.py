"""Reading a store while its shards are joined, removed or replaced: no word of damage."""

import dataclasses
import os
import pickle
import time

import numpy as np
import pytest

from egofeat.errors import StoreError
from egofeat.store import FORMATS, open_store, progress_of, verify
from egofeat.store.compacting import compact
from egofeat.store.formats.shard import ShardFormat
from egofeat.store.reading import index, mapping, stamps

PACKED = {"hdf5": "gzip", "zarr": "zstd"}


@pytest.fixture(params=FORMATS)
def form(request):
    return request.param


def made(make, tmp_path, form, compress=None):
    shards = {name: make.rows([f"{name}{n}" for n in range(3)], seed=ord(name)) for name in "abc"}
    return make.store(tmp_path, shards, format=form, compress=compress)


def seen(store):
    return {
        id_: (np.array(store[id_]).tobytes(), store.times[n].tolist()) for n, id_ in rows(store)
    }


def rows(store):
    return list(enumerate(store))


def once(monkeypatch, owner, name, act, after=0):
    """Do something before a call, the one after so many."""
    whole, left = getattr(owner, name), [after]

    def call(*args, **kwargs):
        left[0] -= 1
        if left[0] == -1:
            act()
        return whole(*args, **kwargs)

    monkeypatch.setattr(owner, name, call)


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_store_is_opened_while_it_is_compacted(make, tmp_path, form, indexed, after, monkeypatch):
    monkeypatch.setattr(index, "FEWEST", 1 if indexed else 100)
    path = made(make, tmp_path, form)
    expected = seen(open_store(path))
    (path / ".index").unlink(missing_ok=True)
    once(monkeypatch, ShardFormat, "open", lambda: compact(path), after)
    assert seen(open_store(path)) == expected
    assert [one.name[:8] for one in (path / "shards").iterdir()] == ["0-joined"]
    monkeypatch.undo()
    assert seen(open_store(path)) == expected


def test_a_store_is_mapped_while_it_is_compacted(make, tmp_path, form, monkeypatch):
    path = made(make, tmp_path, form)
    expected = seen(open_store(path))
    once(monkeypatch, mapping.Piece, "opened", lambda: compact(path), 1)
    assert seen(open_store(path)) == expected


@pytest.mark.parametrize("compressed", [False, True])
def test_rows_that_are_read_when_asked_for_are_found_again(
    make, tmp_path, form, compressed, monkeypatch
):
    path = made(make, tmp_path, form, PACKED[form] if compressed else None)
    expected = seen(open_store(path))
    monkeypatch.setattr(mapping, "MOST", 0)
    store = open_store(path)
    assert store["b1"].tobytes() == expected["b1"][0]
    compact(path)
    assert not store.mapped
    assert store["b1"].tobytes() == expected["b1"][0]
    taken = store.take(np.array([7, 0, 3]))
    assert [row.tobytes() for row in taken] == [expected[id_][0] for id_ in ("c1", "a0", "b0")]
    assert seen(store) == expected


def test_a_shard_that_is_written_anew_is_read_from_where_it_now_has_a_row(
    make, tmp_path, form, monkeypatch
):
    monkeypatch.setattr(mapping, "MOST", 0)
    path = made(make, tmp_path, form)
    store = open_store(path)
    expected = store["b1"].tobytes()
    of = make.rows(["b0", "b1", "b2"], seed=ord("b"))
    turned = dataclasses.replace(
        of,
        **{name: getattr(of, name)[::-1] for name in ("ids", "videos", "starts", "stops")},
        **{name: getattr(of, name)[::-1] for name in ("clipped", "times")},
        taps={tap: values[::-1] for tap, values in of.taps.items()},
    )
    writer = make.writer(tmp_path, make.dataset(make.rows(list(store))), format=None)
    writer.write_shard("b", turned)
    assert store["b1"].tobytes() == expected
    assert store["b0"].tobytes() == of.taps["gap"][0].tobytes()


def test_a_segment_that_is_gone_is_told_without_a_word_of_damage(make, tmp_path, form, monkeypatch):
    monkeypatch.setattr(mapping, "MOST", 0)
    path = made(make, tmp_path, form)
    store = open_store(path)
    (shard,) = (path / "shards").glob("b.*")
    shard.rename(tmp_path / "away")
    with pytest.raises(StoreError, match=r"b\.\w+ was removed or replaced while it was read"):
        store["b1"]
    assert store["a1"].tobytes()
    assert sorted(open_store(path)) == ["a0", "a1", "a2", "c0", "c1", "c2"]


def test_shards_that_never_stay_are_told_and_not_tried_for_ever(make, tmp_path, form, monkeypatch):
    path = made(make, tmp_path, form)
    shard = next((path / "shards").glob("b.*"))
    whole, tries = ShardFormat.open, []

    def fleeing(own, where):
        if where.name != shard.name:
            return whole(own, where)
        tries.append(where)
        shard.rename(tmp_path / "away")
        try:
            return whole(own, where)
        finally:
            (tmp_path / "away").rename(shard)

    monkeypatch.setattr(ShardFormat, "open", fleeing)
    with pytest.raises(StoreError, match="was removed or replaced while"):
        open_store(path)
    assert len(tries) <= stamps.TIMES


@pytest.mark.parametrize("lazily", [False, True])
def test_what_is_damaged_is_still_called_so(make, tmp_path, form, lazily, monkeypatch):
    monkeypatch.setattr(mapping, "MOST", 0 if lazily else 100)
    path = made(make, tmp_path, form)
    (shard,) = (path / "shards").glob("b.*")
    for file in [shard] if shard.is_file() else [shard / "zarr.json"]:
        file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(StoreError, match=r"b\.\w+ is damaged .*: delete it"):
        open_store(path)


def test_verify_beside_compact_finds_nothing_damaged(make, tmp_path, form, monkeypatch):
    path = made(make, tmp_path, form)
    once(monkeypatch, ShardFormat, "open", lambda: compact(path), 1)
    assert verify(path) == []


def test_a_listing_that_saw_neither_what_was_joined_nor_of_what_is_made_again(
    make, tmp_path, monkeypatch
):
    path = made(make, tmp_path, "hdf5")
    whole = os.scandir
    left = [1]

    class Entries:
        """As a system may list a folder that changes: names of before that are still there."""

        def __init__(self, folder):
            before = list(whole(folder))
            compact(path)
            self._entries = [entry for entry in before if os.path.lexists(entry.path)]

        def __enter__(self):
            return iter(self._entries)

        def __exit__(self, *_):
            pass

    def scandir(folder="."):
        if os.fspath(folder) != str(path / "shards") or left[0] <= 0:
            return whole(folder)
        left[0] -= 1
        return Entries(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert len(open_store(path)) == 9
    assert left == [0]


def test_whoever_asks_what_is_done_leaves_the_table_in_the_index(make, tmp_path, monkeypatch):
    monkeypatch.setattr(index, "FEWEST", 1)
    monkeypatch.setattr(stamps, "_RACY", 0)
    path = made(make, tmp_path, "hdf5")
    open_store(path)
    dataset = make.dataset(make.rows(["a0"]), make.rows(["d0"]))
    make.writer(tmp_path, dataset, format=None).write_shard("d", make.rows(["d0"]))
    time.sleep(0.05)
    assert len(progress_of(path).done) == 10
    read = []
    monkeypatch.setattr(index, "read_segments", read.append)
    assert sorted(open_store(path)) == ["a0", "d0"]
    assert read == []


def test_rows_do_not_travel_to_a_store_of_other_rows(make, tmp_path):
    path = made(make, tmp_path, "hdf5")
    parcel = pickle.dumps(open_store(path))
    assert pickle.loads(parcel).ids.tolist() == open_store(path).ids.tolist()
    of = [make.rows([f"{name}{n}" for n in range(3)]) for name in "abc"]
    writer = make.writer(tmp_path, make.dataset(*of, make.rows(["A0"])), format=None)
    assert len(pickle.loads(parcel)) == 9
    writer.write_shard("A", make.rows(["A0"]))
    with pytest.raises(StoreError, match="was changed while it was in use and has other rows"):
        pickle.loads(parcel)

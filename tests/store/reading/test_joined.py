"""Stores of one data set joined by segment: which rows, in which order, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egofeat.errors import RequestError, StoreError
from egofeat.store import open_store, open_stores

IDS = tuple("abcdefgh")
OTHER = {"weights": "random:1"}


def segments(make, ids, shift=(), **options):
    """Rows whose times follow from their ids, those in `shift` half a second late."""
    starts = np.array([IDS.index(id_) + 0.5 * (id_ in shift) for id_ in ids], np.float64)
    return replace(make.rows(list(ids), **options), starts=starts, stops=starts + 1)


def two(make, tmp_path, first, second, **annotated):
    """Paths of two stores; `annotated` goes to the second one's data set."""
    written = []
    for name, rows, recipe, about in (
        ("one", first, make.recipe(), {}),
        ("two", second, make.recipe(**OTHER), annotated),
    ):
        writer = make.writer(tmp_path / name, make.dataset(rows, **about), recipe)
        writer.write_shard("shard", rows)
        writer.close()
        written.append(writer.path)
    return written


@settings(max_examples=12, deadline=None)
@given(
    first=st.lists(st.sampled_from(IDS), min_size=1, unique=True),
    second=st.lists(st.sampled_from(IDS), min_size=1, unique=True),
)
def test_a_row_is_the_same_segment_in_every_part(make, tmp_path_factory, first, second):
    folder = tmp_path_factory.mktemp("joined")
    paths = two(make, folder, segments(make, first, seed=1), segments(make, second, seed=2))
    common = [id_ for id_ in first if id_ in second]
    if not common:
        with pytest.raises(RequestError, match="no segment is in all of"):
            open_stores(paths)
        return
    joined = open_stores(paths)
    assert joined.ids.tolist() == common
    assert len(joined) == len(common)
    assert joined.left_out == (len(first) - len(common), len(second) - len(common))
    for part, path in zip(joined.parts, paths, strict=True):
        alone = open_store(path)
        rows = joined.rows()[::-1].copy()
        part.advise_random(rows)
        assert np.array_equal(part.take(rows), [alone[joined.ids[row]] for row in rows])
        wide = part.take(rows, out=np.empty((len(rows), 2, 5), np.float32))
        assert np.array_equal(wide, part.take(rows).astype(np.float32))
        assert part.nbytes == 20 * len(common)


def test_other_times_make_another_segment(make, tmp_path):
    paths = two(make, tmp_path, segments(make, "abc"), segments(make, "abc", shift="b"))
    joined = open_stores(paths)
    assert joined.ids.tolist() == ["a", "c"]
    assert joined.left_out == (1, 1)


def test_labels_and_splits_are_those_of_the_rows(make, tmp_path):
    about = {
        "classes": {"verb": ("take", "put")},
        "b": {"labels": {"verb": 1}, "split": "train", "group": "P1"},
        "c": {"split": "val"},
    }
    written = []
    for name, ids, recipe in (("one", "abc", make.recipe()), ("two", "cb", make.recipe(**OTHER))):
        rows = segments(make, ids)
        known = {key: value for key, value in about.items() if key == "classes" or key in ids}
        writer = make.writer(tmp_path / name, make.dataset(rows, **known), recipe)
        writer.write_shard("shard", rows)
        writer.close()
        written.append(writer.path)
    joined = open_stores(written)
    assert joined.ids.tolist() == ["b", "c"]
    assert joined.labels["verb"].tolist() == [1, -1]
    assert joined.splits.tolist() == ["train", "val"]
    assert joined.groups.tolist() == ["P1", ""]
    assert joined.rows("val").tolist() == [1]
    assert joined.classes == {"verb": ("take", "put")}


def test_a_tap_for_all_or_one_a_store(make, tmp_path):
    rows = make.rows(["a", "b"], {"gap": (2, 5), "map": (2, 3, 4, 4)})
    paths = [
        make.store(tmp_path / name, {"shard": rows}, make.recipe(rows_taps(rows), **fields))
        for name, fields in (("one", {}), ("two", OTHER))
    ]
    shapes = [part.row_shape for part in open_stores(paths, ["gap"]).parts]
    assert shapes == [(2, 5), (2, 5)]
    mixed = open_stores(paths, ["gap", "map"])
    assert [part.row_shape for part in mixed.parts] == [(2, 5), (2, 3, 4, 4)]
    assert [store.name.split(":")[1] for store in mixed.stores] == ["gap", "map"]
    assert len({store.name for store in mixed.stores}) == 2
    two_taps = open_stores([paths[0], paths[0]], ["gap", "map"])
    assert np.array_equal(two_taps.parts[1].take(np.array([1])), rows.taps["map"][[1]])
    with pytest.raises(RequestError, match="several taps, name one"):
        open_stores(paths)
    with pytest.raises(RequestError, match="3 taps are named for 2 stores"):
        open_stores(paths, ["gap", "map", "gap"])
    with pytest.raises(RequestError, match=r"tap gap .* named twice: name it once"):
        open_stores([paths[0], paths[0]], ["gap"])


def rows_taps(rows):
    return {tap: values.shape[1:] for tap, values in rows.taps.items()}


@pytest.mark.parametrize(
    ("annotated", "kind", "says"),
    [
        ({"name": "yours"}, RequestError, "of data set mine and .* of yours: join stores of one"),
        ({"classes": {"verb": ("take",)}}, StoreError, "disagree on the classes .* one manifest"),
        ({"tail": {"verb": frozenset({0})}}, StoreError, "disagree on the tail classes"),
        ({"unseen": frozenset({"P2"})}, StoreError, "disagree on the unseen groups"),
        ({"a": {"split": "val"}}, StoreError, "disagree on the splits"),
        ({"a": {"group": "P1"}}, StoreError, "disagree on the groups"),
    ],
)
def test_stores_that_tell_of_other_things_are_refused(make, tmp_path, annotated, kind, says):
    paths = two(make, tmp_path, segments(make, "ab"), segments(make, "ab"), **annotated)
    with pytest.raises(kind, match=says):
        open_stores(paths)


def test_labels_that_were_corrected_in_one_store_alone_are_refused(make, tmp_path):
    classes = {"verb": ("take", "put")}
    rows = segments(make, "ab")
    for name, recipe, label in (("one", make.recipe(), 0), ("two", make.recipe(**OTHER), 1)):
        dataset = make.dataset(rows, classes=classes, b={"labels": {"verb": label}})
        writer = make.writer(tmp_path / name, dataset, recipe)
        writer.write_shard("shard", rows)
        writer.close()
    with pytest.raises(StoreError, match=r"disagree on the labels .*egofeat extract"):
        open_stores([tmp_path / "one", tmp_path / "two"])

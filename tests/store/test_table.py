"""A table of rows: its columns, what is picked of it, and what stands in several."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from egofeat.segments import Dataset, Segment
from egofeat.store.table import Table, intersect


def table(ids, *, late=(), **columns):
    segments = tuple(
        Segment(id_, f"video_{place % 2}", at, at + 1, **columns.get(id_, {}))
        for place, id_ in enumerate(ids)
        for at in [ord(id_) + (id_ in late)]
    )
    classes = {"verb": ("take", "put")}
    return Table.of_dataset(
        Dataset("mine", {}, segments, classes, published={"2": ("x",) * len(ids)})
    )


ABOUT = {
    "a": {"split": "train", "labels": {"verb": 1}, "group": "P1"},
    "b": {"split": "val"},
    "c": {"split": "train", "labels": {"verb": 0}},
}


def test_rows_are_found_by_split_and_by_id():
    whole = table("abc", **ABOUT)
    assert whole.rows("train").tolist() == [0, 2]
    assert whole.rows().tolist() == [0, 1, 2]
    assert whole.counts == {"train": 2, "val": 1}
    assert whole.of(["c", "gone", "a"]).tolist() == [2, -1, 0]
    assert whole.labels["verb"].tolist() == [1, -1, 0]
    assert whole.sessions.tolist() == ["P1", "video_1", "video_0"]
    assert repr(whole) == "Table(mine: 3 rows; splits 2 train, 1 val; labels verb (3,))"


@pytest.mark.parametrize("rows", [[2, 0], np.array([True, False, True])])
def test_what_is_picked_keeps_its_columns_together(rows):
    picked = table("abc", **ABOUT).take(rows)
    for id_, split, label in zip(picked.ids, picked.splits, picked.labels["verb"], strict=True):
        assert (split, label) == ("train", {"a": 1, "c": 0}[id_])
    assert len(picked) == len(picked.starts) == len(picked.published["2"]) == 2


def test_other_splits_are_another_table():
    whole = table("ab")
    other = whole.split_by(np.array(["val", "train"]))
    assert other.rows("val").tolist() == [0]
    assert whole.counts == {"": 2}
    with pytest.raises(FrozenInstanceError):
        whole.splits = other.splits


def test_what_stands_in_all_comes_in_the_order_of_the_first():
    tables = [table("abcd"), table("dcxa", late="c"), table("adb")]
    rows = intersect(tables)
    assert [one.tolist() for one in rows] == [[0, 3], [3, 0], [0, 1]]
    assert [one.take(of).ids.tolist() for one, of in zip(tables, rows, strict=True)] == [
        ["a", "d"]
    ] * 3
    assert [len(of) for of in intersect([table("a"), table("b")])] == [0, 0]


def test_a_million_rows_are_arrays():
    count = 1_000_000
    text, seconds = np.full(count, "P01_01_1234"), np.zeros(count)
    whole = Table(
        dataset="large", ids=text, videos=text, starts=seconds, stops=seconds, splits=text,
        groups=text, labels={"verb": np.zeros(count, np.int64)},
    )  # fmt: skip
    picked = whole.take(whole.rows("P01_01_1234"))
    columns = [*vars(picked).values(), *picked.labels.values()]
    sizes = [column.nbytes for column in columns if isinstance(column, np.ndarray)]
    assert (len(picked), len(sizes)) == (count, 7)
    assert sum(sizes) < 210 * count

"""Flat stores: dense windows, as many rows a segment as its video is long."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from egofeat.errors import RequestError, StoreError
from egofeat.segments import Dataset
from egofeat.store import (
    FORMATS,
    Failure,
    PersonStore,
    SegmentStore,
    list_stores,
    open_store,
    progress_of,
    verify,
)

KINDS = [(name, None) for name in FORMATS] + [
    (name, compress) for name, form in FORMATS.items() for compress in form.compressors
]
FEW = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

ids = st.lists(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
    min_size=1,
    max_size=6,
    unique=True,
)


def length_lists(names):
    """Rows of each of these segments."""
    return st.lists(st.integers(1, 7), min_size=len(names), max_size=len(names)).map(
        lambda lengths: dict(zip(names, lengths, strict=True))
    )


@pytest.mark.parametrize(("form", "compress"), KINDS)
@FEW
@given(lengths=ids.flatmap(length_lists), cut=st.integers(0, 6), data=st.data())
def test_segments_come_back_as_the_offsets_cut_them(
    make, tmp_path_factory, form, compress, lengths, cut, data
):
    taps = {"gap": (5,), "map": (2, 3, 1, 2)}
    parts = [dict(list(lengths.items())[:cut]), dict(list(lengths.items())[cut:])]
    shards = {f"{n}": make.flat_rows(part, taps, seed=n) for n, part in enumerate(parts) if part}
    path = make.store(
        tmp_path_factory.mktemp("s"), shards, make.flat_recipe(taps), format=form, compress=compress
    )
    assert verify(path) == []
    tap = data.draw(st.sampled_from(sorted(taps)))
    store = open_store(path, tap)
    assert (store.flat, store.mapped) == (True, compress is None)
    assert (store.row_shape, len(store)) == (taps[tap], len(lengths))
    assert dict(zip(store.ids.tolist(), store.lengths.tolist(), strict=True)) == lengths
    assert store.nbytes == sum(rows.taps[tap].nbytes for rows in shards.values())
    for rows in shards.values():
        for number, id_ in enumerate(rows.ids):
            stretch = slice(rows.offsets[number], rows.offsets[number + 1])
            np.testing.assert_array_equal(store[id_], rows.taps[tap][stretch])
            np.testing.assert_array_equal(store.spans(id_), rows.times[stretch])
            assert not store[id_].flags.writeable
    together = np.concatenate([rows.times for rows in shards.values()])
    np.testing.assert_array_equal(store.times, together)


@FEW
@given(lengths=ids.flatmap(length_lists), data=st.data())
@pytest.mark.parametrize("form", FORMATS)
def test_an_altered_row_is_told_by_its_segment(make, tmp_path_factory, form, lengths, data):
    rows = make.flat_rows(lengths)
    path = make.store(tmp_path_factory.mktemp("s"), {"v": rows}, make.flat_recipe(), format=form)
    place = FORMATS[form].open(path / "shards" / f"v{FORMATS[form].suffix}").taps["gap"].place
    row = data.draw(st.integers(0, sum(lengths.values()) - 1))
    content = bytearray(place.file.read_bytes())
    content[place.offset + 10 * row + data.draw(st.integers(0, 9))] ^= 1
    place.file.write_bytes(content)
    (problem,) = verify(path)
    segment = int(np.searchsorted(rows.offsets, row, side="right")) - 1
    assert problem.id == rows.ids[segment]
    assert "gap was altered" in problem.message


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("offsets", "told"),
    [
        ([0, 2, 2], "do not rise from 0"),
        ([1, 2, 5], "do not rise from 0"),
        ([0, 6, 5], "do not rise from 0"),
        ([0, 2, 4], r"gap is \(5, 5\), and it has 4 rows"),
        ([0, 2, 99], r"gap is \(5, 5\), and it has 99 rows"),
        ([0, 2, 1 << 40], r"gap is \(5, 5\), and it has 1099511627776 rows"),
        ([0, 5], r"offsets is \(2,\), not \(3,\)"),
        (None, r"gap is \(5, 5\), and it has 2 rows"),
    ],
)
def test_offsets_that_do_not_fit_are_damage(make, tmp_path, form, offsets, told):
    rows = make.flat_rows({"a": 2, "b": 3})
    wrong = replace(rows, offsets=None if offsets is None else np.array(offsets))
    path = make.misfit(tmp_path, "v", wrong, make.flat_recipe(), form)
    with pytest.raises(StoreError, match=f"is damaged .*{told}.*delete it and run"):
        open_store(path)
    shards = {problem.shard for problem in verify(path)}
    assert shards == {f"v{FORMATS[form].suffix}"}


def test_times_must_be_one_a_row(make, tmp_path):
    rows = make.flat_rows({"a": 2, "b": 3})
    short = replace(rows, times=rows.times[:-1])
    path = make.misfit(tmp_path, "v", short, make.flat_recipe())
    (problem,) = verify(path)
    assert "its times is (4, 3), and it has 5 rows" in problem.message
    with pytest.raises(StoreError, match="and it has 5 rows"):
        _ = open_store(path).times


def test_a_segment_is_a_view_of_the_mapped_file(make, tmp_path):
    store = open_store(make.store(tmp_path, {"v": make.flat_rows({"a": 3})}, make.flat_recipe()))
    first, again = store["a"], store["a"]
    assert first.__array_interface__["data"] == again.__array_interface__["data"]
    assert first.base is not None
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(store))["a"], first)
    assert repr(store).endswith("gap: 1 segment, 3 × (5,) float16)")


def test_flat_rows_are_not_gathered_and_fixed_rows_have_no_spans(make, tmp_path):
    flat = open_store(make.store(tmp_path, {"v": make.flat_rows({"a": 3})}, make.flat_recipe()))
    for name in ("take", "advise_random", "gaze_points", "as_dataset"):
        with pytest.raises(RequestError, match="heads of segments need a store of segment clips"):
            getattr(flat, name)
        assert not hasattr(flat, name)
    fixed = open_store(make.store(tmp_path / "fixed", {"s": make.rows(["a", "b"])}))
    assert (fixed.flat, fixed.lengths.tolist()) == (False, [1, 1])
    with pytest.raises(RequestError, match="not windows over whole videos"):
        fixed.spans("a")
    assert fixed.of_kind(SegmentStore) is fixed
    with pytest.raises(RequestError, match=r"holds segments, no persons.*`egofeat roi`"):
        fixed.of_kind(PersonStore)
    with pytest.raises(StoreError, match="has 1 segments and none is 'b'"):
        flat.spans("b")


def test_stale_and_duplicate_segments_are_passed_over_whole(make, tmp_path):
    first = make.flat_rows({"a": 2, "gone": 4, "b": 1})
    second = make.flat_rows({"a": 3}, seed=1)
    path = make.store(tmp_path, {"1": first, "2": second}, make.flat_recipe())
    kept = make.dataset(first).segments
    make.writer(tmp_path, Dataset("mine", {}, (kept[0], kept[2]), {}), make.flat_recipe())
    store = open_store(path)
    assert (store.ids.tolist(), store.lengths.tolist()) == (["a", "b"], [2, 1])
    np.testing.assert_array_equal(store["b"], first.taps["gap"][6:])
    np.testing.assert_array_equal(store.times, first.times[[0, 1, 6]])
    assert {(one.shard, one.id) for one in verify(path)} == {("2.h5", "a"), ("1.h5", "gone")}
    (summary,) = list_stores(path)
    assert (summary.segments, summary.rows, summary.stale) == (2, 3, 1)


def test_an_empty_flat_store_opens(make, tmp_path):
    path = make.store(tmp_path, {}, make.flat_recipe())
    store = open_store(path)
    assert (len(store), store.nbytes, store.times.shape) == (0, 0, (0, 3))
    assert list_stores(path)[0].rows == 0


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_windows_make_the_same_bytes(make, tmp_path, form):
    rows = make.flat_rows({"a": 2, "b": 3})
    paths = [
        make.store(tmp_path / out, {"v": rows}, make.flat_recipe(), format=form) for out in "12"
    ]
    files = [
        {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}
        for path in paths
    ]
    assert files[0] == files[1]


def test_plain_libraries_read_the_offsets(make, tmp_path):
    h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")
    rows = make.flat_rows({"a": 2, "b": 3})
    path = make.store(tmp_path / "1", {"v": rows}, make.flat_recipe())
    with h5py.File(path / "shards/v.h5") as shard:
        assert shard["offsets"][:].tolist() == [0, 2, 5]
        assert shard["offsets"].dtype == "<i8"
        assert shard["crc32/gap"].shape == (5,)
        assert shard["times"].shape == (5, 3)
    path = make.store(tmp_path / "2", {"v": rows}, make.flat_recipe(), format="zarr")
    assert zarr.open_group(path / "shards/v.zarr", mode="r")["offsets"][:].tolist() == [0, 2, 5]


def test_lost_windows_stay_told_beside_those_that_are_kept_until_the_video_is_made_anew(
    make, tmp_path
):
    dataset = make.dataset(make.flat_rows({"a": 5, "b": 2}))

    def lose(writer, first, last):
        writer.record_failures([Failure("a", "a", first, last, "damaged", windows=2)])

    def told(writer):
        return [(one.id, one.start, one.windows) for one in writer.failures()]

    first = make.writer(tmp_path, dataset, make.flat_recipe())
    lose(first, 1.0, 3.0)
    assert told(first) == []  # the video is not done: all of it is tried again
    first.write_shard("s", make.flat_rows({"a": 3, "b": 2}))
    first.close()
    assert told(first) == [("a", 1.0, 2)]
    assert progress_of(first.path).failures == first.failures()
    again = make.writer(tmp_path, dataset, make.flat_recipe(), worker="2of2")
    again.clear_failures({("a", 0.0, np.inf)})
    assert told(again) == [("a", 1.0, 2)]
    lose(again, 4.0, 5.0)
    again.write_shard("s", make.flat_rows({"a": 4}))
    again.close()
    assert told(again) == [("a", 4.0, 2)]
    whole = make.writer(tmp_path, dataset, make.flat_recipe())
    whole.write_shard("s", make.flat_rows({"a": 5}))
    whole.close()
    assert told(whole) == []

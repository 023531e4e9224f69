"""What every shard format must do: one suite, run on each format and compression."""

import math
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from egofeat.errors import RequestError, StoreError
from egofeat.store import FORMATS, ShardRows, StoreWriter, open_store, verify

KINDS = [(name, None) for name in FORMATS] + [
    (name, compress) for name, form in FORMATS.items() for compress in form.compressors
]
UNCOMPRESSED = [kind for kind in KINDS if kind[1] is None]
SLOW = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
finite = {"allow_nan": False, "allow_infinity": False}


@st.composite
def shard_lists(draw):
    dtype = draw(st.sampled_from(["float16", "float32"]))
    shapes = (
        st.tuples(st.integers(1, 3), st.integers(1, 5))
        | st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2))
        | st.just((2, 2, 3, 1, 2))
    )
    taps = draw(st.dictionaries(st.sampled_from(["gap", "map", "block12"]), shapes, min_size=1))
    ids = draw(st.lists(texts, min_size=1, max_size=6, unique=True))
    cut = draw(st.integers(0, len(ids) - 1))
    shards = {}
    for name, part in (("a", ids[:cut]), ("b.c é", ids[cut:])):
        if part:
            count = len(part)
            starts = draw(nps.arrays(np.float64, count, elements=st.floats(0, 1e5)))
            lengths = draw(nps.arrays(np.float64, count, elements=st.floats(0.1, math.inf)))
            shards[name] = ShardRows(
                ids=part,
                videos=[draw(texts) for _ in part],
                starts=starts,
                stops=starts + lengths,
                clipped=draw(nps.arrays(np.bool_, count)),
                times=draw(nps.arrays(np.float64, (count, 3), elements=st.floats(0, 1e5))),
                taps={
                    tap: draw(nps.arrays(dtype, (count, *shape), elements={**finite}))
                    for tap, shape in taps.items()
                },
            )
    return taps, dtype, shards


@pytest.mark.parametrize(("form", "compress"), KINDS)
@SLOW
@given(made=shard_lists(), seed=st.integers(0, 99))
def test_what_is_written_is_read(make, tmp_path_factory, form, compress, made, seed):
    taps, dtype, shards = made
    recipe = make.recipe(taps, dtype)
    path = make.store(tmp_path_factory.mktemp("s"), shards, recipe, format=form, compress=compress)
    parts = list(shards.values())
    for tap, row_shape in recipe.taps.items():
        store = open_store(path, tap)
        expected = np.concatenate([rows.taps[tap] for rows in parts])
        assert store.mapped == (compress is None)
        assert store.ids.tolist() == [id_ for rows in parts for id_ in rows.ids]
        assert store.videos.tolist() == [video for rows in parts for video in rows.videos]
        for name in ("starts", "stops", "clipped", "times"):
            column = np.concatenate([getattr(rows, name) for rows in parts])
            np.testing.assert_array_equal(getattr(store, name), column)
        assert (store.dtype, store.row_shape) == (expected.dtype, row_shape)
        for id_, row in zip(store.ids, expected, strict=True):
            np.testing.assert_array_equal(store[id_], row)
            assert not store[id_].flags.writeable
        numbers = np.random.default_rng(seed).integers(0, len(store), 9)
        taken = store.take(numbers)
        assert taken.dtype == store.dtype
        np.testing.assert_array_equal(taken, np.stack([store[store.ids[n]] for n in numbers]))
        wide = np.empty((9, *row_shape), np.float32)
        assert store.take(numbers, wide) is wide
        np.testing.assert_array_equal(wide, taken.astype(np.float32))
    assert verify(path) == []


@pytest.mark.parametrize(("form", "compress"), UNCOMPRESSED)
@SLOW
@given(made=shard_lists(), data=st.data())
def test_verify_finds_any_flipped_bit_of_a_feature(
    make, tmp_path_factory, form, compress, made, data
):
    taps, dtype, shards = made
    recipe = make.recipe(taps, dtype)
    path = make.store(tmp_path_factory.mktemp("s"), shards, recipe, format=form)
    tap = data.draw(st.sampled_from(sorted(recipe.taps)))
    name = data.draw(st.sampled_from(sorted(shards)))
    row = data.draw(st.integers(0, len(shards[name].ids) - 1))
    place = FORMATS[form].open(path / "shards" / f"{name}{FORMATS[form].suffix}").taps[tap].place
    size = shards[name].taps[tap][0].nbytes
    byte = place.offset + row * size + data.draw(st.integers(0, size - 1))
    content = bytearray(place.file.read_bytes())
    content[byte] ^= 1 << data.draw(st.integers(0, 7))
    place.file.write_bytes(content)
    (problem,) = verify(path)
    assert problem.shard.startswith(name)
    assert problem.id == shards[name].ids[row]
    assert tap in problem.message


@pytest.mark.parametrize("form", FORMATS)
def test_verify_finds_altered_compressed_features(make, tmp_path, form):
    taps = {"gap": (4, 64)}
    path = make.store(
        tmp_path, {"a": make.rows(["x"], taps)}, make.recipe(taps), format=form,
        compress=FORMATS[form].compressors[0],
    )  # fmt: skip
    (shard,) = (path / "shards").iterdir()
    file = shard if shard.is_file() else shard / "taps/gap/c/0/0/0"
    content = bytearray(file.read_bytes())
    start = 0 if shard.is_dir() else content.index(b"\x78\x5e")  # zlib's header
    content[start + 60] ^= 1
    file.write_bytes(content)
    (problem,) = verify(path)
    assert "damaged" in problem.message or "altered" in problem.message


@pytest.mark.parametrize(("form", "compress"), KINDS)
def test_the_same_rows_make_the_same_bytes(make, tmp_path, form, compress):
    taps = {"gap": (2, 5), "map": (2, 3, 2, 2)}
    rows = make.rows(["b", "a"], taps)
    contents = []
    for out in ("1", "2"):
        time.sleep(1.1 * len(contents))  # a date in a file would be another second's
        path = make.store(
            tmp_path / out, {"s": rows}, make.recipe(taps), format=form, compress=compress
        )
        contents.append(
            {
                file.relative_to(path): file.read_bytes()
                for file in sorted(path.rglob("*"))
                if file.is_file()
            }
        )
    assert contents[0] == contents[1]


@pytest.mark.parametrize("form", FORMATS)
def test_zeros_are_stored_and_mapped(make, tmp_path, form):
    taps = {"gap": (2, 5)}
    rows = make.rows(["a"], taps)
    rows.taps["gap"][:] = 0
    path = make.store(tmp_path, {"s": rows}, make.recipe(taps), format=form)
    store = open_store(path)
    assert store.mapped
    assert not store["a"].any()
    assert verify(path) == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_shard_is_replaced_whole_and_old_views_stay(make, tmp_path, form):
    taps = {"gap": (2, 5)}
    old, new = make.rows(["a"], taps), make.rows(["a"], taps, seed=1)
    path = make.store(tmp_path, {"s": old}, make.recipe(taps), format=form)
    view = open_store(path)["a"]
    make.store(tmp_path, {"s": new}, make.recipe(taps), format=form)
    np.testing.assert_array_equal(open_store(path)["a"], new.taps["gap"][0])
    np.testing.assert_array_equal(view, old.taps["gap"][0])
    assert len(list((path / "shards").iterdir())) == 1


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("harm", ["truncate", "empty", "array", "feature file"])
def test_a_damaged_shard_is_named_with_the_mend(make, tmp_path, form, harm):
    taps = {"gap": (2, 500)}
    shards = {"a": make.rows(["x"], taps), "b": make.rows(["y"], taps)}
    path = make.store(tmp_path, shards, make.recipe(taps), format=form)
    shard = path / "shards" / f"b{FORMATS[form].suffix}"
    main = shard if shard.is_file() else shard / "zarr.json"
    feature = shard if shard.is_file() else shard / "taps/gap/c/0/0/0"
    if harm == "truncate":
        feature.write_bytes(feature.read_bytes()[:-100])
    elif harm == "empty":
        main.write_bytes(b"")
    elif harm == "array" and form == "hdf5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(shard, "a") as file:
            del file["taps/gap"]
    elif harm == "array":
        (shard / "taps/gap/zarr.json").unlink()
    else:
        feature.unlink()
        feature.mkdir()
    with pytest.raises(StoreError, match=r"shard .*b\..* is damaged .*delete it and run"):
        open_store(path)
    assert {problem.shard for problem in verify(path)} == {shard.name}


def test_hdf5_and_zarr_hold_the_same_and_plain_libraries_read_them(make, tmp_path):
    h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")
    taps = {"gap": (2, 5)}
    rows = make.rows(["é", "b"], taps)
    paths = {
        form: make.store(tmp_path / form, {"s": rows}, make.recipe(taps), format=form)
        for form in FORMATS
    }
    with h5py.File(paths["hdf5"] / "shards/s.h5") as file:
        assert file["ids"].asstr()[:].tolist() == rows.ids
        np.testing.assert_array_equal(file["taps/gap"][:], rows.taps["gap"])
        from_hdf5 = {name: file[name][()] for name in ("start", "stop", "times", "crc32/gap")}
    group = zarr.open_group(paths["zarr"] / "shards/s.zarr", mode="r")
    assert group.attrs["ids"] == rows.ids
    np.testing.assert_array_equal(group["taps/gap"][:], rows.taps["gap"])
    for name, values in from_hdf5.items():
        np.testing.assert_array_equal(group[name][:], values)
    raw = np.memmap(paths["zarr"] / "shards/s.zarr/taps/gap/c/0/0/0", "<f2", "r", shape=(2, 2, 5))
    np.testing.assert_array_equal(raw, rows.taps["gap"])


def test_arrays_that_are_not_plain_are_read_through_the_library(make, tmp_path):
    h5py = pytest.importorskip("h5py")
    taps = {"gap": (2, 5)}
    rows = make.rows(["a", "b"], taps)
    path = make.store(tmp_path, {"s": rows}, make.recipe(taps))
    with h5py.File(path / "shards/s.h5", "a") as file:
        values = file["taps/gap"][()]
        del file["taps/gap"]
        file.create_dataset("taps/gap", data=values, chunks=(1, 2, 5))
    store = open_store(path)
    assert not store.mapped
    np.testing.assert_array_equal(store.take(np.array([1, 0])), values[::-1])
    store.advise_random(np.array([0]))


@pytest.mark.parametrize(
    ("form", "compress", "message"),
    [
        ("hdf5", "zstd", "choose gzip or lzf, or the format zarr"),
        (None, "zstd", "choose gzip or lzf, or the format zarr"),
        ("zarr", "lzf", "choose zstd, or the format hdf5"),
        ("zarr", "brotli", "choose zstd$"),
        ("npz", None, "choose hdf5 or zarr"),
    ],
)
def test_a_choice_that_there_is_not_leaves_nothing_behind(make, tmp_path, form, compress, message):
    recipe = make.recipe({"gap": (2, 5)})
    with pytest.raises(RequestError, match=message):
        StoreWriter.open(
            tmp_path, make.dataset(), recipe, format=form, compress=compress, made_with={}
        )
    assert list(tmp_path.iterdir()) == []


def test_values_survive_their_store(make, tmp_path):
    taps = {"gap": (2, 5)}
    rows = make.rows(["a"], taps)
    path: Path = make.store(tmp_path, {"s": rows}, make.recipe(taps))
    view = open_store(path)["a"]
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.flags.writeable = True
    np.testing.assert_array_equal(view, rows.taps["gap"][0])

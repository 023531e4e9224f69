"""Everything that a shard says has a checksum: what is altered is told, or means nothing."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from egofeat.boxes import Boxes
from egofeat.errors import StoreError
from egofeat.store import FORMATS, open_store, verify
from egofeat.store.description import Description
from egofeat.store.reading.index import shards_of

STAMPS = np.array([[1 << 40, 1_700_000_000_123_456_789, -1, -1], [-1, -1, 1, 29_970_000]])


def _rows(make):
    boxes = {"v_1": Boxes.of([(0.1, 0.2, 0.3, 0.4)]), "w_2": Boxes.of([(0.5, 0.5, 1.0, 1.0)] * 2)}
    rows = make.person_rows(boxes)
    rows.clipped[1] = True
    return dataclasses.replace(rows, media_stamps=STAMPS)


def _store(make, folder, form, compress=None):
    options = {"format": form, "compress": compress, "made_with": {"egofeat": "0", "device": "é"}}
    return make.store(folder, {"s": _rows(make)}, make.person_recipe(), **options)


def _shards(path, form):
    return [FORMATS[form].open(one) for one in sorted((path / "shards").iterdir())]


def _everything(path, form):
    """All that a reader of the store can see."""
    store = open_store(path)
    (shard,) = _shards(path, form)
    columns = (store.videos, store.starts, store.stops, store.clipped, store.times)
    columns += (store.boxes, store.scores, store.lengths, store.media_stamps)
    seen = [store.ids.tolist(), dict(shard.made_with), store.row_shape, str(store.dtype)]
    return seen + [column.tolist() for column in (*columns, *(store[id_] for id_ in store.ids))]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("compress", [True, False])
def test_an_altered_bit_is_told_or_means_nothing(make, tmp_path_factory, form, compress):
    path = _store(
        make, tmp_path_factory.mktemp("s"), form, FORMATS[form].compressors[0] if compress else None
    )
    assert verify(path) == []
    before = _everything(path, form)
    files = sorted(file for file in (path / "shards").rglob("*") if file.is_file())
    bits = [(file, bit) for file in files for bit in range(8 * file.stat().st_size)]

    @settings(
        max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(st.integers(0, len(bits) - 1))
    def flip(number):
        file, bit = bits[number]
        content = file.read_bytes()
        altered = bytearray(content)
        altered[bit // 8] ^= 1 << bit % 8
        file.write_bytes(altered)
        try:
            if not verify(path):
                assert _everything(path, form) == before
        finally:
            file.write_bytes(content)

    flip()


@pytest.mark.parametrize("form", FORMATS)
def test_verify_tells_whatever_a_reader_refuses_for_a_checksum(make, tmp_path, form):
    path = _store(make, tmp_path, form)
    (shard,) = _shards(path, form)
    file = shard.path if form == "hdf5" else shard.path / "zarr.json"
    content = file.read_bytes()
    for name, value in shard.checksums.items():
        written = f"{value}".encode()
        assert content.count(written) == 1
        file.write_bytes(content.replace(written, written[:-1] + b"%d" % ((value + 1) % 10)))
        (problem,) = verify(path)
        assert f"its {name} were altered" in problem.message
    file.write_bytes(content)


@pytest.mark.parametrize("form", FORMATS)
def test_a_reader_refuses_a_column_that_was_altered(make, tmp_path, form):
    path = _store(make, tmp_path, form)
    (shard,) = _shards(path, form)
    if form == "hdf5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(shard.path, "a") as file:
            file["times"][0, 0] += 1
    else:
        file = shard.path / "times/c/0/0"
        file.write_bytes(np.float64(7).tobytes() + file.read_bytes()[8:])
    with pytest.raises(StoreError, match="its times were altered after they were written"):
        _ = open_store(path).times
    (problem,) = verify(path)
    assert "its times were altered" in problem.message


@pytest.mark.parametrize("form", FORMATS)
def test_a_shard_says_what_made_it_and_of_which_media(make, tmp_path, form):
    path = _store(make, tmp_path, form)
    other = make.person_rows({"x_3": Boxes.of([(0.1, 0.2, 0.3, 0.4)])})
    writer = make.writer(
        tmp_path,
        make.dataset(_rows(make), other),
        make.person_recipe(),
        made_with={"egofeat": "9"},
        worker="2of2",
    )
    assert open_store(path).media_stamps.tolist() == STAMPS.tolist()
    writer.write_shard("t", other)
    first, second = _shards(path, form)
    assert first.media_stamps.tolist() == STAMPS.tolist()
    assert second.media_stamps is None
    assert open_store(path).media_stamps is None
    host = first.made_with["host"]
    told = ({"egofeat": "0", "device": "é", "host": host}, {"egofeat": "9", "host": host})
    assert shards_of(path, Description.read(path)).makers == told


@pytest.mark.parametrize("form", FORMATS)
def test_shards_from_before_there_were_checksums_are_read_and_told(make, tmp_path, form):
    path = make.store(tmp_path, {"s": make.rows("ab"), "t": make.rows("cd")}, format=form)
    expected = open_store(path).take(np.arange(2))
    shard, _ = sorted((path / "shards").iterdir())
    if form == "hdf5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(shard, "a") as file:
            del file.attrs["checksums"], file.attrs["made_with"]
    else:
        said = json.loads((shard / "zarr.json").read_text())
        del said["attributes"]["checksums"], said["attributes"]["made_with"]
        (shard / "zarr.json").write_text(json.dumps(said))
    store = open_store(path)
    np.testing.assert_array_equal(store.take(np.arange(2)), expected)
    assert store.times.shape == (4, 2)
    assert [one.get("egofeat") for one in shards_of(path, Description.read(path)).makers] == ["0"]
    assert not _shards(path, form)[0].made_with
    (problem,) = verify(path)
    assert (problem.shard, problem.id) == ("", None)
    assert "1 of 2 shards have no checksums of their times" in problem.message

"""Shards that somebody made to harm: refused in a sentence, before memory is taken or mapped."""

import json
import os
import re
import resource
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest

from egofeat.errors import StoreError
from egofeat.store import list_stores, open_store, verify

h5py = pytest.importorskip("h5py")
HUGE = 1 << 40


@pytest.fixture(autouse=True)
def _little_memory():
    """A gigabyte more than there is now: nothing here needs a thousandth of it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (1 << 30), hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def read(path):
    store = open_store(path)
    return store.take(store.rows()), store.times


def refused(path, reason, *, by_reader=True):
    """`verify` says so, and so do readers; but checksums of features `verify` alone reads."""
    *_, problem = verify(path)
    assert problem.shard.startswith("s.") or "have no checksums" in problem.message
    assert any(re.search(reason, one.message) for one in verify(path))
    assert list_stores(path)
    if by_reader:
        with pytest.raises(StoreError, match=reason) as caught:
            read(path)
        assert len(str(caught.value)) < 1000


def strip(file):
    """As a shard would be without checksums, which who crafts it can leave out."""
    del file.attrs["checksums"]


def hdf5(make, tmp_path):
    path = make.store(tmp_path, {"s": make.rows("abc")})
    return path, path / "shards" / "s.h5"


@pytest.mark.parametrize("array", ["taps/gap", "ids", "times", "crc32/gap"])
def test_arrays_of_other_files_are_refused(make, tmp_path, array):
    path, shard = hdf5(make, tmp_path)
    other = tmp_path / "other.h5"
    shutil.copy(shard, other)
    raw = tmp_path / "raw"
    raw.write_bytes(bytes(4000))
    whole = shard.read_bytes()
    with h5py.File(shard) as file:
        shape, dtype = file[array].shape, file[array].dtype

    def external_link(file):
        file[array] = h5py.ExternalLink(str(other), f"/{array}")

    def soft_link(file):
        file["elsewhere"] = np.zeros(shape, dtype)
        file[array] = h5py.SoftLink("/elsewhere")

    def external_bytes(file):
        file.create_dataset(array, shape, dtype, external=[(str(raw), 0, 4000)])

    def virtual(file):
        layout = h5py.VirtualLayout(shape, dtype)
        layout[...] = h5py.VirtualSource(str(other), array, shape)
        file.create_virtual_dataset(array, layout)

    for craft in (external_link, soft_link, external_bytes, virtual):
        shard.write_bytes(whole)
        with h5py.File(shard, "a") as file:
            strip(file)
            del file[array]
            craft(file)
        refused(path, "is a link|in another file", by_reader=array != "crc32/gap")


def test_a_group_of_another_file_is_refused(make, tmp_path):
    path, shard = hdf5(make, tmp_path)
    shutil.copy(shard, tmp_path / "other.h5")
    with h5py.File(shard, "a") as file:
        strip(file)
        del file["taps"]
        file["taps"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/taps")
    refused(path, "is a link")


@pytest.mark.parametrize("array", ["taps/gap", "ids", "videos", "start", "times", "crc32/gap"])
@pytest.mark.parametrize("options", [{"chunks": True}, {}, {"chunks": True, "compression": "gzip"}])
@pytest.mark.parametrize("length", [3_000_000_000, HUGE])
def test_lengths_that_the_file_cannot_hold_are_refused(make, tmp_path, array, options, length):
    path, shard = hdf5(make, tmp_path)
    with h5py.File(shard, "a") as file:
        strip(file)
        shape, dtype = file[array].shape, file[array].dtype
        del file[array]
        file.create_dataset(array, (length, *shape[1:]), dtype, **options)
    refused(path, "in the file|beyond the end", by_reader=array != "crc32/gap")


def test_a_file_that_ends_before_its_array_is_refused_before_it_is_mapped(make, tmp_path):
    taps = {"gap": (40, 1000)}
    path = make.store(tmp_path, {"s": make.rows("abc", taps)}, make.recipe(taps))
    shard = path / "shards" / "s.h5"
    store = open_store(path)
    os.truncate(shard, 100_000)
    refused(path, "damaged")
    assert len(store) == 3  # what is mapped already is not looked at again


def test_columns_of_other_lengths_are_refused(make, tmp_path):
    path, shard = hdf5(make, tmp_path)
    whole = shard.read_bytes()
    for column, values in {
        "videos": np.array([b"v"] * 2),
        "start": np.zeros(4),
        "stop": np.zeros((3, 1)),
        "clipped": np.zeros(2, bool),
        "times": np.zeros((2, 2)),
        "crc32/gap": np.zeros(5, "<u4"),
        "media_stamps": np.zeros((3, 3), "<i8"),
    }.items():
        shard.write_bytes(whole)
        with h5py.File(shard, "a") as file:
            strip(file)
            if column in file:
                del file[column]
            file[column] = values
        refused(path, f"its {column} is", by_reader=column != "crc32/gap")


@pytest.mark.parametrize("form", ["hdf5", "zarr"])
def test_what_is_no_plain_file_is_refused_without_waiting(make, tmp_path, monkeypatch, form):
    path = make.store(tmp_path, {"s": make.rows("abc")}, format=form)
    (shard,) = (path / "shards").iterdir()
    files = [shard] if form == "hdf5" else sorted(f for f in shard.rglob("*") if f.is_file())

    # What says that a folder is a group is for others: egofeat does not read it.
    files = [f for f in files if f.name != "zarr.json" or f.parent.name not in ("taps", "crc32")]

    def device(file):
        file.symlink_to("/dev/zero")

    def listening(file):
        monkeypatch.chdir(file.parent)
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(file.name)

    for file in files:
        kept = file.read_bytes()
        for craft in (os.mkfifo, os.mkdir, device, listening):
            file.unlink()
            craft(file)
            refused(path, "is no plain file|is a link", by_reader="crc32" not in str(file))
            file.rmdir() if file.is_dir() else file.unlink()
            file.write_bytes(kept)
    assert verify(path) == []


def test_links_out_of_a_store_are_refused(make, tmp_path):
    for form, inside in (
        ("hdf5", ""),
        ("zarr", ""),
        ("zarr", "taps/gap/c/0/0/0"),
        ("zarr", "taps/gap/c"),
        ("zarr", "taps/gap"),
        ("zarr", "taps"),
        ("zarr", "start"),
        ("zarr", "zarr.json"),
    ):
        path = make.store(tmp_path / "in", {"s": make.rows("abc")}, format=form)
        (shard,) = (path / "shards").iterdir()
        file = shard / inside
        file.rename(tmp_path / "out")
        file.symlink_to(tmp_path / "out")
        refused(path, "is no plain file|is a link, or no folder|Not a directory")
        shutil.rmtree(tmp_path / "in")
        out = tmp_path / "out"
        shutil.rmtree(out) if out.is_dir() else out.unlink()


@pytest.mark.parametrize("compress", [None, "zstd"])
def test_zarr_metadata_that_lies_is_refused(make, tmp_path, compress):
    path = make.store(tmp_path, {"s": make.rows("abc")}, format="zarr", compress=compress)
    for array in ("taps/gap", "start"):
        file = path / "shards" / "s.zarr" / array / "zarr.json"
        whole = json.loads(file.read_text())
        chunks = whole["chunk_grid"]["configuration"]["chunk_shape"]
        for shape in ([HUGE, *chunks[1:]], [-1, *chunks[1:]], ["3", *chunks[1:]], [3.5], [], None):
            lied = json.loads(json.dumps(whole))
            lied["shape"] = lied["chunk_grid"]["configuration"]["chunk_shape"] = shape
            file.write_text(json.dumps(lied))
            refused(path, "damaged")
        file.write_text(json.dumps(whole | {"shape": [HUGE, *chunks[1:]]}))
        refused(path, "damaged")
        file.write_text("[" * 100_000)
        refused(path, "damaged")
        file.write_text(json.dumps(whole))
    attributes = path / "shards" / "s.zarr" / "zarr.json"
    whole = json.loads(attributes.read_text())
    for name, value in {
        "ids": [1, 2, 3],
        "videos": "abc",
        "checksums": [],
        "made_with": {"egofeat": "1"},
    }.items():
        said = whole["attributes"] | {name: value}
        attributes.write_text(json.dumps(whole | {"attributes": said}))
        refused(path, "damaged")
    attributes.write_text(json.dumps(whole))
    assert verify(path) == []

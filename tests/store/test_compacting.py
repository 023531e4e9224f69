"""Joining small shards: the same segments and the same bits, whenever it is killed."""

import contextlib
import dataclasses
import errno
import fcntl
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from egofeat.boxes import Boxes
from egofeat.errors import RequestError, StoreError
from egofeat.store import FORMATS, StoreWriter, compacting, open_store, progress_of, verify
from egofeat.store.compacting import compact
from egofeat.store.formats import sharing


def seen(path):
    """All that a reader has of each segment."""
    store, progress = open_store(path), progress_of(path)
    return (
        {
            id_: (store[id_].tobytes(), store.videos[n], store.starts[n], store.clipped[n])
            for n, id_ in enumerate(store)
        },
        progress.done,
        progress.stamps,
    )


def made(make, tmp_path, form="hdf5", compress=None, kind="segments"):
    if kind == "segments":
        shards = {
            name: dataclasses.replace(
                make.rows([f"{name}{n}" for n in range(3)], seed=ord(name)),
                media_stamps=np.full((3, 4), n, np.int64),
            )
            for n, name in enumerate("abcxyz")
        }
        recipe = make.recipe()
    elif kind == "flat":
        shards = {n: make.flat_rows({f"{n}1": 4, f"{n}2": 2}, seed=ord(n)) for n in "abxy"}
        recipe = make.flat_recipe()
    else:
        boxes = Boxes.of([(0.1, 0.2, 0.3, 0.4), (0.2, 0.2, 0.9, 0.9)])
        shards = {n: make.person_rows({f"{n}_1": boxes, f"{n}_2": boxes}) for n in "abxy"}
        recipe = make.person_recipe()
    return make.store(tmp_path, shards, recipe, format=form, compress=compress)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", ["segments", "flat", "persons"])
def test_small_shards_become_one_with_the_same_bits(make, tmp_path, form, kind):
    path = made(make, tmp_path, form, kind=kind)
    before, count = seen(path), len(list((path / "shards").iterdir()))
    assert compact(path) == (count, 1)
    assert seen(path) == before
    assert verify(path) == []
    assert compact(path) == (1, 1)


@pytest.mark.parametrize("form", FORMATS)
def test_compressed_shards_stay_compressed(make, tmp_path, form):
    path = made(make, tmp_path, form, FORMATS[form].compressors[0])
    before = seen(path)
    assert compact(path) == (6, 1)
    assert seen(path) == before
    assert not open_store(path).mapped
    assert verify(path) == []


def test_a_joined_shard_is_no_larger_than_it_may_be(make, tmp_path, monkeypatch):
    path = made(make, tmp_path)
    before = seen(path)
    monkeypatch.setattr(compacting, "TARGET", 7 * 2 * 5 * 2)  # seven rows
    assert compact(path) == (6, 3)
    assert seen(path) == before
    assert compact(path) == (3, 3)


def test_the_first_of_two_rows_stays(make, tmp_path):
    path = made(make, tmp_path)
    writer = make.writer(
        tmp_path, make.dataset(*[make.rows([f"{n}0", f"{n}1", f"{n}2"]) for n in "abcxyz"])
    )
    writer.write_shard("zz", make.rows(["a0"], seed=9))
    before = seen(path)
    assert compact(path)[0] == 7
    assert seen(path) == before
    assert verify(path) == []


def test_what_was_made_otherwise_stays_apart(make, tmp_path):
    path = made(make, tmp_path)
    dataset = make.dataset(*[make.rows([f"{n}0", f"{n}1", f"{n}2"]) for n in "abcxyzw"])
    make.writer(tmp_path, dataset, made_with={"egofeat": "1"}).write_shard("w", make.rows(["w0"]))
    before = seen(path)
    assert compact(path) == (7, 2)
    assert seen(path) == before


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("rows", [18, 7])
def test_killed_at_any_moment_nothing_is_lost_or_doubled(make, tmp_path, form, rows, monkeypatch):
    monkeypatch.setattr(compacting, "TARGET", rows * 2 * 5 * 2)
    calls = ("rename", "replace", "unlink", "rmdir", "fsync")
    whole = {name: getattr(os, name) for name in calls}
    left = [0]

    class KilledError(BaseException):
        """Nothing that follows is done."""

    def counted(name):
        def call(*args, **kwargs):
            left[0] -= 1
            if left[0] < 0:
                raise KilledError
            return whole[name](*args, **kwargs)

        return call

    for name in calls:
        monkeypatch.setattr(os, name, counted(name))
    left[0] = 1 << 30
    small = made(make, tmp_path / "small", form)
    path = Path(shutil.copytree(small, tmp_path / "whole"))
    before = seen(path)
    start = left[0]
    compact(path)
    steps = start - left[0]
    assert steps > 10
    for step in range(0, steps, 1 if form == "hdf5" else 29):
        left[0] = 1 << 30
        path = Path(shutil.copytree(small, tmp_path / str(step)))
        left[0] = step
        with pytest.raises(KilledError):
            compact(path)
        left[0] = 1 << 30
        assert seen(path) == before
        assert compact(path)[1] == {18: 1, 7: 3}[rows]
        assert seen(path) == before
        assert verify(path) == []


def test_a_damaged_shard_is_not_given_new_checksums(make, tmp_path):
    path = made(make, tmp_path)
    shard = path / "shards/b.h5"
    content = shard.read_bytes()
    feature = open_store(path)["b1"].tobytes()
    shard.write_bytes(content.replace(feature, bytes(len(feature))))
    with pytest.raises(StoreError, match=r"b\.h5 is damaged \(its gap was altered"):
        compact(path)
    assert len(list((path / "shards").iterdir())) == 6


def test_one_process_compacts_at_a_time(make, tmp_path):
    path = made(make, tmp_path)
    descriptor = os.open(path / "shards", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(RequestError, match="is being compacted"):
        compact(path)
    os.close(descriptor)
    assert compact(path) == (6, 1)


@pytest.mark.parametrize("refusal", [errno.EBADF, errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_does(make, tmp_path, refusal, monkeypatch):
    path = made(make, tmp_path)
    before = seen(path)

    def refused(*_):
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr(fcntl, "flock", refused)
    assert compact(path) == (6, 1)
    assert seen(path) == before


def test_a_store_that_was_only_begun_has_nothing_to_join(make, tmp_path):
    path = make.writer(tmp_path, make.dataset(make.rows(["a"]))).path
    assert compact(path) == (0, 0)
    with contextlib.suppress(FileNotFoundError):
        (path / "shards").rmdir()
    assert compact(path) == (0, 0)


def test_a_disk_that_refuses_is_told_in_a_sentence(make, tmp_path, monkeypatch):
    path = made(make, tmp_path)

    def failing(folder):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(compacting, "sync", failing)
    with pytest.raises(StoreError, match="cannot be written"):
        compact(path)


# One process imports NumPy and HDF5 once, and forks a fresh one for every attempt.
KILLED = """
import os, random, shutil, signal, sys, time
from pathlib import Path
import h5py, zarr
from egofeat.store import compacting
compacting.TARGET = 7 * 2 * 5 * 2
whole, kills = Path(sys.argv[1]), int(sys.argv[2])
random.seed(int(sys.argv[3]))

def start(path):
    child = os.fork()
    if not child:
        compacting.compact(path)
        os._exit(0)
    return child

def copied(name):
    return Path(shutil.copytree(whole, whole.parent / name))

began = time.monotonic()
assert os.waitpid(start(copied("timed")), 0)[1] == 0
seconds = time.monotonic() - began
killed = 0
for number in range(kills):
    path = copied(f"killed{number}")
    for _ in range(random.randint(1, 3)):
        child = start(path)
        time.sleep(random.uniform(0, seconds))
        os.kill(child, signal.SIGKILL)
        killed += os.waitpid(child, 0)[1] != 0
print(killed)
"""


@pytest.mark.parametrize("form", FORMATS)
def test_killed_in_earnest_and_given_again_it_ends_with_the_same_rows(
    make, tmp_path, form, monkeypatch
):
    monkeypatch.setattr(compacting, "TARGET", 7 * 2 * 5 * 2)
    path = made(make, tmp_path, form)
    before, kills = seen(path), int(os.environ.get("EGOFEAT_KILLS", "8"))
    words = [sys.executable, "-c", KILLED, str(path), str(kills), str(random.randrange(1 << 30))]
    run = subprocess.run(words, check=False, capture_output=True, text=True)
    assert run.returncode == 0, f"{words[-1]}: {run.stderr}"
    assert int(run.stdout) > 0
    for number in range(kills):
        killed = path.with_name(f"killed{number}")
        assert seen(killed) == before
        assert compact(killed)[1] == 3
        assert seen(killed) == before
        assert verify(killed) == []


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_published_is_told_while_it_is_joined(make, tmp_path, form, monkeypatch):
    """A worker asks of a unit that it begins what of it others have made."""
    shards = {name: make.rows([f"{name}{n}" for n in range(3)]) for name in ("00000-a", "00001-b")}
    path = make.store(tmp_path, shards, make.recipe(), format=form)
    writer, opened = StoreWriter.join(path, {}, "1of1"), type(FORMATS[form]).open
    before = writer.published(0)

    def slowly(self, shard):
        with monkeypatch.context() as once:
            once.setattr(type(FORMATS[form]), "open", opened)
            compact(path)
        return opened(self, shard)

    monkeypatch.setattr(type(FORMATS[form]), "open", slowly)
    assert before <= writer.published(0)
    assert len(before) == 3


def test_a_shard_that_is_joined_while_it_is_shared_is_no_disk_that_refuses(
    make, tmp_path, monkeypatch
):
    path = made(make, tmp_path / "from")

    def link(source, target):
        Path(source).unlink()
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(sharing.os, "link", link)
    with pytest.raises(StoreError, match="was removed or replaced while it was read"):
        sharing.share_shards(path, tmp_path / "to", lambda key: True)

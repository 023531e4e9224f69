"""A write that fails, at once or where a library swallows it, publishes nothing and can go on."""

import errno
import os
import pickle
import subprocess
import sys

import pytest

from egofeat.errors import StoreError
from egofeat.store import FORMATS, open_store, verify
from egofeat.store.files import exchange, publish, remove, temporary_path
from egofeat.store.formats import publishing

KINDS = [(name, None) for name in FORMATS] + [
    (name, compress) for name, form in FORMATS.items() for compress in form.compressors
]
CALLS = [("hdf5", call) for call in ("pwrite", "ftruncate", "fsync", "close", "replace")]
CALLS += [("zarr", call) for call in ("fsync", "replace")]

_LIMITED = """
import pickle, resource, sys
from egofeat.errors import StoreError
from egofeat.store import StoreWriter
out, dataset, recipe, form, compress, rows, limits = pickle.loads(sys.stdin.buffer.read())
writer = StoreWriter.open(
    out, dataset, recipe, format=form, compress=compress, made_with={"egofeat": "0"}
)
for limit in limits:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        writer.write_shard("s", rows)
    except StoreError as error:
        print(error)
    print([path.name for path in (writer.path / "shards").iterdir()])
"""


def contents(path):
    return {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize(("form", "compress"), KINDS)
def test_a_file_that_may_not_grow_is_one_sentence_and_is_written_later(
    make, tmp_path, form, compress
):
    taps = {"gap": (4, 400)}
    rows, recipe = make.rows("abcd", taps), make.recipe(taps)
    limits = [1, 60, 700, 2200, 5000]
    given = (tmp_path, make.dataset(rows), recipe, form, compress, rows, [*limits, -1])
    run = subprocess.run(
        [sys.executable, "-c", _LIMITED],
        input=pickle.dumps(given),
        capture_output=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, b"")
    shard = f"s{FORMATS[form].suffix}"
    path = tmp_path / "mine" / recipe.store_name
    told = (
        f"{path / 'shards' / shard} cannot be written (File too large): correct that and give the"
    )
    lines = run.stdout.decode().splitlines()
    refused = (len(lines) - 1) // 2
    assert refused >= 3
    for sentence, found in zip(lines[0:-1:2], lines[1:-1:2], strict=True):
        assert sentence.startswith(told)
        assert found == "[]"
    undisturbed = make.store(tmp_path / "2", {"s": rows}, recipe, format=form, compress=compress)
    assert contents(path) == contents(undisturbed)


@pytest.mark.parametrize(("form", "call"), CALLS)
def test_no_failing_call_publishes_anything(make, tmp_path, monkeypatch, form, call):
    rows = make.rows("abc")
    undisturbed = make.store(tmp_path / "good", {"s": rows}, format=form)
    made = make.writer(tmp_path, make.dataset(rows), format=form)
    real, count, wanted = getattr(os, call), 0, 0

    def failing(*args, **options):
        nonlocal count
        count += 1
        if count == wanted:
            if call == "close":
                real(*args)
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return real(*args, **options)

    told = []
    for wanted in range(1, 99):
        count = 0
        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing)
            try:
                path = made.write_shard("s", rows)
            except StoreError as error:
                told.append(str(error))
            else:
                if count >= wanted:  # the names of the folder may be synchronised in vain
                    continue
                break
        if (made.path / "shards" / f"s{FORMATS[form].suffix}").exists():
            assert call in ("fsync", "close")  # of the folder, after it was published whole
            assert verify(made.path) == []
    assert path.exists()
    assert all(f"s{FORMATS[form].suffix} cannot be written (Disk quota" in one for one in told)
    assert told
    assert contents(made.path) == contents(undisturbed)


@pytest.mark.parametrize(("form", "compress"), KINDS)
def test_bytes_that_are_not_those_that_were_written_are_not_published(
    make, tmp_path, monkeypatch, form, compress
):
    rows = make.rows("abc", {"gap": (2, 50)})
    recipe = make.recipe({"gap": (2, 50)})
    made = make.writer(tmp_path, make.dataset(rows), recipe, format=form, compress=compress)
    whole = publishing.sync_tree
    zeroed = 0

    def lossy(temporary):
        nonlocal zeroed
        files = sorted(file for file in [temporary, *temporary.rglob("*")] if file.is_file())
        sizes = [file.stat().st_size for file in files]
        place, zeroed = zeroed, zeroed + 300
        for file, size in zip(files, sizes, strict=True):
            if 0 <= place < size:
                content = bytearray(file.read_bytes())
                content[place : place + 60] = bytes(len(content[place : place + 60]))
                file.write_bytes(content)
            place -= size
        whole(temporary)

    monkeypatch.setattr(publishing, "sync_tree", lossy)
    told = []
    for _ in range(15):
        try:
            path = made.write_shard("s", rows)
        except StoreError as error:
            told.append(str(error))
        else:  # what was zeroed has no meaning
            assert verify(made.path) == []
            store = open_store(made.path)
            assert (store.take(store.rows()) == rows.taps["gap"]).all()
            remove(path)
        assert list((made.path / "shards").iterdir()) == []
    assert len(told) > 4
    assert all("cannot be written (it is not read back as it was written" in one for one in told)


@pytest.mark.parametrize("can", [True, False])
def test_a_folder_takes_the_place_of_another_that_is_not_empty(tmp_path, monkeypatch, can):
    if not can:
        monkeypatch.setattr("egofeat.store.files.exchange", lambda *_: False)
    target = tmp_path / "s.zarr"
    for content in ("first", "second", "third"):
        temporary = temporary_path(target, "1of1")
        temporary.mkdir()
        (temporary / "zarr.json").write_text(content)
        publish(temporary, target, "1of1")
        assert (target / "zarr.json").read_text() == content
        assert list(tmp_path.iterdir()) == [target]


def test_a_shard_that_is_published_again_is_never_absent(make, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    if not exchange(one, other):
        pytest.skip("this file system cannot exchange two names")
    code = """
import pickle, sys
from egofeat.store import StoreWriter
out, dataset, recipe, rows, worker = pickle.loads(sys.stdin.buffer.read())
writer = StoreWriter.open(out, dataset, recipe, made_with={}, worker=worker)
for _ in range(8):
    writer.write_shard("s", rows)
"""
    rows = make.rows("ab")
    path = make.store(tmp_path / "f", {"s": rows}, format="zarr")
    runs = []
    for worker in ("1of1", "1of1"):  # one part, started twice
        run = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
        given = (tmp_path / "f", make.dataset(rows), make.recipe(), rows, worker)
        run.stdin.write(pickle.dumps(given))
        run.stdin.close()
        runs.append(run)
    looked = 0
    while any(run.poll() is None for run in runs):
        assert (path / "shards" / "s.zarr").is_dir()
        looked += 1
    assert [run.wait() for run in runs] == [0, 0]
    assert looked > 10
    assert verify(path) == []

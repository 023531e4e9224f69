import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from egofeat.cli import app
from egofeat.errors import RequestError, StoreError
from egofeat.pipelines.extraction.prune import prune
from egofeat.store import list_stores, open_store, supersede, verify


@pytest.fixture
def make_store(labelled_store):
    def make(out="features", weights="random:0"):
        return labelled_store(
            ["train", "val"], {"verb": [0, 1]}, {"verb": ("a", "b")}, out=out, weights=weights
        )

    return make


def test_without_yes_it_only_says_what_would_go(make_store):
    store = make_store()
    size = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    report = prune([store], superseded=False, yes=False)
    assert [(one.path, one.bytes) for one in report.stores] == [(str(store), size)]
    assert (report.removed, report.leftovers) == (False, [])
    assert report.lines()[-1].endswith("would be removed: add `yes` to remove them")
    assert verify(store) == []


def test_a_named_store_goes_and_nothing_else(make_store):
    store, other = make_store(), make_store(weights="random:1")
    report = prune([store, store.parent / "." / store.name], superseded=False, yes=True)
    assert len(report.stores) == 1
    assert report.lines()[-1].endswith(" removed")
    assert list(other.parent.iterdir()) == [other]
    assert len(open_store(other)) == 2


def test_superseded_stores_go_and_the_newest_stays(make_store, tmp_path):
    aside = [supersede(make_store()) for _ in range(2)]
    store = make_store()
    out = tmp_path / "features"
    report = prune([], superseded=True, out=out, yes=True)
    assert [one.path for one in report.stores] == [str(path) for path in aside]
    assert [one.path for one in list_stores(out)] == [store]
    again = prune([], superseded=True, out=out, yes=True)
    assert again.lines() == ["there is nothing to remove"]


def test_what_is_no_store_is_refused_and_nothing_is_removed(make_store, tmp_path):
    store = make_store()
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "mine.txt").write_text("mine")
    for folder in (notes, tmp_path / "nowhere"):
        with pytest.raises(RequestError, match="is not a feature store"):
            prune([store, folder], superseded=False, yes=True)
    (tmp_path / "link").symlink_to(store)
    with pytest.raises(RequestError, match="is a link"):
        prune([tmp_path / "link"], superseded=False, yes=True)
    with pytest.raises(RequestError, match="no store is named"):
        prune([], superseded=False, yes=True)
    with pytest.raises(RequestError, match="there is no folder"):
        prune([], superseded=True, out=tmp_path / "nowhere", yes=True)
    assert (notes / "mine.txt").read_text() == "mine"
    assert len(open_store(store)) == 2


@pytest.mark.parametrize("foreign", ["notes.txt", "shards/notes.txt"])
def test_a_store_with_somebody_elses_files_is_refused(make_store, foreign):
    store = make_store()
    (store / foreign).write_text("mine")
    with pytest.raises(RequestError, match=f"holds {foreign}, which is not a store's: move it"):
        prune([store], superseded=False, yes=True)
    (store / foreign).unlink()
    (store / foreign).symlink_to("/")
    with pytest.raises(RequestError, match="not a store's"):
        prune([store], superseded=False, yes=True)


def test_a_damaged_description_is_left_to_a_person(make_store):
    store = make_store()
    (store / "store.json").write_text("{}")
    with pytest.raises(StoreError, match="damaged"):
        prune([store], superseded=False, yes=True)
    assert store.exists()


def test_a_killed_prune_leaves_no_store_and_the_next_one_finishes(make_store, tmp_path):
    old = supersede(make_store())
    store = make_store()
    out = tmp_path / "features"
    code = f"""
import os, shutil
from pathlib import Path
from egofeat.pipelines.extraction.prune import prune
def killed(path):
    (path / "segments.json").unlink()
    os._exit(9)
shutil.rmtree = killed
prune([Path({str(old)!r})], superseded=False, yes=True)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    (left,) = out.glob("toy/.tmp~prune~*")
    assert [one.path for one in list_stores(out)] == [store]
    assert open_store(out).path == store
    asked = prune([], superseded=True, out=out, yes=False)
    assert [one.path for one in asked.leftovers] == [str(left)]
    assert "interrupted" in asked.lines()[0]
    assert left.exists()
    prune([], superseded=True, out=out, yes=True)
    assert not left.exists()
    assert len(open_store(store)) == 2


def test_the_command_asks_first(make_store, tmp_path):
    store = make_store()
    asked = CliRunner().invoke(app, ["prune", str(store), "--json"])
    assert json.loads(asked.stdout)["removed"] is False
    assert store.exists()
    done = CliRunner().invoke(app, ["prune", str(store), "--yes"])
    assert done.stdout.startswith(f"{store}, ")
    assert not store.exists()

"""A store whose folder stands and says nothing yet: whoever began it was killed, or is at it."""

from dataclasses import replace
from pathlib import Path

import pytest

from egofeat.errors import RequestError
from egofeat.pipelines.extraction import extract, made_with, refresh
from egofeat.pipelines.extraction.job import plan_job
from egofeat.pipelines.extraction.options import ExtractConfig, ReextractConfig
from egofeat.pipelines.extraction.prune import prune
from egofeat.store import is_superseded, open_store, verify
from egofeat.store.description import Description
from egofeat.store.files import temporary_path

SMALL = ExtractConfig(weights="random", frames=3, size=32, device="cpu", workers=1)
ON_CPU = ReextractConfig(device="cpu", workers=1)


@pytest.fixture
def project(encoder, tmp_path, monkeypatch):
    """A folder with a manifest of two clips in two classes, worked in."""
    for name in ("brighter", "darker"):
        folder = tmp_path / "clips/train" / name
        folder.mkdir(parents=True)
        encoder(folder / f"{name}.mp4", frames=10)
    (tmp_path / "data_manifest.yaml").write_text(
        "version: 1\ndatasets:\n  mine: {format: folder, media: clips}\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def empty(store: Path) -> None:
    store.mkdir(parents=True)


def with_shards(store: Path) -> None:
    (store / "shards").mkdir(parents=True)


def half_written(store: Path) -> None:
    with_shards(store)
    temporary_path(store / "store.json", "1of1").write_text('{"schema"')


SHELLS = pytest.mark.parametrize("leave", [empty, with_shards, half_written])


@SHELLS
def test_an_extraction_that_was_killed_at_once_begins_anew(project, leave):
    job = plan_job(SMALL)
    leave(job.store)
    assert extract.forecast_jobs([job], SMALL).stores[0].to_extract == 2
    (report,) = extract.run_jobs([job], SMALL).stores
    assert (report.extracted, report.failed) == (2, 0)
    assert verify(Path(report.store)) == []


@SHELLS
def test_a_refresh_that_was_killed_at_once_begins_anew(project, leave, monkeypatch):
    old = Path(extract.run(SMALL).store)
    for module in (made_with, refresh):
        monkeypatch.setattr(module, "decoder_version", lambda name: f"{name} 99")
    (stale,) = refresh.stale_stores("mine", ON_CPU)
    leave(stale.job.store)
    (stale,) = refresh.stale_stores("mine", ON_CPU)
    (report,) = refresh.refresh([stale], ON_CPU).stores
    assert (Path(report.store), report.extracted) == (old, 2)
    assert len([path for path in old.parent.iterdir() if is_superseded(path)]) == 1


@SHELLS
def test_a_refresh_takes_the_place_that_a_killed_extraction_kept(project, leave):
    old = Path(extract.run(replace(SMALL, weights="random:1")).store)
    job = plan_job(SMALL)
    leave(job.store)
    stale = refresh.Stale(
        paths=(old,),
        target=job.store,
        job=replace(job, storage=replace(job.storage, out=job.storage.out / ".refresh")),
        changes=("weights",),
    )
    (report,) = refresh.refresh([stale], ON_CPU).stores
    assert Path(report.store) == job.store
    assert len(open_store(job.store)) == 2


@SHELLS
def test_what_never_began_can_be_removed(project, leave):
    store = plan_job(SMALL).store
    leave(store)
    assert [Path(one.path) for one in prune([store], superseded=False, yes=True).stores] == [store]
    assert not store.exists()


def test_a_folder_that_is_no_stores_is_not_removed(project):
    for name in ("notes", "net-0123abcd"):
        (project / name).mkdir()
    (project / "net-0123abcd/mine.txt").write_text("mine")
    for name in ("notes", "net-0123abcd"):
        with pytest.raises(RequestError, match="is not a feature store"):
            prune([project / name], superseded=False, yes=True)


@pytest.mark.parametrize(
    ("first", "then", "words"),
    [
        ({"compress": "gzip"}, {"compress": "none"}, "begun with `compress` gzip, not none"),
        ({}, {"compress": "gzip"}, "begun with `compress` none, not gzip"),
        ({"compress": "none"}, {"compress": "lzf"}, "begun with `compress` none, not lzf"),
        ({"format": "zarr"}, {"format": "hdf5"}, "begun with `format` zarr, not hdf5"),
    ],
)
@pytest.mark.parametrize("ask", [extract.run, extract.forecast], ids=["run", "dry-run"])
def test_another_packing_than_the_stores_is_refused(project, first, then, words, ask):
    extract.run(replace(SMALL, **first))
    with pytest.raises(RequestError, match=words):
        ask(replace(SMALL, **then))
    assert extract.run(SMALL).extracted == 0


def test_of_two_that_begin_at_once_the_second_is_held_to_what_the_first_said(project, monkeypatch):
    """The other worker describes the store between this one's look and its own description."""
    create = Description.create

    def late(self, store, worker):
        create(replace(self, compress="gzip"), store, "2of2")
        return create(self, store, worker)

    monkeypatch.setattr(Description, "create", late)
    with pytest.raises(RequestError, match="begun with `compress` gzip, not none"):
        extract.run(replace(SMALL, compress="none"))
    assert extract.run(SMALL).extracted == 2

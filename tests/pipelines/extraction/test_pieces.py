"""Long videos in dense windows, made in pieces: the very files that are made of the whole."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from egofeat.errors import StoreError
from egofeat.extract.pieces import cut
from egofeat.extract.pieces.cut import Piece, pieces_of, seconds_of_piece
from egofeat.extract.pieces.files import PieceFiles
from egofeat.extract.pieces.sink import StoreSink
from egofeat.extract.shards import cut as cut_segments
from egofeat.extract.shards import piece_of, shards_in
from egofeat.pipelines.extraction import extract
from egofeat.pipelines.extraction.choices import for_each
from egofeat.pipelines.extraction.job import plan_job, plan_jobs
from egofeat.recipe import FramePlan
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import Failure, StoreWriter, open_store, progress_of, verify

SECONDS = 2
"""Of a piece, here."""


@pytest.fixture(scope="module")
def films(encoder, tmp_path_factory):
    """Of 8 s with a key frame every 0.2 s, of 8 s with one alone, and of 1 s."""
    folder = tmp_path_factory.mktemp("films")
    often = {"x264-params": "keyint=5:min-keyint=5:scenecut=0:log-level=none"}
    once = {"x264-params": "keyint=999:min-keyint=999:scenecut=0:log-level=none"}
    return {
        "long": encoder(folder / "long.mp4", frames=200, options=often),
        "single": encoder(folder / "single.mp4", frames=200, options=once),
        "short": encoder(folder / "short.mp4", frames=25, options=often),
    }


@pytest.fixture
def dataset(films):
    segments = tuple(Segment(name, name) for name in films)
    return Dataset("mine", {name: Media(path) for name, path in films.items()}, segments, {})


@pytest.fixture
def divided(monkeypatch):
    """Have long videos be divided every two seconds."""
    monkeypatch.setattr(cut, "SECONDS", (SECONDS, SECONDS))


def bytes_of(store: str | Path) -> dict[str, bytes]:
    found = Path(store)
    files = (path for path in sorted(found.rglob("*")) if path.is_file())
    return {path.relative_to(found).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def whole(dataset, config, tmp_path):
    """What is made of the videos as wholes."""
    return bytes_of(extract.run(replace(config, out=tmp_path / "whole"), dataset).store)


def test_a_video_is_divided_where_key_frames_are_near(films):
    assert [len(pieces_of(Media(films[name]), 2)) for name in ("long", "single", "short")] == [
        4,
        1,
        1,
    ]
    assert pieces_of(Media(films["long"].parent), 2) == pieces_of(Media(Path("none.mp4")), 2)
    found = pieces_of(Media(films["long"]), 2)
    assert [one.name for one in found] == ["0-2", "2-4", "4-6", "6-inf"]
    begins = np.array([0.0, 1.9, 2.0, 5.9, 6.0, 100.0])
    plan = FramePlan(np.arange(6)[:, np.newaxis], np.stack([begins] * 3, axis=1))
    parts = [one.of(plan).indices[:, 0].tolist() for one in found]
    assert parts == [[0, 1], [2], [3], [4, 5]]
    assert Piece(3, (0.0, 200.0, 400.0, 600.0, np.inf)).of(plan).views == []


def test_pieces_are_shorter_where_features_are_large(config, dataset):
    recipe = plan_job(config, dataset).recipe
    assert seconds_of_piece(recipe) == 300
    maps = plan_job(replace(config, taps=("map",), stride=1, size=96), dataset).recipe
    assert seconds_of_piece(maps) == cut.BYTES // (maps.row_bytes * 25) < 300
    more = plan_job(replace(config, taps=("map",), stride=1, size=256), dataset).recipe
    assert seconds_of_piece(more) == 60
    wide = plan_job(replace(config, windows=25 * 90), dataset).recipe
    assert seconds_of_piece(wide) == 900


@pytest.mark.parametrize("workers", [{}, {"devices": ("cpu", "cpu"), "device": "auto"}])
def test_pieces_are_joined_to_what_is_made_of_the_whole(
    dataset, config, whole, divided, workers, monkeypatch
):
    kept = []
    keep = PieceFiles.keep
    monkeypatch.setattr(PieceFiles, "keep", lambda *a: kept.append(a[1].name) or keep(*a))
    report = extract.run(replace(config, **workers), dataset)
    assert (report.extracted, report.failed, report.segments) == (3, 0, 3)
    assert len(kept) == (0 if workers else 4)
    assert bytes_of(report.store) == whole
    assert verify(Path(report.store)) == []
    again = extract.run(config, dataset)
    assert (again.extracted, again.skipped) == (0, 3)


def test_two_networks_share_the_pieces_of_one_decode(dataset, config, divided, tmp_path):
    both = for_each(replace(config, windows=16, stride=8), ["mobilenetv2", "r3d_18"])
    made = extract.run_jobs(plan_jobs(both, dataset), both[0])
    assert [one.extracted for one in made.stores] == [3, 3]
    for one, alone in zip(made.stores, both, strict=True):
        own = extract.run(replace(alone, out=tmp_path / "alone"), dataset)
        assert bytes_of(own.store) == bytes_of(one.store)


def test_an_interrupted_run_goes_on_with_the_pieces_that_it_has(
    dataset, config, whole, divided, monkeypatch
):
    made, keep = [], PieceFiles.keep

    def interrupted(files, shard, *rest):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(shard.name)
        keep(files, shard, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(PieceFiles, "keep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            extract.run(replace(config, workers=1), dataset)
    (store,) = (config.out / "mine").iterdir()
    waiting = sorted((store / ".work").rglob("*.npz"))
    assert len(waiting) == len(made) == 2
    damaged = waiting[0]
    damaged.write_bytes(damaged.read_bytes()[:-40])
    monkeypatch.setattr(PieceFiles, "keep", lambda *a: made.append(a[1].name) or keep(*a))
    report = extract.run(config, dataset)
    assert (report.extracted + report.skipped, report.failed) == (3, 0)
    assert len(made) == 2 + 3  # the one that was damaged once more
    assert bytes_of(report.store) == whole


def test_a_piece_that_is_damaged_when_it_is_joined_is_made_again(
    dataset, config, whole, divided, monkeypatch
):
    keep = PieceFiles.keep

    def damaging(files, shard, *rest):
        keep(files, shard, *rest)
        if shard.piece.number == 1:
            path = files._path(shard)
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)

    with monkeypatch.context() as patched:
        patched.setattr(PieceFiles, "keep", damaging)
        with pytest.raises(StoreError, match=r"4.npz is damaged"):
            extract.run(config, dataset)
    report = extract.run(config, dataset)
    assert report.failed == 0
    assert bytes_of(report.store) == whole


def test_a_video_that_changes_between_its_pieces_fails(dataset, config, divided, monkeypatch):
    keep, film = PieceFiles.keep, dataset.media["long"].path

    def touching(files, shard, *rest):
        keep(files, shard, *rest)
        if shard.piece.number == 1:
            os.utime(film, ns=(1, film.stat().st_mtime_ns + 1))

    with monkeypatch.context() as patched:
        patched.setattr(PieceFiles, "keep", touching)
        report = extract.run(replace(config, workers=1), dataset)
    assert (report.extracted, report.failed) == (2, 1)
    (failure,) = progress_of(Path(report.store)).failures
    assert failure.key == ("long", 0.0, np.inf)
    assert "long.mp4 changed while it was read" in failure.reason
    again = extract.run(config, dataset)
    assert (again.extracted, again.failed) == (1, 0)
    assert sorted(open_store(again.store)) == ["long", "short", "single"]


def test_a_piece_that_kills_its_workers_is_a_failure_of_its_video(dataset, config, divided):
    store = Path(extract.run(config, dataset).store)
    job = plan_job(config, dataset)
    writer = StoreWriter.join(store, {}, "1of1")
    told = []
    sink = StoreSink(writer, store / ".work", told.append)
    (shard,) = shards_in(cut_segments(job.segments[:1], 1 << 30))
    for piece in pieces_of(dataset.media["long"], SECONDS):
        part = piece_of(shard, piece)
        sink.expect(dataset.media, part)
        (one,) = part.segments
        sink.record_failures([Failure(one.id, one.video, one.start, one.stop, "it dies")])
    ((failure,),) = told
    assert (failure.key, failure.reason) == (("long", 0.0, np.inf), "it dies")

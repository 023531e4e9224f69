"""Extractions that end before their time: what is whole is kept, and what is left is done later."""

import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from egofeat import console
from egofeat.cli import main
from egofeat.errors import UnreadableMediaError
from egofeat.extract.video import open_video
from egofeat.pipelines.extraction import extract
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import open_store, progress_of, verify

VIDEOS = "abcd"
EACH = 3
OPTIONS = ["--weights", "random", "--frames", "4", "--size", "32", "--device", "cpu"]


@pytest.fixture(scope="module")
def films(encoder, tmp_path_factory):
    """Four films of 40 frames at 25 fps."""
    folder = tmp_path_factory.mktemp("films")
    options = {"x264-params": "keyint=12:log-level=none"}
    return [encoder(folder / f"{name}.mp4", frames=40, options=options) for name in VIDEOS]


@pytest.fixture
def dataset(films):
    """Three segments of each film."""
    segments = tuple(
        Segment(f"{film.stem}{k}", film.stem, 0.4 * k, 0.4 * k + 0.5, split="train")
        for film in films
        for k in range(EACH)
    )
    return Dataset("mine", {film.stem: Media(film) for film in films}, segments, {})


@pytest.fixture
def config(tmp_path):
    return ExtractConfig(
        out=tmp_path / "features",
        weights="random",
        frames=4,
        size=32,
        device="cpu",
        batch_size=4,
        workers=1,
    )


@pytest.fixture
def project(films, tmp_path, monkeypatch):
    """The same as a manifest, worked in."""
    lines = [f"{f.stem}.mp4,{0.4 * k},{0.4 * k + 0.5}" for f in films for k in range(EACH)]
    (tmp_path / "mine.csv").write_text("\n".join(["video,start,stop", *lines]) + "\n")
    (tmp_path / "data_manifest.yaml").write_text(
        "version: 1\ndatasets:\n  mine:\n    format: csv\n    annotations: mine.csv\n"
        f"    media: {films[0].parent}\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(monkeypatch, out: str) -> int:
    words = ["extract", *OPTIONS, "--batch-size", "4", "--workers", "1", "--out", out]
    monkeypatch.setattr(sys, "argv", ["egofeat", *words])
    try:
        main()
    except SystemExit as stop:
        return stop.code
    return 0


def the_store(out: Path) -> Path:
    (store,) = (out / "mine").iterdir()
    return store


def same_rows(one: Path, other: Path) -> None:
    assert verify(one) == verify(other) == []
    first, second = open_store(one), open_store(other)
    assert sorted(first.ids) == sorted(second.ids)
    for id_ in first.ids:
        np.testing.assert_array_equal(first[id_], second[id_])


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_publishes_what_is_whole(project, monkeypatch, capsys, how):
    """All of it is one shard of 128 segments, which would be lost."""
    signum = getattr(signal, how)
    was = signal.getsignal(signum)
    if was is signal.SIG_IGN:  # under nohup, where a hang-up ends nothing
        signal.signal(signum, signal.SIG_DFL)
    handler = signal.getsignal(signum)
    settled = []
    shown = console.progress

    def interrupting(*words):
        inner = shown(*words)

        class Interrupting:
            def __enter__(self):
                advance = inner.__enter__()

                def count(units, steps=0):
                    advance(units, steps)
                    settled.append(units)
                    if sum(settled) > 7.9:
                        settled.clear()
                        signal.raise_signal(signum)

                return count

            def __exit__(self, *error):
                return inner.__exit__(*error)

        return Interrupting()

    with monkeypatch.context() as patched:
        patched.setattr(console, "progress", interrupting)
        assert command(monkeypatch, "stopped") == 128 + signum
    assert capsys.readouterr().err.endswith("interrupted: give the same command again to resume\n")
    assert signal.getsignal(signum) is handler
    signal.signal(signum, was)
    store = the_store(project / "stopped")
    held = progress_of(store)
    done, failures = held.done, held.failures
    assert 7 <= len(done) < len(VIDEOS) * EACH
    assert failures == []
    assert command(monkeypatch, "stopped") == 0
    assert len(list((store / "shards").iterdir())) == 2
    if how == "SIGTERM":
        assert command(monkeypatch, "whole") == 0
        same_rows(store, the_store(project / "whole"))


def test_an_error_elsewhere_loses_nothing_that_is_whole(dataset, config, monkeypatch, tmp_path):
    def broken(media, decoder="pyav"):
        if media.path.stem == "d":
            raise ZeroDivisionError("a defect")
        return open_video(media, decoder)

    with monkeypatch.context() as patched:
        patched.setattr("egofeat.extract.decoding.reading.open_video", broken)
        with pytest.raises(ZeroDivisionError):
            extract.run(config, dataset)
    store = the_store(config.out)
    assert len(progress_of(store).done) >= 2 * EACH
    extract.run(config, dataset)
    whole = extract.run(replace(config, out=tmp_path / "whole"), dataset)
    same_rows(store, Path(whole.store))


class Failing:
    """A source of which a frame cannot be had: the disk fails, or something touches the file."""

    def __init__(self, source, at, does) -> None:
        self.source, self.at, self.does = source, at, does

    def __getattr__(self, name):
        return getattr(self.source, name)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.source.close()

    def tensors(self, indices):
        for index, frame in self.source.tensors(indices):
            if index >= self.at:
                self.does(self.source.path)
            yield index, frame


def disk_fails(path):
    raise UnreadableMediaError(f"{path} cannot be read (Input/output error)")


def file_grows(path):
    with path.open("ab") as file:
        file.write(b"more")


@pytest.mark.parametrize("does", [disk_fails, file_grows])
@pytest.mark.parametrize("windows", [None, 4])
def test_a_video_that_fails_in_the_middle_is_wholly_undone(
    films, dataset, config, monkeypatch, tmp_path, does, windows
):
    """Of its segments and windows that were made before nothing is published."""
    mine = tmp_path / "b.mp4"
    mine.write_bytes(films[1].read_bytes())
    dataset = replace(dataset, media=dataset.media | {"b": Media(mine)})
    if windows:
        config = replace(config, frames=None, windows=windows, stride=2, fps=25.0)

    def failing(media, decoder="pyav"):
        source = open_video(media, decoder)
        return Failing(source, 30, does) if media.path == mine else source

    with monkeypatch.context() as patched:
        patched.setattr("egofeat.extract.decoding.reading.open_video", failing)
        report = extract.run(config, dataset)
    each = 1 if windows else EACH
    assert (report.extracted, report.failed) == (3 * each, each)
    held = progress_of(Path(report.store))
    done, failures = held.done, held.failures
    assert {one.video for one in failures} == {"b"}
    assert len(failures) == each
    assert {one.cause for one in failures} == {"unreadable"}
    assert not any(id_.startswith("b") for id_, _, _ in done)
    store = open_store(report.store)
    stamps = {film.stem: film.stat() for film in films}
    for id_, stamp in zip(store.ids, store.media_stamps.tolist(), strict=True):
        assert stamp == [stamps[id_[0]].st_size, stamps[id_[0]].st_mtime_ns, -1, -1]
    again = extract.run(replace(config, retry_failed=True), dataset)
    assert (again.extracted, again.failed) == (each, 0)
    whole = extract.run(replace(config, out=tmp_path / "whole"), dataset)
    same_rows(Path(report.store), Path(whole.store))


def test_segments_past_the_end_of_a_file_that_grows_are_tried_again(
    films, config, monkeypatch, tmp_path
):
    """They may be in it tomorrow."""
    mine = tmp_path / "b.mp4"
    mine.write_bytes(films[1].read_bytes())
    segments = (Segment("early", "b", 0.0, 1.5), Segment("late", "b", 5.0, 6.0))
    dataset = Dataset("mine", {"b": Media(mine)}, segments, {})
    with monkeypatch.context() as patched:
        growing = partial(Failing, at=30, does=file_grows)
        patched.setattr(
            "egofeat.extract.decoding.reading.open_video", lambda *of: growing(open_video(*of))
        )
        report = extract.run(config, dataset)
    assert {one.cause for one in progress_of(Path(report.store)).failures} == {"unreadable"}
    again = extract.run(config, dataset)
    assert (again.extracted, again.failed) == (1, 1)
    (late,) = progress_of(Path(again.store)).failures
    assert (late.id, late.cause) == ("late", "damaged")

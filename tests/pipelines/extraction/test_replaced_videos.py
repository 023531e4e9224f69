"""A video of another content under the same name: it is noticed, and its features made anew."""

import json
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from egofeat.extract import shards
from egofeat.pipelines.extraction import extract, refresh
from egofeat.pipelines.extraction.options import ExtractConfig, ReextractConfig
from egofeat.store import StoreWriter, is_superseded, open_store, verify
from egofeat.store.progress import Progress

SMALL = ExtractConfig(weights="random", frames=3, size=32, device="cpu", workers=1)
ON_CPU = ReextractConfig(device="cpu", workers=1)
VIDEOS = "abcd"


@pytest.fixture
def project(encoder, tmp_path, monkeypatch):
    """A folder with a manifest of four clips, worked in; each clip has a shard of its own."""
    for name in VIDEOS:
        folder = tmp_path / "clips/train" / ("brighter" if name < "c" else "darker")
        folder.mkdir(parents=True, exist_ok=True)
        encoder(folder / f"{name}.mp4", frames=10)
    (tmp_path / "data_manifest.yaml").write_text(
        "version: 1\ndatasets:\n  mine: {format: folder, media: clips}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shards, "MAX_ROWS", 1)
    return tmp_path


def clip(name: str) -> Path:
    (found,) = Path("clips").rglob(f"{name}.mp4")
    return found


@pytest.mark.parametrize("form", ["hdf5", "zarr"])
def test_a_replaced_video_is_told_and_made_anew(project, encoder, form):
    config = replace(SMALL, format=form)
    first = extract.run(config)
    store = Path(first.store)
    before = {id_: open_store(store)[id_].copy() for id_ in open_store(store).ids}
    assert first.changed_videos == extract.run(config).changed_videos == []
    assert refresh.stale_stores("mine", ON_CPU) == []
    encoder(clip("b"), frames=30)
    told = extract.run(config)
    assert [Path(video).stem for video in told.changed_videos] == ["b"]
    (said,) = [line for line in told.lines() if "changed since" in line]
    assert said.startswith("1 video changed since the features were made: ")
    assert "`egofeat reextract --all mine`, with the same `manifest` and `out`, extracts" in said
    assert extract.forecast(config).changed_videos == told.changed_videos
    (stale,) = refresh.stale_stores("mine", ON_CPU)
    assert stale.changes[0].startswith("1 video changed: ")
    (report,) = refresh.refresh([stale], ON_CPU).stores
    assert (report.store, report.extracted, report.skipped) == (str(store), 1, 3)
    assert verify(store) == []
    after = open_store(store)
    for id_, values in before.items():
        assert np.array_equal(after[id_], values) == ("b" not in Path(id_).name)
    assert extract.run(config).changed_videos == []
    assert refresh.stale_stores("mine", ON_CPU) == []
    (aside,) = [path for path in store.parent.iterdir() if is_superseded(path)]
    assert {id_: open_store(aside)[id_].tolist() for id_ in before} == {
        id_: values.tolist() for id_, values in before.items()
    }


def test_segments_that_are_of_another_video_now_are_told(project):
    """Their ids and times, and so the names of their shards, are the same."""
    (project / "rows.csv").write_text("video,id\n" + "".join(f"{v}.mp4,s{v}\n" for v in VIDEOS))
    for name in VIDEOS:
        clip(name).rename(project / f"{name}.mp4")
    (project / "data_manifest.yaml").write_text(
        "version: 1\ndatasets:\n  mine: {format: csv, media: ., annotations: rows.csv}\n"
    )
    extract.run(SMALL)
    assert extract.run(SMALL).changed_videos == []
    swapped = (project / "rows.csv").read_text().replace("a.mp4,sa", "b.mp4,sa")
    (project / "rows.csv").write_text(swapped.replace("b.mp4,sb", "a.mp4,sb"))
    assert extract.run(SMALL).changed_videos == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize("form", ["hdf5", "zarr"])
def test_what_is_there_is_told_by_the_names_of_shards(project, monkeypatch, form):
    """A million segments are not asked for one by one where nothing is left."""
    config = replace(SMALL, format=form)
    extract.run(config)

    def asked(_):
        raise AssertionError("each segment was asked for")

    with monkeypatch.context() as patched:
        patched.setattr(Progress, "_read_from", property(asked))
        again = extract.run(config)
        assert (again.extracted, again.skipped, again.changed_videos) == (0, 4, [])
        os.utime(clip("c"), (1, 1))
        assert [Path(name).stem for name in extract.run(config).changed_videos] == ["c"]
    shard = sorted((Path(again.store) / "shards").iterdir())[0]
    shutil.rmtree(shard) if shard.is_dir() else shard.unlink()
    assert extract.run(config).extracted == 1


def test_what_was_never_a_file_and_what_is_gone_is_no_false_alarm(project, monkeypatch):
    extract.run(SMALL)
    clip("a").unlink()
    assert extract.run(SMALL).changed_videos == []
    write = StoreWriter.write_shard

    def unstamped(self, name, rows):
        return write(self, name, replace(rows, media_stamps=None))

    monkeypatch.setattr(StoreWriter, "write_shard", unstamped)
    other = replace(SMALL, out=Path("unstamped"))
    extract.run(other)
    for name in "bcd":
        os.utime(clip(name), (1, 1))
    assert extract.run(other).changed_videos == []
    assert len(extract.run(SMALL).changed_videos) == 3


def test_a_refresh_that_was_killed_after_it_took_shards_over_goes_on(project, encoder, monkeypatch):
    store = Path(extract.run(SMALL).store)
    encoder(clip("b"), frames=30)
    (stale,) = refresh.stale_stores("mine", ON_CPU)

    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(refresh, "run_jobs", kill)
        with pytest.raises(KeyboardInterrupt):
            refresh.refresh([stale], ON_CPU)
    (report,) = refresh.refresh(refresh.stale_stores("mine", ON_CPU), ON_CPU).stores
    assert report.extracted == 1
    assert json.loads((store / "store.json").read_text())["dataset"] == "mine"
    assert len(open_store(store)) == 4


@pytest.mark.parametrize("packed", [False, True])
def test_images_that_the_manifest_counts_otherwise_are_told_and_made_anew(
    drawn, tmp_path, monkeypatch, packed
):
    """Another number at second 0, or another rate, is another frame at the same second."""
    folder = tmp_path / "media/film"
    folder.mkdir(parents=True)
    for number in range(1, 31):
        Image.fromarray(drawn(number)).save(folder / f"{number:06d}.png")
    if packed:
        with tarfile.open(tmp_path / "media/film.tar", "w") as tar:
            tar.add(folder, "film")
    monkeypatch.chdir(tmp_path)
    name = "film.tar" if packed else "film"
    Path("one.csv").write_text(f"video,start,stop\n{name},0.2,0.8\n")

    def manifest(**said):
        keys = "".join(f", {key}: {value}" for key, value in said.items())
        Path("data_manifest.yaml").write_text(
            "version: 1\ndatasets:\n"
            f"  mine: {{format: csv, media: media, annotations: one.csv{keys}}}\n"
        )

    manifest(fps=25)
    store = Path(extract.run(SMALL).store)
    before = open_store(store)[open_store(store).ids[0]].copy()
    manifest(fps=25, first_frame=1)  # which was meant without
    assert extract.run(SMALL).changed_videos == []
    for said in ({"fps": 25, "first_frame": 4}, {"fps": 20}):
        manifest(**said)
        assert extract.run(SMALL).changed_videos == [name]
    manifest(fps=25, first_frame=4)
    (report,) = refresh.refresh(refresh.stale_stores("mine", ON_CPU), ON_CPU).stores
    assert (report.store, report.extracted) == (str(store), 1)
    assert not np.array_equal(open_store(store)[open_store(store).ids[0]], before)
    assert extract.run(SMALL).changed_videos == []


def test_a_damaged_video_is_tried_again_when_another_stands_in_its_place(project, encoder):
    whole = clip("b").read_bytes()
    clip("b").write_bytes(whole[: len(whole) // 2])
    first = extract.run(SMALL)
    assert (first.extracted, first.failed) == (3, 1)
    again = extract.run(SMALL)
    assert (again.extracted, again.failed, again.frames) == (0, 1, 0)
    clip("b").write_bytes(whole)
    assert extract.forecast(SMALL).to_extract == 1
    last = extract.run(SMALL)
    assert (last.extracted, last.failed) == (1, 0)
    assert not list(Path(last.store).glob("failures-*"))

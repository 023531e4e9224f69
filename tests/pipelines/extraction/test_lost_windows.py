"""Films with damage in the middle, in dense windows: what is lost, what is kept, what is told."""

import os
import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from tests.networks import light

from egofeat.errors import MediaError, RequestError
from egofeat.extract.backbones import BACKBONES, Backbone
from egofeat.extract.pieces.cut import Piece
from egofeat.extract.video import open_video
from egofeat.pipelines.extraction import extract, refresh
from egofeat.pipelines.extraction.choices import for_each
from egofeat.pipelines.extraction.job import plan_job, plan_jobs
from egofeat.pipelines.extraction.options import ExtractConfig, ReextractConfig
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import open_store, progress_of, verify

OPTIONS = {"x264-params": "keyint=12:min-keyint=12:bframes=0:scenecut=0:log-level=none"}


def damage(film: Path, path: Path, frames: range) -> Path:
    """Overwrite the data of frames with noise; they and those that lean on them are lost."""
    shutil.copy(film, path)
    with av.open(str(film)) as container:
        packets = [one for one in container.demux(video=0) if one.size]
        packets.sort(key=lambda one: one.pts)
        spans = [(packets[number].pos, packets[number].size) for number in frames]
    noise = np.random.default_rng(0)
    with path.open("r+b") as file:
        for start, size in spans:
            file.seek(start + 5)
            file.write(noise.bytes(size - 5))
    return path


def against(whole: Path, path: Path) -> tuple[set[int], set[int]]:
    """Frames that cannot be decoded, and those that a decoder made up to look otherwise."""
    lost, other = set(), set()
    with open_video(Media(path)) as source, open_video(Media(whole)) as right:
        for index, (_, frame) in enumerate(right.scan(range(len(right.times)))):
            try:
                ((_, there),) = source.scan([index])
            except MediaError:
                lost.add(index)
            else:
                if not np.array_equal(there, frame):
                    other.add(index)
    return lost, other


@pytest.fixture(autouse=True)
def _clips_are_cheap(monkeypatch):
    """Stand-ins for networks of clips: what is asked here is which windows they are given."""
    for name in ("r3d_18", "i3d_flow"):
        spec, build = BACKBONES[name]
        monkeypatch.setitem(BACKBONES.own, name, (spec, light(build)))


@pytest.fixture(scope="module")
def films(encoder, tmp_path_factory):
    """A whole film of 40 frames at 25 fps, the same with damage in two places, and all over."""
    folder = tmp_path_factory.mktemp("films")
    whole = encoder(folder / "whole.mp4", options=OPTIONS, frames=40)
    damaged = damage(whole, folder / "damaged.mp4", range(18, 20))
    damaged = damage(damaged, damaged.with_name("twice.mp4"), range(31, 32))
    return {
        "whole": whole,
        "damaged": damaged,
        "useless": damage(whole, folder / "useless.mp4", range(1, 40)),
    }


@pytest.fixture
def config(tmp_path):
    """Windows of 4 frames, 1 apart, at the film's own rate."""
    return ExtractConfig(
        out=tmp_path / "features",
        backbone="r3d_18",
        weights="random",
        windows=4,
        stride=1,
        fps=25.0,
        size=32,
        device="cpu",
        dtype="float32",
        workers=2,
        batch_size=4,
    )


def data_set(**films: Path) -> Dataset:
    segments = tuple(Segment(name, name) for name in films)
    return Dataset("mine", {name: Media(path) for name, path in films.items()}, segments, {})


def runs_of(lost: np.ndarray) -> list[tuple[int, int]]:
    """First and last of each run of true values."""
    edges = np.flatnonzero(np.diff([0, *lost.astype(int), 0]))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def check_kept(store_path: str, job, films: dict[str, Path]) -> int:
    """What is kept are the windows of the whole film; the lost are told. Number of the lost."""
    name = "damaged"
    bad, other = against(films["whole"], films[name])
    assert bad
    with open_video(Media(films[name])) as source:
        plan = job.recipe.plan.plan(
            0.0, np.inf, source.times, source.stop, job.recipe.transform.neighbours
        )
    lost = np.array([bool(bad & set(view)) for view in plan.views])
    assert 0 < lost.sum() < len(lost)
    store = open_store(store_path)
    assert len(store[name]) == (~lost).sum()
    sound = np.array([not other & set(view) for view in plan.views])
    assert sound[~lost].sum() > 5
    kept = store[name][sound[~lost]]
    np.testing.assert_array_equal(kept, store["whole"][~lost & sound])
    np.testing.assert_array_equal(store.spans(name), plan.times[~lost])
    told = [one for one in progress_of(Path(store_path)).failures if one.id == name]
    assert [(one.start, one.stop, one.windows) for one in told] == [
        (plan.times[a, 0], plan.times[b, 2], b - a + 1) for a, b in runs_of(lost)
    ]
    assert {one.cause for one in told} == {"damaged"}
    assert all("cannot be decoded" in one.reason for one in told)
    assert verify(Path(store_path)) == []
    return int(lost.sum())


@pytest.fixture(params=[False, True], ids=["whole", "pieces"])
def divided(request, monkeypatch):
    """Have each film be made as a whole; or in pieces, two of which share a run of lost windows."""
    if request.param:
        bounds = (0.0, 0.3, 0.74, 1.3, np.inf)
        found = [Piece(number, bounds) for number in range(4)]
        place = "egofeat.pipelines.extraction.extract.pieces_of"
        monkeypatch.setattr(place, lambda media, seconds: found)


@pytest.mark.parametrize("motion", [None, "farneback"])
def test_a_damaged_frame_costs_the_windows_that_want_it_in_every_lane(
    films, config, motion, divided
):
    dataset = data_set(damaged=films["damaged"], whole=films["whole"])
    if motion:
        jobs = [plan_job(replace(config, backbone="i3d_flow", windows=10, motion=motion), dataset)]
    else:
        jobs = plan_jobs(for_each(config, ["r3d_18", "mobilenetv2"]), dataset)
    report = extract.run_jobs(jobs, config)
    lost = []
    for done, job in zip(report.stores, jobs, strict=True):
        assert (done.extracted, done.skipped) == (2, 0)
        lost.append(check_kept(done.store, job, films))
    if not motion:
        assert lost[0] > lost[1], "an image network wants one frame of each window"
    again = extract.run_jobs(jobs, config)
    assert again.decoded == 0, "damage is not tried again by itself"
    assert [store.extracted for store in again.stores] == [0] * len(jobs)


def test_a_film_of_which_no_window_can_be_read_fails(films, config, divided):
    bad = replace(config, windows=12, stride=12)
    report = extract.run(bad, data_set(useless=films["useless"], whole=films["whole"]))
    assert (report.extracted, report.failed) == (1, 1)
    (failure,) = progress_of(Path(report.store)).failures
    assert (failure.id, failure.windows, failure.stop) == ("useless", 0, np.inf)


@pytest.mark.parametrize("lost", [1, 37])
def test_windows_beyond_float16_are_no_damage(films, config, divided, lost, monkeypatch):
    run, calls = Backbone.__call__, count()

    def hot(backbone, batch):
        outputs = run(backbone, batch)
        with torch.inference_mode():
            outputs["gap"][0] += 1e6 * (lost > 1 or next(calls) == 8)
        return outputs

    monkeypatch.setattr(Backbone, "__call__", hot)
    own = replace(config, batch_size=1, dtype="float16")
    report = extract.run(own, data_set(whole=films["whole"]))
    assert (report.lost_windows, report.failed) == ((1, 0) if lost == 1 else (0, 1))
    (failed,) = report.failures
    assert failed.cause == "overflow"
    assert failed.example.startswith("tap gap of r3d_18 reaches 1e+06, more than float16 hol")


def test_the_film_of_the_report(real_data, config):
    film = real_data / "data/faults/damaged/corrupt.mp4"
    if not film.exists():
        pytest.skip(f"no {film}")
    own = replace(config, windows=16, stride=8, fps=30.0)
    report = extract.run(own, data_set(film=film))
    store = open_store(report.store)
    told = progress_of(Path(report.store)).failures
    assert len(store["film"]) + sum(one.windows for one in told) == 11  # 90 frames
    assert sum(one.windows for one in told) <= 3


def test_holes_and_damage_among_images_are_lost_together(drawn, config, tmp_path):
    """Images 13 to 18 are missing and 20 is damaged, of 40: one run of windows that are lost."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in [*range(1, 13), *range(19, 41)]:
        Image.fromarray(drawn(number)).save(folder / f"img_{number:05d}.png")
    (folder / "img_00020.png").write_bytes(b"damaged")
    media = Media(folder, fps=25.0)
    dataset = Dataset("mine", {"film": media}, (Segment("film", "film"),), {})
    report = extract.run(config, dataset)
    store = open_store(report.store)
    (told,) = progress_of(Path(report.store)).failures
    assert len(store["film"]) + told.windows == 40 - 4 + 1
    starts = np.round(store.spans("film")[:, 0] * 25).astype(int).tolist()
    assert starts == [*range(10), *range(20, 37)]  # an image is on show for its neighbour too
    assert (told.start, told.stop) == (10 / 25, 23 / 25)
    assert store.media_stamps.tolist() == [[-1, -1, 1, 25_000_000]]


def test_lost_windows_are_tried_again_when_it_is_asked_for(films, config, tmp_path):
    film = tmp_path / "film.mp4"
    shutil.copy(films["damaged"], film)
    first = extract.run(config, data_set(film=film))
    assert first.lost_windows > 0
    shutil.copy(films["whole"], film)
    second = extract.run(replace(config, retry_failed=True), data_set(film=film))
    assert (second.extracted, second.lost_windows) == (1, 0)
    assert len(open_store(second.store)["film"]) == 37
    assert not list(Path(second.store).glob("failures-*"))


def test_features_that_are_taken_over_keep_what_they_lost(films, config, tmp_path):
    """Another film of the store was replaced: `reextract --all` makes that one anew alone."""
    for name in ("damaged", "whole"):
        shutil.copy(films[name], tmp_path / f"{name}.mp4")
    manifest = tmp_path / "data_manifest.yaml"
    manifest.write_text(
        "version: 1\ndatasets:\n  mine: {format: csv, media: ., annotations: mine.csv}\n"
    )
    (tmp_path / "mine.csv").write_text("video\ndamaged.mp4\nwhole.mp4\n")
    own = replace(config, manifest=manifest)
    first = extract.run(own)
    assert first.lost_windows > 0
    os.utime(tmp_path / "whole.mp4", (1, 1))
    again = ReextractConfig(manifest=manifest, out=config.out, device="cpu", workers=1)
    (report,) = refresh.refresh(refresh.stale_stores("mine", again), again).stores
    assert (report.store, report.extracted, report.skipped) == (first.store, 1, 1)
    assert report.lost_windows == extract.run(own).lost_windows == first.lost_windows


@pytest.mark.parametrize("form", ["hdf5", "zarr"])
def test_what_waits_in_a_file_is_published_as_what_waits_in_memory(
    films, config, tmp_path, monkeypatch, form
):
    dataset = data_set(damaged=films["damaged"], whole=films["whole"])
    config = replace(config, format=form, taps=("map", "gap"))
    stores = []
    for most in (10**9, 0):
        monkeypatch.setattr("egofeat.extract.rooms.MEMORY", most)
        report = extract.run(replace(config, out=tmp_path / str(most)), dataset)
        assert (report.extracted, report.failed) == (2, 0)
        stores.append(Path(report.store))
    files = [
        {
            path.relative_to(s): path.read_bytes()
            for path in sorted(s.glob("shards/**/*"))
            if path.is_file()
        }
        for s in stores
    ]
    assert len(files[0]) >= 2
    assert files[0] == files[1]


def test_a_long_video_is_counted_thrice_while_it_is_published(films, config, monkeypatch):
    dataset = data_set(one=films["whole"], other=films["whole"])
    told = []
    for most in (10**9, 0):
        monkeypatch.setattr("egofeat.extract.rooms.MEMORY", most)
        told.append(extract.forecast(config, dataset))
    short, long = told
    assert short.bytes_needed == short.bytes_to_write == long.bytes_to_write
    assert long.bytes_needed == 4 * short.bytes_needed / 2
    free = "egofeat.pipelines.extraction.disk_room.free_bytes"
    monkeypatch.setattr(free, lambda folder: short.bytes_needed)
    with pytest.raises(RequestError, match="while they are written"):
        extract.run(config, dataset)

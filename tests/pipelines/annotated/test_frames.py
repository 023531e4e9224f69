"""Frames of a folder or archive, and folders of videos, are annotated as files are."""

import json
import shutil
import tarfile
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from egofeat.adapters.videos import find_videos
from egofeat.cli import app
from egofeat.errors import MediaError, RequestError
from egofeat.extract.video import open_video
from egofeat.heads.config import TrainerConfig
from egofeat.pipelines.annotated.annotate import annotate
from egofeat.pipelines.annotated.options import AnnotateConfig
from egofeat.pipelines.extraction.extract import run as extract
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.pipelines.training.fit import FitConfig, fit_head
from egofeat.segments import Dataset, Media, Segment

RATE = 8.0


def pictures(count=16):
    """Frames of which each has a grey of its own, `[n, 40, 64, 3]`."""
    greys = np.linspace(30, 220, count).astype(np.uint8)
    return np.broadcast_to(greys[:, None, None, None], (count, 40, 64, 3))


def frames(folder):
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures(), start=1):
        Image.fromarray(np.ascontiguousarray(picture)).save(folder / f"frame_{number:06}.png")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on segments of a folder of frames."""
    folder = tmp_path_factory.mktemp("frames")
    media = {"film": Media(frames(folder / "film"), RATE)}
    segments = tuple(
        Segment(f"{k}-{split}", "film", k, k + 1, split, {"verb": k})
        for k in range(2)
        for split in ("train", "val")
    )
    dataset = Dataset("films", media, segments, {"verb": ("rise", "fall")})
    small = {"weights": "random", "size": 32, "device": "cpu", "workers": 1, "frames": 2}
    store = Path(extract(ExtractConfig(out=folder / "features", **small), dataset).store)
    trainer = TrainerConfig(epochs=1, device="cpu")
    return fit_head(FitConfig(head="linear", store=store, trainer=trainer, out=folder / "run")).path


def asked(run, video, out, **changes):
    return AnnotateConfig(run=run, video=video, out=out, device="cpu", every=1.0, **changes)


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_frames_become_a_video_of_their_rate(run, tmp_path, kind):
    film = frames(tmp_path / "film")
    if kind == "tar":
        with tarfile.open(tmp_path / "film.tar", "w") as archive:
            archive.add(film, ".")
        film = tmp_path / "film.tar"
    told = annotate(asked(run, film, tmp_path / "seen.mp4", fps=RATE, threshold=0.99))
    assert (told.frames, told.moments, told.labels, told.remarks) == (16, 2, 0, ())
    with open_video(Media(tmp_path / "seen.mp4")) as seen:
        assert np.allclose(seen.times, np.arange(16) / RATE, atol=1e-6)
        assert seen.stop == pytest.approx(16 / RATE)
        assert np.abs(seen.frames(range(16)).astype(int) - pictures()).max() < 8
    with pytest.raises(RequestError, match="holds frames, which do not say how fast they follow"):
        annotate(asked(run, film, tmp_path / "seen.mp4"))


def test_a_folder_of_flow_is_one_video(run, tmp_path):
    for axis in "uv":
        frames(tmp_path / "flow" / axis)
    assert [*find_videos(tmp_path / "flow", RATE)] == [tmp_path / "flow"]
    assert [*find_videos(tmp_path, RATE)] == [tmp_path / "flow"]
    with pytest.raises((RequestError, MediaError)) as refused:
        annotate(asked(run, tmp_path / "flow", tmp_path / "seen.mp4", fps=RATE))
    assert str(tmp_path / "flow") in str(refused.value)
    frames(tmp_path / "both/u")
    frames(tmp_path / "both/w")
    assert [*find_videos(tmp_path / "both", RATE)] == [tmp_path / "both/u", tmp_path / "both/w"]


def test_frames_are_seen_as_the_same_frames_of_a_file(run, tmp_path):
    """What is drawn over a lossless film of the pictures is drawn over the pictures."""
    with av.open(str(tmp_path / "film.mkv"), "w") as output:
        stream = output.add_stream("ffv1", rate=int(RATE))
        stream.width, stream.height, stream.pix_fmt = 64, 40, "bgr0"
        for picture in pictures():
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    annotate(asked(run, tmp_path / "film.mkv", tmp_path / "file.mp4"))
    annotate(asked(run, frames(tmp_path / "film"), tmp_path / "frames.mp4", fps=RATE))
    drawn = []
    for name in ("file.mp4", "frames.mp4"):
        with open_video(Media(tmp_path / name)) as video:
            drawn.append(video.frames(range(16)).astype(int))
    assert np.abs(drawn[0] - drawn[1]).mean() < 1
    assert np.abs(drawn[1] - pictures()).max() > 50, "something is drawn"


def test_a_folder_of_videos_gives_a_folder_of_them(run, tmp_path):
    annotate(asked(run, frames(tmp_path / "films/a/one"), tmp_path / "made.mp4", fps=RATE))
    shutil.move(tmp_path / "made.mp4", tmp_path / "films/two.mp4")
    (tmp_path / "films/bad.mkv").write_bytes(b"no video at all")
    words = ["annotate", run, tmp_path / "films", "-o", tmp_path / "seen", "--fps", RATE]
    told = CliRunner().invoke(app, [*map(str, words), "--device", "cpu", "--json"])
    assert told.exit_code == 1, told.output
    report = json.loads(told.stdout)
    places = [tmp_path / "seen/a/one.mp4", tmp_path / "seen/two.mp4"]
    assert [one["out"] for one in report["videos"]] == list(map(str, places))
    assert all(place.stat().st_size for place in places)
    assert "cannot be opened as video" in report["failures"][str(tmp_path / "films/bad.mkv")]
    with pytest.raises(RequestError, match="films holds 3 videos: name a folder for them with -o"):
        annotate(asked(run, tmp_path / "films", tmp_path / "seen.mp4", fps=RATE))
    shutil.copytree(tmp_path / "films/a/one", tmp_path / "films/two")
    with pytest.raises(
        RequestError, match=r"films/two and \S+two.mp4 would both be \S+seen/two.mp4"
    ):
        annotate(asked(run, tmp_path / "films", tmp_path / "seen", fps=RATE))
    with pytest.raises(RequestError, match=r"films/seen is in \S+films, whose videos are read"):
        annotate(asked(run, tmp_path / "films", tmp_path / "films/seen", fps=RATE))


def test_a_video_keeps_its_suffix_where_another_has_its_name(run, tmp_path):
    """In small letters or large: a Mac has one file for both."""
    annotate(asked(run, frames(tmp_path / "film"), tmp_path / "made.mp4", fps=RATE))
    for name in ("one.mov", "two.mp4", "Two.mov", "a/one.mkv"):
        place = tmp_path / "films" / name
        place.parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(tmp_path / "made.mp4", place)
    done = annotate(asked(run, tmp_path / "films", tmp_path / "seen")).videos
    below = [str(Path(one.out).relative_to(tmp_path / "seen")) for one in done]
    assert below == ["Two.mov.mp4", "a/one.mp4", "one.mp4", "two.mp4"]


def test_flow_is_no_picture(run, tmp_path):
    with tarfile.open(tmp_path / "flow.tar", "w") as archive:
        for axis in "uv":
            archive.add(frames(tmp_path / axis), axis)
    with pytest.raises(RequestError, match=r"flow.tar is flow, not pictures: name the frames in"):
        annotate(asked(run, tmp_path / "flow.tar", tmp_path / "seen.mp4", fps=RATE))

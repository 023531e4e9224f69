"""Small films, a finder of what is red in place of the detector's network, and ways to run it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from egofeat.pipelines.persons import detect as persons
from egofeat.pipelines.persons.job import PersonsConfig, plan_persons
from egofeat.segments import Dataset, Media, Segment

WIDTH, HEIGHT, SIDE = 96, 64, 16


class RedFinder(nn.Module):
    """One sure person around what is red, an unsure one, and a sure thing of another kind."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 10_000

    def forward(self, images):
        found = []
        for image in images:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            ys, xs = torch.nonzero((image[0] > 0.6) & (image[2] < 0.4), as_tuple=True)
            boxes = []
            if len(ys):
                box = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
                boxes = [torch.stack(box).float()] * 3
            found.append(
                {
                    "boxes": torch.stack(boxes) if boxes else torch.zeros(0, 4),
                    "labels": torch.tensor([1, 1, 18][: len(boxes)]),
                    "scores": torch.tensor([0.95, 0.4, 0.99][: len(boxes)]),
                }
            )
        return found


@pytest.fixture(autouse=True)
def finder(monkeypatch) -> RedFinder:
    network = RedFinder()
    monkeypatch.setattr("egofeat.extract.persons.build", lambda *_, **__: network)
    return network


def film(path: Path, until: int = 40) -> None:
    """50 frames, 5 s; a red square walks right, two pixels a frame, and leaves at `until`."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"x264-params": "log-level=none", "crf": "5"}
        for number in range(50):
            picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
            if number < until:
                picture[24 : 24 + SIDE, 2 * number : 2 * number + SIDE] = 250, 10, 10
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))


@pytest.fixture(scope="session")
def media(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    film(folder / "one.mp4")
    film(folder / "two.mp4", until=0)
    (folder / "bad.mp4").write_bytes(b"not a video")
    (folder / "images").mkdir()
    for number in range(5):
        Image.new("RGB", (30, 20), (250, 10, 10)).save(folder / f"images/{number + 1:06d}.png")
    return folder


@pytest.fixture
def key_frames(media) -> Callable[..., Dataset]:
    """Key frames of each second from the first one on, stamped from 900 on."""

    def make(seconds: int = 5, videos: tuple[str, ...] = (), folder: Path = media) -> Dataset:
        places = {
            "one": Media(folder / "one.mp4"),
            "two": Media(folder / "two.mp4"),
            "bad": Media(folder / "bad.mp4"),
            "frames_a": Media(folder / "images", fps=1.0),
        }
        segments = tuple(
            Segment(f"{video}_{900 + k:04d}", video, float(k), k + 1.0, "val" if k > 3 else "train")
            for video in places
            for k in range(seconds)
            if not videos or video in videos
        )
        return Dataset("tiny", places, segments, {"action": ("walk",)}, key_frames=True)

    return make


@pytest.fixture
def ordinary(media) -> Dataset:
    """Segments of videos with folders in their names."""
    places = {f"clips/{name}.mp4": Media(media / f"{name}.mp4") for name in ("one", "two")}
    segments = tuple(Segment(f"{video}-{k}", video, k, k + 1) for video in places for k in range(2))
    return Dataset("mine", places, segments, {})


@pytest.fixture
def configured(tmp_path) -> Callable[..., PersonsConfig]:
    def make(out: str = "boxes", **changes) -> PersonsConfig:
        config = PersonsConfig(out=tmp_path / out, weights="random", device="cpu", workers=2)
        return replace(config, **changes)

    return make


@pytest.fixture
def detect() -> Callable[[PersonsConfig, Dataset], persons.PersonsReport]:
    return lambda config, dataset: persons.run(plan_persons(config, dataset))


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes]]:
    """What the files of a folder hold, by their paths in it."""
    return lambda folder: {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }

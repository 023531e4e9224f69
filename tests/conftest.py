"""Fixtures that more than one room uses: real data, a device, small videos encoded here.

The frames of these videos carry their own number.
"""

import gc
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import settings
from numpy.typing import NDArray

from egofeat import console
from egofeat.pipelines.figures import style

settings.register_profile("untimed", deadline=None)  # the machine may be busy
settings.load_profile("untimed")
WIDTH, HEIGHT, BLOCK, BITS = 128, 96, 16, 8


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Interruptions reach the tests, and what they start, in a process of several as in one."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _unsynced() -> Iterator[None]:
    """Nothing here outlives a loss of power: do not wait for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True)
def _no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command that another test ran calls options is forgotten."""
    monkeypatch.setattr(console, "_typed", {})


class _Blank:
    """A sheet, its axes and whatever else a picture has: takes all drawing, and shows none."""

    def __getattr__(self, _: str) -> "_Blank":
        return self

    def __call__(self, *_: object, **__: object) -> "_Blank":
        return self

    def __getitem__(self, _: object) -> "_Blank":
        return self

    def __iter__(self) -> Iterator["_Blank"]:
        return iter(())

    def __rmul__(self, times: float) -> float:
        return times

    def get_text(self) -> str:
        return ""

    def get_figwidth(self) -> float:
        return 8.0

    def savefig(self, out: Path, **_: object) -> None:
        out.write_bytes(b"")


@pytest.fixture(autouse=True)
def _blank_sheets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no figures, which takes most of a small training's time; their files are there.

    A test marked `drawn` looks at its pictures.
    """
    if not request.node.get_closest_marker("drawn"):
        monkeypatch.setattr(style, "figure", lambda width, height: _Blank())


LONGEST = ("test_moving_figures.py", "test_slice.py", "test_annotate.py", "test_stam.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process waits for another at the end."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_collection_finish() -> None:
    """What was imported stays: the collector need not look at its million objects again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real video, frames and annotations; the test is skipped without it."""
    folder = Path(os.environ.get("EGOFEAT_REAL_DATA", Path(__file__).parents[1] / "../shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data at {folder}: set EGOFEAT_REAL_DATA")
    return folder.resolve()


@pytest.fixture(scope="session")
def gpu() -> torch.device:
    """The first CUDA device; skipped without one, or failed where EGOFEAT_REQUIRE_GPU is set."""
    if not torch.cuda.is_available():
        if os.environ.get("EGOFEAT_REQUIRE_GPU"):
            pytest.fail("EGOFEAT_REQUIRE_GPU is set and there is no CUDA device")
        pytest.skip("no CUDA device: set EGOFEAT_REQUIRE_GPU to make this fail")
    return torch.device("cuda")


def draw(number: int) -> NDArray[np.uint8]:
    """A frame [96, 128, 3] whose top row of black and white blocks spells its number.

    The rest moves, so that encoders use B-frames and wrong references leave traces.
    """
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    texture = 128 + 60 * np.sin((columns + 3 * number) / 9) * np.cos((rows - 2 * number) / 7)
    frame = np.repeat(texture[..., None], 3, axis=2).astype(np.uint8)
    for bit in range(BITS):
        frame[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 255 if number >> bit & 1 else 0
    return frame


def turned(quarters: int) -> Callable[[int], NDArray[np.uint8]]:
    """Draw as a camera does that is held at an angle: quarter turns anticlockwise."""
    return lambda number: np.ascontiguousarray(np.rot90(draw(number), quarters))


def read(frame: torch.Tensor | NDArray[np.uint8]) -> int:
    """The number that a decoded frame [96, 128, 3] carries."""
    assert frame.shape == (HEIGHT, WIDTH, 3)
    middles = np.asarray(frame)[BLOCK // 2, BLOCK // 2 :: BLOCK].mean(axis=1)
    return sum(1 << bit for bit, value in enumerate(middles) if value > 127)


def encode(
    path: Path,
    codec: str = "libx264",
    frames: int = 60,
    pts: Sequence[int] | None = None,
    unit: Fraction = Fraction(1, 25),
    options: dict[str, str] | None = None,
    turn: int = 0,
    container: dict[str, str] | None = None,
    picture: Callable[[int], NDArray[np.uint8]] = draw,
) -> Path:
    """Encode numbered frames; a player turns them by `turn` degrees anticlockwise."""
    with av.open(str(path), "w", options=container or {}) as output:
        stream = output.add_stream(codec, rate=25)
        first = picture(0)
        stream.width, stream.height, stream.pix_fmt = first.shape[1], first.shape[0], "yuv420p"
        stream.codec_context.time_base = unit
        stream.options = options or {}
        if turn:
            stream.set_display_rotation(turn)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = pts[number] if pts else number, unit
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def cut(source: Path, path: Path, first: int) -> Path:
    """Cut by copying packets, as `ffmpeg -ss … -c copy` does: from the key frame before.

    What stands before frame `first` gets a negative time. MP4 hides it by an edit list,
    MPEG-TS shows it, Matroska leaves it without a time.
    """
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(source)) as given, av.open(str(path), "w", options=options) as output:
        stream = given.streams.video[0]
        copy = output.add_stream_from_template(stream)
        start = round(first / 25 / stream.time_base)
        packets = [packet for packet in given.demux(stream) if packet.size]
        keys = [packet.pts for packet in packets if packet.is_keyframe and packet.pts <= start]
        for packet in packets[[packet.pts for packet in packets].index(max(keys)) :]:
            packet.pts -= start
            packet.dts -= start
            packet.stream = copy
            output.mux(packet)
    return path


X264 = {"g": "12", "bf": "3", "x264-params": "scenecut=0:log-level=none"}
X265 = {"x265-params": "keyint=20:min-keyint=20:bframes=4:open-gop=1:scenecut=0:log-level=none"}
OPEN = {"x264-params": "keyint=24:min-keyint=24:open-gop=1:bframes=3:scenecut=0:log-level=none"}
VPX = {"g": "15", "deadline": "realtime", "auto-alt-ref": "1", "lag-in-frames": "10"}
LONG = {"x264-params": "keyint=250:log-level=none"}
IRREGULAR = [0, *np.cumsum(np.random.default_rng(5).integers(10, 200, 59)).tolist()]


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[int]]]:
    """Kind of video to its file and the numbers of the frames that it shows, in order."""
    folder = tmp_path_factory.mktemp("media")
    plain = encode(folder / "plain.mp4", options=X264, frames=80)
    files = {
        "plain": plain,
        "hevc": encode(folder / "hevc.mp4", "libx265", options=X265),
        "open_gop": encode(folder / "open.mp4", options=OPEN, frames=100),
        "vfr": encode(folder / "vfr.mp4", pts=IRREGULAR, unit=Fraction(1, 1000), options=X264),
        "ts": encode(folder / "h264.ts", options=X264),
        "mpeg2_ts": encode(folder / "mpeg2.ts", "mpeg2video", options={"g": "10", "bf": "2"}),
        "vp9": encode(folder / "vp9.webm", "libvpx-vp9", options=VPX),
        "vp8": encode(folder / "vp8.webm", "libvpx", options=VPX),
        "avi": encode(folder / "mpeg4.avi", "mpeg4", options={"g": "12", "bf": "2"}),
        "raw": encode(folder / "raw.h264", options=X264),
        "upside_down": encode(folder / "180.mp4", options=X264, turn=180, picture=turned(2)),
        "portrait": encode(folder / "90.mp4", options=X264, turn=90, picture=turned(3)),
        "long_gop": encode(folder / "long.mp4", options=LONG),
    }
    shown = {
        kind: (path, list(range({"plain": 80, "open_gop": 100}.get(kind, 60))))
        for kind, path in files.items()
    }
    shown["edit_list"] = cut(plain, folder / "cut.mp4", 30), list(range(30, 80))
    shown["negative"] = cut(plain, folder / "cut.ts", 30), list(range(24, 80))
    shown["timeless"] = cut(plain, folder / "cut.mkv", 30), list(range(24, 80))
    return shown


@pytest.fixture(scope="session")
def encoder() -> Callable[..., Path]:
    """Encode numbered frames: see `encode`."""
    return encode


@pytest.fixture(scope="session")
def number_of() -> Callable[[torch.Tensor | NDArray[np.uint8]], int]:
    """Read the number that a frame carries."""
    return read


@pytest.fixture(scope="session")
def drawn() -> Callable[[int], NDArray[np.uint8]]:
    """Draw the frame of a number."""
    return draw

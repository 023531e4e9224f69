"""A disk that fails, and a file that changes, while a video is read: never other frames."""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path

import numpy as np
import pytest

from egofeat.errors import MediaError, MissingMediaError, UnreadableMediaError
from egofeat.extract.video import open_video
from egofeat.extract.video.pyav_source import PyavSource
from egofeat.segments import Media

Encode = Callable[..., Path]

KINDS = {
    "plain.mp4": ("libx264", {}),
    "faststart.mp4": ("libx264", {"movflags": "faststart"}),
    "fragmented.mp4": ("libx264", {"movflags": "frag_keyframe+empty_moov"}),
    "a.mkv": ("libx264", {}),
    "a.ts": ("libx264", {}),
    "a.flv": ("libx264", {}),
    "a.h264": ("libx264", {}),
    "a.avi": ("mpeg4", {}),
    "a.mpg": ("mpeg2video", {}),
    "a.webm": ("libvpx", {}),
}


class Disk(FileIO):
    """A file of which one read fails, or all from one on."""

    seen = 0
    failing: Callable[[int], BaseException | None] = staticmethod(lambda number: None)

    def read(self, size: int | None = -1) -> bytes:
        Disk.seen += 1
        error = Disk.failing(Disk.seen)
        if error:
            raise error
        return super().read(size) or b""


@pytest.fixture(scope="module")
def films(
    encoder: Encode, drawn: Callable[[int], np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("films")
    grain = np.random.default_rng(0).integers(0, 60, (192, 256, 3), dtype=np.uint8)

    def picture(number: int) -> np.ndarray:
        return np.tile(drawn(number), (2, 2, 1)) // 2 + np.roll(grain, 5 * number, axis=0)

    return {
        name: encoder(
            folder / name,
            codec,
            frames=24,
            picture=picture,
            options={"g": "10", "preset": "ultrafast"} if codec == "libx264" else {"g": "10"},
            container=container,
        )
        for name, (codec, container) in KINDS.items()
    }


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Disk]]:
    monkeypatch.setattr("egofeat.extract.video.media_file.FileIO", Disk)
    yield Disk
    Disk.failing = staticmethod(lambda number: None)


def look(path: Path) -> tuple[float, list[float], list[bytes]]:
    """What there is to know of a video: its times, and some frames, one of them jumped to."""
    with PyavSource(path) as source:
        frames = [frame.tobytes() for _, frame in source.scan([1, len(source.times) - 2])]
        return source.stop, source.times.tolist(), frames


@pytest.mark.parametrize("persistent", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_read_that_fails_is_told_wherever_it_is(
    kind: str,
    persistent: bool,
    films: dict[str, Path],
    disk: type[Disk],
    capfd: pytest.CaptureFixture[str],
) -> None:
    look(films[kind])
    disk.seen = 0
    look(films[kind])
    reads = disk.seen
    assert reads > 2
    for failing in {*range(1, min(reads, 12) + 1), *range(12, reads + 1, 5), reads}:
        disk.seen = 0
        disk.failing = staticmethod(
            lambda number, at=failing: (
                OSError(errno.EIO, os.strerror(errno.EIO))
                if number == at or (persistent and number > at)
                else None
            )
        )
        with pytest.raises(UnreadableMediaError, match=r"cannot be read \(Input/output error\)"):
            look(films[kind])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("number", [errno.ESTALE, errno.ETIMEDOUT, errno.EACCES, errno.ENOMEM])
def test_the_reason_is_the_system_s(number: int, films: dict[str, Path], disk: type[Disk]) -> None:
    disk.seen = 0
    disk.failing = staticmethod(lambda at: OSError(number, os.strerror(number)) if at > 1 else None)
    with pytest.raises(UnreadableMediaError, match=os.strerror(number)) as caught:
        look(films["a.mkv"])
    assert str(films["a.mkv"]) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_failure_stays_one(films: dict[str, Path], disk: type[Disk]) -> None:
    with PyavSource(films["a.ts"]) as source:
        disk.failing = staticmethod(lambda _: OSError(errno.EIO, os.strerror(errno.EIO)))
        with pytest.raises(UnreadableMediaError):
            source.frames([20])
        disk.failing = staticmethod(lambda _: None)
        for index in (20, 2):  # what FFmpeg holds now is not to be trusted
            with pytest.raises(UnreadableMediaError):
                source.frames([index])


def test_an_interruption_while_a_file_is_read_is_not_lost(
    films: dict[str, Path], disk: type[Disk]
) -> None:
    def interrupt(number: int) -> None:
        if number == 3:
            signal.raise_signal(signal.SIGINT)

    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    disk.seen = 0
    disk.failing = staticmethod(interrupt)
    with pytest.raises(KeyboardInterrupt):
        look(films["a.ts"])


@pytest.mark.parametrize("kind", ["plain.mp4", "a.mkv", "a.ts", "a.avi"])
@pytest.mark.parametrize("change", ["shorter", "longer", "rewritten"])
def test_a_file_that_changes_while_it_is_read(
    kind: str, change: str, films: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / kind
    content = films[kind].read_bytes()
    path.write_bytes(content)
    with PyavSource(path) as source:
        source.frames([1])
        if change == "shorter":
            os.truncate(path, len(content) // 2)
        else:
            path.write_bytes(content + content if change == "longer" else content[::-1])
            os.utime(path, ns=(0, 0))
        with pytest.raises(UnreadableMediaError, match="changed while it was read"):
            list(source.scan([3, 22]))


def test_a_file_that_is_replaced_is_read_on(films: dict[str, Path], tmp_path: Path) -> None:
    path, other = tmp_path / "film.mp4", tmp_path / "other.mp4"
    path.write_bytes(films["plain.mp4"].read_bytes())
    other.write_bytes(films["faststart.mp4"].read_bytes()[:20000])
    with PyavSource(films["plain.mp4"]) as source:
        right = source.frames([20, 3])
    with PyavSource(path) as source:
        other.replace(path)
        assert (source.frames([20, 3]) == right).all()


def test_absent_is_not_unreadable(tmp_path: Path) -> None:
    for path in (tmp_path / "none.mp4", tmp_path / "a.mp4" / "b.mp4"):
        (tmp_path / "a.mp4").write_bytes(b"x")
        with pytest.raises(MissingMediaError, match="does not exist"):
            open_video(Media(path))
    loop = tmp_path / "loop.mp4"
    loop.symlink_to(loop)
    with pytest.raises(UnreadableMediaError, match="symbolic links"):
        open_video(Media(loop))


def test_lists_of_other_files_are_no_videos(films: dict[str, Path], tmp_path: Path) -> None:
    for name, text in {
        "concat.mp4": "ffconcat version 1.0\nfile plain.mp4\n",
        "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nplain.mp4\n#EXT-X-ENDLIST\n",
    }.items():
        (tmp_path / "plain.mp4").write_bytes(films["plain.mp4"].read_bytes())
        (tmp_path / name).write_text(text)
        with pytest.raises(MediaError, match=name):
            open_video(Media(tmp_path / name))

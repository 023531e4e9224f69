"""Files that give times in the order of decoding, and files that begin in the middle of a group.

The frames are those that the decoder gives when it reads the whole file, in its order.
"""

import random
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.error import FFmpegError
from numpy.typing import NDArray

from egofeat.errors import MediaError
from egofeat.extract.video import index as indexing
from egofeat.extract.video.index import count_frames
from egofeat.extract.video.media_file import MediaFile
from egofeat.extract.video.pyav_source import PyavSource

Encode = Callable[..., Path]
Reader = Callable[[torch.Tensor | NDArray[np.uint8]], int]

FRAMES = 70
X264 = "keyint=20:min-keyint=20:scenecut=0:log-level=none:bframes=3"
X265 = "keyint=20:min-keyint=20:scenecut=0:log-level=none:bframes=4"
CODECS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"x264-params": X264}),
    "h264_open": ("libx264", {"x264-params": f"{X264}:open-gop=1"}),
    "h264_flat": ("libx264", {"x264-params": f"{X264}:open-gop=1:b-pyramid=none"}),
    "hevc": ("libx265", {"x265-params": f"{X265}:open-gop=0"}),
    "hevc_open": ("libx265", {"x265-params": f"{X265}:open-gop=1"}),
    "mpeg2": ("mpeg2video", {"g": "15", "bf": "2"}),
    "mpeg4": ("mpeg4", {"g": "15", "bf": "2"}),
}


@pytest.fixture(scope="module")
def films(encoder: Encode, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("films")
    return {
        name: encoder(folder / f"{name}.mp4", codec, frames=FRAMES, options=options)
        for name, (codec, options) in CODECS.items()
    }


def remux(source: Path, path: Path, *, group: int = 0, as_decoded: bool = False) -> Path:
    """Copy packets from a key frame on; `as_decoded` counts times in the order of decoding."""
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(source)) as given, av.open(str(path), "w", options=options) as output:
        stream = given.streams.video[0]
        assert stream.time_base is not None
        copy = output.add_stream_from_template(stream)
        packets = [packet for packet in given.demux(stream) if packet.size]
        keys = [place for place, packet in enumerate(packets) if packet.is_keyframe]
        tick = round(1 / 25 / stream.time_base)
        for place, packet in enumerate(packets[keys[group] :]):
            if as_decoded:
                packet.pts = packet.dts = place * tick
            packet.stream = copy
            output.mux(packet)
    return path


def decoded(path: Path, number_of: Reader) -> list[int]:
    """Numbers of all frames that the decoder gives, without any index or seek."""
    numbers = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for packet in container.demux(stream):
            try:
                numbers += [number_of(f.to_ndarray(format="rgb24")) for f in packet.decode()]
            except FFmpegError:
                continue
    return numbers


def check(path: Path, numbers: list[int], number_of: Reader) -> PyavSource:
    """Hold all ways of reading a file to the numbers of its frames."""
    source = PyavSource(path)
    together = [number_of(frame) for _, frame in source.scan(range(len(source.times)))]
    assert together == numbers
    for index in random.Random(path.name).sample(range(len(numbers)), min(12, len(numbers))):
        assert number_of(source.frames([index])[0]) == numbers[index]
    source.close()
    with PyavSource(path) as jumping:
        wanted = range(3, len(numbers), 17)
        assert [number_of(f) for _, f in jumping.scan(wanted)] == [numbers[i] for i in wanted]
    return source


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts", "mov", "asf"])
@pytest.mark.parametrize("kind", CODECS)
def test_times_in_the_order_of_decoding(
    kind: str, container: str, films: dict[str, Path], number_of: Reader, tmp_path: Path
) -> None:
    if container == "asf" and kind.startswith("hevc"):
        pytest.skip("ASF does not take HEVC")
    path = remux(films[kind], tmp_path / f"a.{container}", as_decoded=True)
    numbers = decoded(path, number_of)
    if not (kind == "mpeg4" and container == "ts"):  # which lacks the codec's header
        assert len(numbers) > FRAMES - 3
        source = check(path, numbers, number_of)
        np.testing.assert_allclose(source.times, np.arange(len(numbers)) / 25, atol=1e-3)


@pytest.mark.parametrize("kind", ["h264", "h264_open", "mpeg4", "mpeg2"])
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_an_avi_and_what_is_remuxed_of_it(
    kind: str, container: str, encoder: Encode, number_of: Reader, tmp_path: Path
) -> None:
    codec, options = CODECS[kind]
    film = encoder(tmp_path / "a.avi", codec, frames=FRAMES, options=options)
    for path in (film, remux(film, tmp_path / f"a.{container}", as_decoded=True)):
        source = check(path, list(range(FRAMES)), number_of)
        np.testing.assert_allclose(source.times, np.arange(FRAMES) / 25, atol=1e-3)
        assert source.stop == pytest.approx(FRAMES / 25, abs=1e-3)


def test_frames_that_an_avi_leaves_out(encoder: Encode, number_of: Reader, tmp_path: Path) -> None:
    pts = [*range(10), *range(40, 90)]
    path = encoder(tmp_path / "a.avi", frames=60, pts=pts, options={"g": "12", "bf": "2"})
    source = check(path, list(range(60)), number_of)
    np.testing.assert_allclose(source.times, np.array(pts) / 25)


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize(
    ("kind", "container"),
    [(kind, container) for kind in CODECS for container in ("ts", "mkv")] + [("mpeg2", "mpg")],
)
def test_cuts_begin_with_the_first_frame_that_is_shown(
    kind: str, container: str, group: int, films: dict[str, Path], number_of: Reader, tmp_path: Path
) -> None:
    path = remux(films[kind], tmp_path / f"a.{container}", group=group)
    numbers = decoded(path, number_of)
    if not numbers:
        with pytest.raises(MediaError, match="holds no frame"):
            PyavSource(path)
        return
    assert numbers == list(range(numbers[0], FRAMES))
    source = check(path, numbers, number_of)
    np.testing.assert_allclose(source.times, np.arange(len(numbers)) / 25, atol=1e-3)
    assert source.stop == pytest.approx(len(numbers) / 25, abs=2e-3)


@pytest.mark.parametrize("part", [3, 5, 7])
@pytest.mark.parametrize("kind", [kind for kind in CODECS if kind != "mpeg4"])
def test_a_recording_that_begins_inside_a_group(
    kind: str, part: int, encoder: Encode, number_of: Reader, tmp_path: Path
) -> None:
    codec, options = CODECS[kind]
    whole = encoder(tmp_path / "whole.ts", codec, frames=FRAMES, options=options).read_bytes()
    path = tmp_path / "a.ts"
    path.write_bytes(whole[len(whole) * part // 11 // 188 * 188 :])
    numbers = decoded(path, number_of)
    assert numbers
    assert numbers[0] > 0
    source = check(path, numbers, number_of)
    np.testing.assert_allclose(source.times, np.arange(len(numbers)) / 25, atol=1e-3)


def test_an_ordinary_file_is_not_decoded_to_index_it(
    films: dict[str, Path], encoder: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = encoder(tmp_path / "plain.mp4", options={"bf": "0"})

    def refuse(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(indexing, "count_frames", refuse)
    for path in (*films.values(), plain):
        PyavSource(path).close()


def test_reordering_that_is_noticed_late(
    films: dict[str, Path], number_of: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packets that go wrong where nobody looks: the index takes them for the truth."""
    path = remux(films["h264"], tmp_path / "a.mp4", as_decoded=True)
    numbers = decoded(path, number_of)

    def believe(file: MediaFile, packets: indexing.FrameIndex) -> indexing.FrameIndex:
        return packets

    with monkeypatch.context() as patch:
        patch.setattr(indexing, "count_frames", believe)
        source = PyavSource(path)
    assert source._index.timed
    for index in (50, 21, 22, 69, 3, 2, 1):
        assert number_of(source.frames([index])[0]) == numbers[index]
    source.close()
    file = MediaFile(path)
    assert not count_frames(file).timed
    file.close()

"""The jumping pass: what it decodes, and what it does when files are not as they should be."""

import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from egofeat.errors import MediaError
from egofeat.extract.video import open_video
from egofeat.extract.video.container import VideoReader
from egofeat.extract.video.picture import turn
from egofeat.extract.video.pyav_source import PyavSource
from egofeat.segments import Media

Reader = Callable[[torch.Tensor], int]
Draw = Callable[[int], NDArray[np.uint8]]
Files = dict[str, tuple[Path, list[int]]]
Encode = Callable[..., Path]


def test_jumps_over_long_gaps_only(media: Files) -> None:
    with PyavSource(media["plain"][0]) as source:  # a key frame every 12
        list(source.scan(range(0, 80, 5)))
        assert source.seeks == 0
        assert source.decoded <= 80
    with PyavSource(media["plain"][0]) as source:
        list(source.scan([2, 40, 74]))
        assert source.seeks == 2
        assert source.decoded <= 3 + 6 + 4 + 6


def test_overlapping_segments_are_decoded_once(media: Files) -> None:
    with PyavSource(media["long_gop"][0]) as source:
        list(source.scan(sorted({*range(0, 40, 2), *range(20, 60, 3), *range(25, 30)})))
        assert source.decoded <= 60


@settings(deadline=None, max_examples=25)
@given(data=st.data())
@pytest.mark.parametrize("kind", ["open_gop", "hevc", "edit_list", "ts", "negative", "timeless"])
def test_any_sequence_of_scans_is_exact(
    kind: str, media: Files, number_of: Reader, data: st.DataObject
) -> None:
    path, numbers = media[kind]
    places = st.integers(0, len(numbers) - 1)
    scans = data.draw(st.lists(st.sets(places, max_size=6).map(sorted), max_size=5))
    with PyavSource(path) as source:
        for wanted in scans:
            found = [(index, number_of(frame)) for index, frame in source.scan(wanted)]
            assert found == [(index, numbers[index]) for index in wanted]


@pytest.mark.parametrize("fault", ["refuses", "lands after", "lands between keys"])
@pytest.mark.parametrize("kind", ["plain", "open_gop"])
def test_bad_seeks_fall_back_to_a_plain_scan(
    kind: str, fault: str, media: Files, number_of: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = VideoReader.seek

    def seek(reader: VideoReader, pts: int) -> int | None:
        if fault == "refuses":
            return None
        later = honest(reader, pts + (20 << 9))
        return later if fault == "lands after" else pts

    monkeypatch.setattr(VideoReader, "seek", seek)
    path, numbers = media[kind]
    with PyavSource(path) as source:
        for index in (50, 3, 70, 69, 20):
            assert number_of(source.frames([index])[0]) == numbers[index]


def test_a_broken_packet_costs_its_own_frames_only(
    encoder: Encode, number_of: Reader, tmp_path: Path
) -> None:
    path = encoder(tmp_path / "intra.mp4", options={"g": "1", "bf": "0"}, frames=20)
    with av.open(str(path)) as container:
        spans = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    position, size = spans[7]
    assert position is not None
    content[position : position + size] = b"\xff" * size
    path.write_bytes(content)
    with open_video(Media(path)) as source:
        assert len(source.times) == 20
        assert [number_of(frame) for frame in source.frames([5, 6])] == [5, 6]
        with pytest.raises(MediaError, match=r"intra\.mp4 is damaged: frame 7 at 0\.280 s"):
            source.frames([7])
        # The rest goes on, forward and back.
        assert [number_of(frame) for frame in source.frames([8, 19])] == [8, 19]
        assert [number_of(frame) for frame in source.frames([0, 6])] == [0, 6]
        with pytest.raises(MediaError, match="frame 7"):
            source.frames([3, 7])


def test_damage_looks_the_same_by_whichever_way_it_is_reached(
    encoder: Encode, tmp_path: Path
) -> None:
    path = encoder(tmp_path / "torn.mp4", options={"g": "12", "bf": "2"}, frames=96)
    with av.open(str(path)) as container:
        spans = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for position, size in spans[26:90:9]:
        assert position is not None
        for offset in range(size // 2, size, 11):
            content[position + offset] ^= 0x10
    path.write_bytes(content)

    def look(source: PyavSource, index: int) -> bytes:
        try:
            return source.frames([index]).tobytes()
        except MediaError:
            return b"lost"

    with PyavSource(path) as source:
        plain = [look(source, index) for index in range(96)]
        assert source.seeks == 0
    for seed in range(6):
        order = np.random.default_rng(seed).permutation(96)[:20].tolist()
        with PyavSource(path) as source:
            assert [look(source, index) for index in order] == [plain[index] for index in order]


def test_a_file_that_breaks_off(encoder: Encode, number_of: Reader, tmp_path: Path) -> None:
    path = encoder(tmp_path / "a.mkv", options={"g": "10", "bf": "2"}, frames=100)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with open_video(Media(path)) as source:
        assert 20 < len(source.times) < 80
        assert number_of(source.frames([15])[0]) == 15
    path.write_bytes(whole[:700])
    with pytest.raises(MediaError, match=r"a\.mkv (holds no frame|cannot be opened)"):
        open_video(Media(path))


def test_an_mp4_without_its_index(encoder: Encode, tmp_path: Path) -> None:
    path = encoder(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(MediaError, match=r"a\.mp4 .*cut off"):
        open_video(Media(path))


def test_sound_only(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with pytest.raises(MediaError, match="holds no video stream"):
        open_video(Media(path))


def test_a_codec_that_nobody_knows(encoder: Encode, tmp_path: Path) -> None:
    path = encoder(tmp_path / "a.avi", "mpeg4", options={"bf": "0"})
    path.write_bytes(path.read_bytes().replace(b"FMP4", b"ZZZZ"))
    with pytest.raises(MediaError, match=r"a\.avi cannot be decoded"):
        open_video(Media(path))


def test_one_frame_lasts_one_frame(encoder: Encode, tmp_path: Path) -> None:
    with open_video(Media(encoder(tmp_path / "one.mp4", frames=1))) as source:
        assert source.times.tolist() == [0]
        assert source.stop == pytest.approx(0.04)


def test_times_of_variable_rate_are_those_written(encoder: Encode, tmp_path: Path) -> None:
    pts = [0, 40, 41, 300, 1000, 1001, 5000]
    path = encoder(tmp_path / "v.mkv", frames=7, pts=pts, unit=Fraction(1, 1000))
    with open_video(Media(path)) as source:
        np.testing.assert_allclose(source.times, np.array(pts) / 1000, atol=1e-12)


def test_a_size_that_changes_midway(encoder: Encode, drawn: Draw, tmp_path: Path) -> None:
    small = encoder(tmp_path / "a.ts", frames=5, picture=lambda number: drawn(number)[:64, :64])
    large = encoder(tmp_path / "b.ts", frames=5)
    path = tmp_path / "joined.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    with open_video(Media(path)) as source:
        shapes = [frame.shape for _, frame in source.scan(range(10))]
        assert shapes == [(64, 64, 3)] * 5 + [(96, 128, 3)] * 5
        assert (np.diff(source.times) > 0).all()
        with pytest.raises(MediaError, match="changes its frame size at frame 5"):
            source.frames(range(10))


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), [[1, 2], [3, 4], [5, 6]]),
        ((-1, 0, 0, -1), [[6, 5], [4, 3], [2, 1]]),
        ((-1, 0, 0, 1), [[2, 1], [4, 3], [6, 5]]),
        ((1, 0, 0, -1), [[5, 6], [3, 4], [1, 2]]),
        ((0, 1, -1, 0), [[5, 3, 1], [6, 4, 2]]),  # a quarter turn clockwise
        ((0, -1, 1, 0), [[2, 4, 6], [1, 3, 5]]),
        ((0, 1, 1, 0), [[1, 3, 5], [2, 4, 6]]),
        ((0, -1, -1, 0), [[6, 4, 2], [5, 3, 1]]),
    ],
)
def test_display_matrices(matrix: tuple[int, ...], expected: list[list[int]]) -> None:
    a, b, c, d = (value << 16 for value in matrix)
    rgb = torch.tensor([[1, 2], [3, 4], [5, 6]], dtype=torch.uint8)[..., None].expand(3, 2, 3)
    full = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], np.int32)
    assert turn(rgb, full)[..., 0].tolist() == expected


def test_memory_does_not_grow_with_length(encoder: Encode, drawn: Draw, tmp_path: Path) -> None:
    def large(number: int) -> NDArray[np.uint8]:
        return np.ascontiguousarray(np.tile(drawn(number % 256), (5, 5, 1)))

    path = encoder(
        tmp_path / "long.mp4", frames=400, picture=large, options={"preset": "ultrafast", "g": "50"}
    )
    process = psutil.Process()
    with open_video(Media(path)) as source:
        list(source.scan([0, 10]))
        before = peak = process.memory_info().rss
        for _ in source.scan(range(20, 400)):
            peak = max(peak, process.memory_info().rss)
    assert peak - before < 20 << 20  # 380 frames are 350 MB


def test_reading_is_silent_and_leaves_no_thread(
    media: Files, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "torn.mp4"
    content = bytearray(media["plain"][0].read_bytes())
    content[4000:4400] = bytes(400)
    path.write_bytes(content)
    threads = threading.active_count()
    with open_video(Media(path)) as source:
        for index in range(len(source.times)):
            try:
                source.frames([index])
            except MediaError:
                continue
    assert threading.active_count() == threads
    assert capfd.readouterr() == ("", "")

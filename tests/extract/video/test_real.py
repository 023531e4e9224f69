"""Every real and every odd file: exact frames, or one clear refusal."""

import random
from pathlib import Path

import av
import numpy as np
import pytest
from av.error import FFmpegError
from numpy.typing import NDArray

from egofeat.errors import MediaError
from egofeat.extract.video import open_video
from egofeat.segments import Media

SUFFIXES = {".mp4", ".mkv", ".webm", ".avi", ".mov", ".mpg", ".ts", ".h264", ".gif", ".mp3"}


def plain_scan(path: Path, wanted: set[int]) -> dict[int, NDArray[np.uint8]]:
    """Wanted frames by decoding all, packet after packet, without any index or seek."""
    found: dict[int, NDArray[np.uint8]] = {}
    count = 0
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        assert stream is not None
        stream.thread_count = 1
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except FFmpegError:
                continue
            for frame in frames:
                if count in wanted:
                    found[count] = frame.to_ndarray(format="rgb24")
                count += 1
    found[-1] = np.array(count)
    return found


def upright(frame: NDArray[np.uint8], shape: tuple[int, ...]) -> list[NDArray[np.uint8]]:
    """All turns of a frame that have this shape."""
    turns = (np.rot90(frame, quarters) for quarters in range(4))
    return [turned for turned in turns if turned.shape == shape]


@pytest.mark.real_data
@pytest.mark.parametrize("folder", ["odd", "clips"])
def test_walk(real_data: Path, folder: str) -> None:
    refused, wrong, short = {}, [], {}
    files = [f for f in sorted((real_data / "data" / folder).rglob("*")) if f.suffix in SUFFIXES]
    for path in files:
        try:
            source = open_video(Media(path))
        except MediaError as error:
            refused[path.name] = str(error)
            continue
        with source:
            count = len(source.times)
            wanted = random.Random(path.name).sample(range(count), min(count, 4))
            truth = plain_scan(path, set(wanted))
            if int(truth[-1]) != count:
                short[path.name] = count - int(truth[-1])
                continue
            assert (np.diff(source.times) > 0).all(), path
            for index in wanted:
                frame = source.frames([index])[0]
                turns = upright(truth[index], frame.shape)
                if not any(np.array_equal(frame, turned) for turned in turns):
                    wrong.append((path.name, index))
    assert wrong == []
    assert all(name in reason and "\n" not in reason for name, reason in refused.items())
    if folder == "clips":
        assert not refused
        assert not short
    else:
        assert set(refused) == {
            "audio_only.avi",
            "audio_only.mp4",
            "garbage.mp4",
            "header_only_ftyp.mp4",
            "media__doc_medias__result.webm",
            "pymediainfo-7.0.1__mpeg4.mp4",
            "pymediainfo-7.0.1__sample.mkv",
            "test__public__malformed-join.mp3",
            "text_renamed.mp4",
            "truncated_nomoov.mp4",
            "zero_length.mp4",
        }
        # One packet of each of these does not decode: its frame keeps its place and its time.
        assert short == {"tests__test_data__corrupted.mp4": 1, "truncated_faststart.mp4": 1}


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "lost"),
    [("decord/tests__test_data__corrupted.mp4", 30), ("made/truncated_faststart.mp4", 33)],
)
def test_a_lost_frame_is_an_error_and_its_neighbours_keep_their_times(
    real_data: Path, name: str, lost: int
) -> None:
    path = real_data / "data/odd" / name
    with open_video(Media(path)) as source:
        count = len(source.times)
        truth = plain_scan(path, set(range(count)))
        others = [index for index in range(count) if index != lost]
        for place, (_, frame) in enumerate(source.scan(others)):
            np.testing.assert_array_equal(frame, truth[place])
        with pytest.raises(MediaError, match=f"frame {lost} at"):
            source.frames([lost])

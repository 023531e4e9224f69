"""Decoding: the jumping pass against a plain scan and against a seek for every segment.

    python bench/decode.py [--seconds 60] [--repeats 5]

Encodes a made 30 frames/s H.264 clip (640×360) with a key frame every 12 and every 250 frames,
then decodes 20 frames of every 3 s segment, for several shares of segments wanted. Each
row is measured in one run, the ways taking turns; times are medians, ratios are over the
jumping pass (above 1: that way is slower). The last rows are one decoder thread against
as many as FFmpeg likes, for one video alone and for two videos in two threads.
"""

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from ratios import options, seconds

from egofeat.extract.video import open_video
from egofeat.segments import Media

RATE, SEGMENT, FRAMES = 30, 90, 20


def encode(path: Path, seconds: int, group: int) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (720, 1280), dtype=np.uint8)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.options = {"g": str(group), "preset": "veryfast", "sc_threshold": "0"}
        for number in range(seconds * RATE):
            row, column = number % 300, (3 * number) % 600
            grey = noise[row : row + 360, column : column + 640] // 2 + 60
            frame = av.VideoFrame.from_ndarray(np.repeat(grey[..., None], 3, 2), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def plan(seconds: int, share: float) -> list[list[int]]:
    """Centres of 20 equal parts of every segment wanted, spread over the video."""
    starts = range(0, seconds * RATE - SEGMENT + 1, SEGMENT)
    wanted = [start for place, start in enumerate(starts) if (place * share) % 1 < share]
    return [[s + int((i + 0.5) * SEGMENT / FRAMES) for i in range(FRAMES)] for s in wanted]


def jumping(path: Path, segments: list[list[int]]) -> None:
    with open_video(Media(path)) as source:
        for _ in source.scan(sorted({i for segment in segments for i in segment})):
            pass


def seeking(path: Path, segments: list[list[int]]) -> None:
    """Seek to every segment by itself, as a data loader does."""
    for segment in segments:
        with av.open(str(path)) as container:
            stream, convert = container.streams.video[0], VideoReformatter()
            stream.thread_count = 1
            assert stream.time_base is not None
            container.seek(round(segment[0] / RATE / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                assert frame.pts is not None
                index = round(frame.pts * stream.time_base * RATE)
                if index in segment:
                    convert.reformat(frame, format="rgb24", threads=1).to_ndarray()
                if index >= segment[-1]:
                    break


def scanning(path: Path, segments: list[list[int]], threads: int = 1) -> None:
    wanted, convert = {i for segment in segments for i in segment}, VideoReformatter()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count, stream.thread_type = threads, "AUTO"
        for index, frame in enumerate(container.decode(stream)):
            if index in wanted:
                convert.reformat(frame, format="rgb24", threads=1).to_ndarray()


def pair(path: Path, segments: list[list[int]], threads: int) -> None:
    """Scan two videos at once, in two threads."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: scanning(path, segments, threads), range(2)))


def main() -> None:
    asked = options(__doc__, seconds=60, repeats=5)
    print("key frame every | segments wanted | jumping, s | seek a segment | plain scan")
    with tempfile.TemporaryDirectory() as folder:
        for group in (12, 250):
            path = Path(folder) / f"{group}.mp4"
            encode(path, asked.seconds, group)
            for share in (0.1, 0.5, 1.0):
                segments = plan(asked.seconds, share)
                ways = {way.__name__: partial(way, path, segments) for way in WAYS}
                jump, seek, scan = seconds(ways, asked.repeats).values()
                print(f"{group:>15} | {share:>15.0%} | {jump:>10.3f} | {seek / jump:>14.2f} | "
                      f"{scan / jump:>10.2f}")  # fmt: skip
        segments = plan(asked.seconds, 1.0)
        taken = seconds(
            {
                f"{way.__name__} {threads}": partial(way, path, segments, threads)
                for way in (scanning, pair)
                for threads in (1, 0)
            },
            asked.repeats,
        )
        one, auto, two_one, two_auto = taken.values()
        print(f"one thread / automatic threads: one video {one / auto:.2f}, "
              f"two videos at once {two_one / two_auto:.2f}")  # fmt: skip


WAYS: tuple[Callable[[Path, list[list[int]]], None], ...] = (jumping, seeking, scanning)

if __name__ == "__main__":
    main()

"""A video written anew, each frame with what is drawn over it; its times and its sound stay.

H.264 in yuv420p. A frame of odd sides has its last row or column repeated once; one of another
size than the first is scaled to that. Memory does not grow with the length of the video.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from egofeat.errors import MediaError, RequestError, UnreadableMediaError
from egofeat.extract.video import FrameSource
from egofeat.extract.video.pyav_source import PyavSource
from egofeat.pipelines.annotated.captions import Overlay, Tag, draw_overlay
from egofeat.pipelines.annotated.soundtrack import Silence, Soundtrack
from egofeat.store.files import temporary_path

FORMATS = {".mp4": "mp4", ".mkv": "matroska"}
"""Suffixes of what can be written, to FFmpeg's names of their formats."""
_FINE = Fraction(1, 90_000)
"""Seconds of a tick, where the video's own clock does not tell its frames' times."""
_SCANNED = 256
"""Frames asked for at once; a list of all would grow with the video."""
_BT709 = 1
"""Its number as matrix, primaries and transfer (ITU-T H.273)."""
_LIMITED = 1
"""FFmpeg's number for a range of 16 to 235."""
_TOLERANCE = 1e-6
"""Seconds by which a frame may come before the tags that it gets."""


@dataclass(frozen=True)
class TimedTags:
    """What is drawn over all frames of `[start, stop)` seconds."""

    start: float
    stop: float
    tags: tuple[Tag, ...]


@dataclass(frozen=True)
class Written:
    """What became of a video."""

    frames: int
    lost: int
    """Frames that could not be decoded, and are missing."""
    labels_left_out: int
    """For which a frame had no room, each counted once per overlay."""
    sound_left_out: tuple[str, ...]
    """Codecs of audio streams that could not be kept."""


def check_place(out: Path, video: Path) -> None:
    """Refuse a place where nothing can be written.

    Raises:
        RequestError: another suffix than .mp4 or .mkv, or the video itself.
    """
    if out.suffix.lower() not in FORMATS:
        raise RequestError(f"{out} is neither .mp4 nor .mkv: name such a file with -o")
    if out.is_dir():
        raise RequestError(f"{out} is a folder: name a file with -o")
    if out.exists() and video.exists() and out.samefile(video):
        raise RequestError(f"{out} is the video itself: name another file with -o")


def write_annotated(
    source: FrameSource,
    timed_tags: Iterable[TimedTags],
    out: Path,
    advance: Callable[[int], None] = lambda _: None,
) -> Written:
    """Write every frame of a video with its tags over it, and copy the sound.

    The file is written under a temporary name and takes its own when it is whole.

    Args:
        source: the video, opened: a file by PyAV, or frames.
        timed_tags: in the order of time, none over another; asked for as frames come to them.
        out: file to write, .mp4 or .mkv; folders above it are made.
        advance: told how many more frames are done.

    Raises:
        MediaError: not one frame can be decoded, or the disk fails.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = temporary_path(out, "annotate")
    try:
        written = _write(source, _Drawer(timed_tags), partial, FORMATS[out.suffix.lower()], advance)
        partial.replace(out)
    except OSError as error:
        if error.filename not in (None, str(partial)):
            raise
        raise MediaError(  # FFmpeg's name no file, or the temporary one
            f"{out} cannot be written ({error.strerror}): make room, or name another file with "
            "`out`"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return written


def _write(
    source: FrameSource,
    drawer: "_Drawer",
    partial: Path,
    format_: str,
    advance: Callable[[int], None],
) -> Written:
    frames = _frames(source, advance)
    first = next(frames, None)
    if first is None:
        raise MediaError(f"{source.path} is damaged: not one of its frames can be decoded")
    done = 0
    with ExitStack() as opened:
        output = opened.enter_context(av.open(str(partial), "w", format=format_))
        height, width = first[1].shape[:2]
        pictures = _Pictures(output, source, (width, height))
        sound = _sound(source, output)
        opened.callback(sound.close)
        for index, frame in chain([first], frames):
            picture, time = pictures.fitted(frame), float(source.times[index])
            drawer.draw(picture, time)
            sound.copy_until(time)
            pictures.add(index, picture)
            done += 1
        pictures.finish()
        sound.copy_until()
    lost = len(source.times) - done
    return Written(done, lost, drawer.labels_left_out, tuple(sound.left_out))


def _sound(source: FrameSource, output: OutputContainer) -> Silence:
    """What is heard of a file; frames have no sound."""
    if isinstance(source, PyavSource):
        return Soundtrack(source.path, output, source.origin)
    return Silence()


def _frames(
    source: FrameSource, advance: Callable[[int], None]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Every frame that can be decoded, in order, with its index."""
    at, count = 0, len(source.times)
    while at < count:
        try:
            for index, frame in source.scan(range(at, min(at + _SCANNED, count))):
                advance(1)
                yield index, frame
                at = index + 1
        except UnreadableMediaError:
            raise
        except MediaError:
            advance(1)
            at += 1


class _Drawer:
    """Draws over each frame the tags of its time; their overlay is made once."""

    def __init__(self, timed_tags: Iterable[TimedTags]) -> None:
        self._coming = iter(timed_tags)
        self._current: TimedTags | None = next(self._coming, None)
        self._overlay: Overlay | None = None
        self.labels_left_out = 0

    def draw(self, picture: Image.Image, time: float) -> None:
        now = time + _TOLERANCE
        while self._current and now >= self._current.stop:
            self._current, self._overlay = next(self._coming, None), None
        if self._current and now >= self._current.start:
            if self._overlay is None:
                self._overlay = draw_overlay(self._current.tags, picture.size)
                self.labels_left_out += self._overlay.left_out
            self._overlay.paint(picture)


class _Pictures:
    """The stream of pictures of an output, with the times of a video.

    Args:
        output: where it goes.
        source: whose times its pictures have.
        size: width and height of the first frame.
    """

    def __init__(self, output: OutputContainer, source: FrameSource, size: tuple[int, int]) -> None:
        self._clock, self._ticks = _ticks(source)
        self._output = output
        self._size = size
        self._durations: dict[int, int] = {}
        """Of the pictures that the encoder holds, by their ticks."""
        # Both sides even: colours are halved.
        width, height = (side + side % 2 for side in size)
        rate = len(source.times) / max(source.stop - float(source.times[0]), 1e-3)
        self._stream: VideoStream = output.add_stream(
            "libx264", rate=Fraction(rate).limit_denominator(1001)
        )
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": "20", "preset": "fast"}
        context = self._stream.codec_context
        context.time_base = self._stream.time_base = self._clock
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        if not isinstance(source, PyavSource):
            return
        given = source.stream
        if aspect := given.sample_aspect_ratio:
            lies = (given.width, given.height) != size and (given.height, given.width) == size
            context.sample_aspect_ratio = 1 / aspect if lies else aspect

    def fitted(self, frame_HWC: NDArray[np.uint8]) -> Image.Image:
        """A frame as a picture of the first one's size."""
        picture = Image.fromarray(frame_HWC)
        if picture.size != self._size:
            picture = picture.resize(self._size, Image.Resampling.BICUBIC)
        return picture

    def add(self, index: int, picture: Image.Image) -> None:
        """Encode the picture of a frame."""
        odd = [(0, side % 2) for side in picture.size[::-1]]
        rgb = np.pad(np.asarray(picture), [*odd, (0, 0)], mode="edge")
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="itu709", threads=1)
        tick, until = self._ticks[index : index + 2].tolist()
        frame.pts, frame.time_base = tick, self._clock
        self._durations[tick] = until - tick
        self._mux(frame)

    def finish(self) -> None:
        """Encode what the encoder holds back."""
        self._mux(None)

    def _mux(self, frame: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            if packet.pts is not None:
                packet.duration = self._durations.pop(packet.pts)
            self._output.mux(packet)


def _ticks(source: FrameSource) -> tuple[Fraction, NDArray[np.int64]]:
    """A clock, seconds of a tick, and the times of all frames and of the end in it.

    It is the video's own wherever that tells the times of its frames.
    """
    seconds = np.append(source.times, source.stop)
    own = source.stream.time_base if isinstance(source, PyavSource) else None
    for clock in (own or _FINE, _FINE):
        ticks = seconds * clock.denominator / clock.numerator
        whole = np.round(ticks).astype(np.int64)
        if np.abs(ticks[:-1] - whole[:-1]).max() < 1e-2:
            break
    whole[-1] = max(whole[-1], whole[-2] + 1)
    return clock, whole

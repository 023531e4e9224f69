"""A media file opened by FFmpeg, read forward from its start or from a key frame."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from egofeat.errors import MediaError


class VideoReader:
    """The best video stream of one file: its packets, or its decoded frames, in order.

    Raises:
        MediaError: the file is absent, is no media file, or holds no video.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.decoded = 0
        """Frames decoded since the file was opened."""
        self._container, self.stream = _open(path)
        self._packets = self._demux()
        self._frames = self._decode()

    @property
    def format(self) -> str:
        """Name that FFmpeg gives to the container's format."""
        return self._container.format.name

    @property
    def rate(self) -> Fraction:
        """Frames per second, as far as the file tells; 25, as for FFmpeg, if not at all."""
        return self.stream.guessed_rate or self.stream.average_rate or Fraction(25)

    @property
    def unit(self) -> Fraction:
        """Seconds in one tick of presentation times."""
        return self.stream.time_base or Fraction(1)

    def packets(self) -> Iterator["Packet[VideoStream]"]:
        """Yield the packets that remain; a file that breaks off just ends there."""
        return self._packets

    def next_frame(self) -> VideoFrame | None:
        """Decode on to the next frame shown; None at the end of the file."""
        return next(self._frames, None)

    def seek(self, pts: int) -> int | None:
        """Go to a key frame by its presentation time; say on which one it landed.

        What stands before the first key frame after the landing cannot be decoded and
        is passed over. None means that there was none, or that the format cannot seek.
        """
        try:
            self._container.seek(pts, stream=self.stream)
        except FFmpegError:
            return None
        packets = self._demux()
        landing = next((packet for packet in packets if packet.is_keyframe), None)
        if landing is None:
            return None
        self._packets = chain([landing], packets)
        self._frames = self._decode()
        return landing.pts

    def close(self) -> None:
        """Close the file; PyAV leaks it otherwise."""
        self._container.close()

    def _demux(self) -> Iterator["Packet[VideoStream]"]:
        try:
            # The empty packets with which PyAV ends would flush the decoder: _decode does.
            yield from (packet for packet in self._container.demux(self.stream) if packet.size)
        except FFmpegError:
            return

    def _decode(self) -> Iterator[VideoFrame]:
        flush = None
        for packet in chain(self._packets, [flush]):
            try:
                frames = self.stream.decode(packet)
            except FFmpegError:
                continue  # as ffmpeg does: a broken packet costs its own frames only
            for frame in frames:
                self.decoded += 1
                yield frame


def _open(path: Path) -> tuple[InputContainer, VideoStream]:
    if not path.exists():
        raise MediaError(f"{path} does not exist: check the path, or 'media' of the manifest")
    if path.stat().st_size == 0:
        raise MediaError(f"{path} is empty: copy or download it again")
    try:
        # FFmpeg takes what stands before a colon for a protocol; an absolute path has none.
        container = av.open(str(path.absolute()), metadata_errors="replace")
    except (FFmpegError, OSError) as error:
        raise MediaError(
            f"{path} cannot be opened as video ({error.strerror}): "
            "it is damaged, cut off or no media file"
        ) from None
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
        container.close()
        raise MediaError(f"{path} holds no video stream: it is only sound, or cut off")
    if getattr(stream, "codec_context", None) is None:
        container.close()
        raise MediaError(f"{path} cannot be decoded: FFmpeg does not know its codec")
    # One thread a video: the pipeline decodes several videos at once instead.
    stream.thread_count = 1
    return container, stream

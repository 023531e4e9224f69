"""A media file opened by FFmpeg, read forward from its start or from a key frame."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain
from typing import Any, Self

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from egofeat.errors import MediaError
from egofeat.extract.video.media_file import MediaFile

_BUFFER = 1 << 16
"""Bytes read at once; FFmpeg asks for what is larger in one piece."""
_FAILURES = (FFmpegError, OSError, MemoryError)
"""What PyAV raises, of FFmpeg and of the system."""


class VideoReader:
    """The best video stream of one file: its packets, or its decoded frames, in order.

    One reader reads a file at a time. Reading on, as opening, raises where the disk or the system
    fails; a file that breaks off just ends there.

    Args:
        file: what is read.
        accelerate: the card that decodes; None: the CPU.
        decoder: used in place of a new one; it has read a video with the same parameters.

    Raises:
        MediaError: the file is no media file, or holds no video.
        UnreadableMediaError: the disk or the system failed.
    """

    def __init__(
        self,
        file: MediaFile,
        *,
        accelerate: HWAccel | None = None,
        decoder: VideoCodecContext | None = None,
    ) -> None:
        self.decoded = 0
        """Frames decoded since the file was opened."""
        self._file = file
        self._container = open_container(file, accelerate)
        try:
            self.stream = _video_of(self._container, file)
        except MediaError:
            self._container.close()
            raise
        self.decoder = decoder or self.stream.codec_context
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

    @property
    def reorders(self) -> bool:
        """Whether the codec says that it may show frames in another order than it stores them."""
        return bool(self.decoder.has_b_frames)

    def packets(self) -> Iterator["Packet[VideoStream]"]:
        """Yield the packets that remain."""
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
            self.decoder.flush_buffers()
            self._file.check_reads()
        except _FAILURES as error:
            self._file.check_reads(error)
            return None
        packets = self._demux()
        landing = next((packet for packet in packets if packet.is_keyframe), None)
        if landing is None:
            return None
        self._packets = chain([landing], packets)
        self._frames = self._decode()
        return landing.pts

    def close(self) -> None:
        """End reading, and let go of the decoder and its memory; closing twice is fine."""
        # They lead back here: a decoder's memory would stay until Python looks for such rings.
        self._packets, self._frames = iter(()), iter(())
        if container := vars(self).pop("_container", None):
            container.close()  # PyAV leaks it otherwise
            del self.stream, self.decoder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _demux(self) -> Iterator["Packet[VideoStream]"]:
        return packets_of(self._file, self._container, [self.stream])

    def _decode(self) -> Iterator[VideoFrame]:
        flush = None
        for packet in chain(self._packets, [flush]):
            try:
                frames = self.decoder.decode(packet)
            except FFmpegError as error:
                self._file.check_reads(error)
                continue  # as ffmpeg does: a broken packet costs its own frames only
            for frame in frames:
                self.decoded += 1
                yield frame


def open_container(file: MediaFile, accelerate: HWAccel | None = None) -> InputContainer:
    """Open a file, whatever streams it has.

    Args:
        file: what is read.
        accelerate: the card that decodes; None: the CPU.

    Raises:
        MediaError: it is no media file.
        UnreadableMediaError: the disk or the system failed.
    """
    try:
        container = av.open(
            file.view(),
            "r",
            # A list of other files is no video: what those hold is not read as this one.
            options={"protocol_whitelist": "none"},
            metadata_errors="replace",
            buffer_size=_BUFFER,
            hwaccel=accelerate,
        )
    except _FAILURES as error:
        file.check_reads(error)
        raise MediaError(
            f"{file.path} cannot be opened as video ({getattr(error, 'strerror', None)}): "
            "it is damaged, cut off or no media file"
        ) from None
    try:
        file.check_reads()
    except BaseException:
        container.close()
        raise
    return container


def packets_of(
    file: MediaFile, container: InputContainer, streams: Sequence[Stream]
) -> Iterator["Packet[Any]"]:
    """Yield the packets that remain; a file that breaks off just ends there.

    Raises:
        UnreadableMediaError: the disk or the system failed.
    """
    try:
        for packet in container.demux(*streams):
            if file.failure is not None:
                file.check_reads()
            # The empty packets with which PyAV ends would flush a decoder: who decodes does.
            if packet.size:
                yield packet
    except _FAILURES as error:
        file.check_reads(error)


def _video_of(container: InputContainer, file: MediaFile) -> VideoStream:
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
        raise MediaError(f"{file.path} holds no video stream: it is only sound, or cut off")
    if getattr(stream, "codec_context", None) is None:
        raise MediaError(f"{file.path} cannot be decoded: FFmpeg does not know its codec")
    # One thread a video: the pipeline decodes several videos at once instead.
    stream.thread_count = 1
    return stream

"""The sound of one file copied into another, beside pictures that are made anew."""

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.audio.stream import AudioStream
from av.container import OutputContainer

from egofeat.extract.video.container import open_container, packets_of
from egofeat.extract.video.media_file import MediaFile


class Silence:
    """What is heard of frames."""

    left_out: Sequence[str] = ()
    """Codecs of the streams that the output does not take."""

    def copy_until(self, second: float = math.inf) -> None:
        """Copy what is heard before this second of the output."""

    def close(self) -> None:
        """Close the file that is read."""


class Soundtrack(Silence):
    """The audio streams of a file, packet by packet; only as far as the pictures are.

    Args:
        path: the file; it may have none.
        output: where they go; it has its picture's stream, and nothing was written yet.
        origin: seconds of the file that are second 0 of the output.
    """

    def __init__(self, path: Path, output: OutputContainer, origin: Fraction) -> None:
        self._file = MediaFile(path)
        self._input = open_container(self._file)
        self._output = output
        self._origin = origin
        streams = self._input.streams.audio
        copied = [stream for stream in streams if _codec(stream) in output.supported_codecs]
        self.left_out = [_codec(stream) for stream in streams if stream not in copied]
        self._copies = {one.index: output.add_stream_from_template(one) for one in copied}
        packets = packets_of(self._file, self._input, copied) if copied else ()
        self._packets = (packet for packet in packets if packet.dts is not None)
        self._next: Any = next(self._packets, None)  # PyAV's types let times be None

    def copy_until(self, second: float = math.inf) -> None:
        """See `Silence.copy_until`."""
        while (packet := self._next) and packet.dts * packet.time_base - self._origin < second:
            shift = round(self._origin / packet.time_base)
            packet.dts -= shift
            packet.pts = packet.dts if packet.pts is None else packet.pts - shift
            packet.stream = self._copies[packet.stream.index]
            self._output.mux(packet)
            self._next = next(self._packets, None)

    def close(self) -> None:
        """See `Silence.close`."""
        self._input.close()
        self._file.close()


def _codec(stream: AudioStream) -> str:
    context = getattr(stream, "codec_context", None)
    return context.codec.canonical_name if context else "an unknown codec"

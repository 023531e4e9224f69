"""The sound of one file on its way into another, beside pictures that are made anew.

Packets are copied where the new file takes their codec, else decoded and encoded as AAC. Only as
much is read as belongs to the pictures so far.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.error import FFmpegError

from egofeat.extract.video.container import open_container, packets_of
from egofeat.extract.video.media_file import MediaFile

_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
"""Samples a second that AAC has a number for (ISO/IEC 14496-3, table 1.18); it lacks one here."""


class _Track(Protocol):
    """One audio stream on its way."""

    def take(self, packet: Any) -> None:
        """Pass one packet on."""

    def finish(self) -> None:
        """Pass on what was kept back."""


class Soundtrack:
    """All audio streams of a file.

    Args:
        path: the file; it may have none.
        output: where they go; it has its picture's stream, and nothing was written yet.
        origin: seconds of the file that are second 0 of the output.
    """

    def __init__(self, path: Path, output: OutputContainer, origin: Fraction) -> None:
        self.left_out: list[str] = []
        """Codecs of the streams that could not be kept."""
        self._file = MediaFile(path)
        self._input = open_container(self._file)
        self._origin = origin
        self._tracks: dict[int, _Track] = {}
        streams = self._input.streams.audio
        for stream in streams:
            track = _track(stream, output, origin)
            if track:
                self._tracks[stream.index] = track
            else:
                self.left_out.append(_codec(stream) or "an unknown codec")
        kept = [stream for stream in streams if stream.index in self._tracks]
        self._packets = self._demux(kept)
        self._next = next(self._packets, None)

    def read_to(self, second: float) -> None:
        """Pass on what is heard before this second of the output."""
        while self._next is not None and _second(self._next) - self._origin < second:
            self._tracks[self._next.stream.index].take(self._next)
            self._next = next(self._packets, None)

    def finish(self) -> None:
        """Pass on all that remains."""
        self.read_to(float("inf"))
        for track in self._tracks.values():
            track.finish()

    def close(self) -> None:
        """Close the file that is read."""
        self._input.close()
        self._file.close()

    def _demux(self, streams: Sequence[AudioStream]) -> Iterator[Any]:
        if streams:
            packets = packets_of(self._file, self._input, streams)
            yield from (packet for packet in packets if packet.dts is not None)


def _track(stream: AudioStream, output: OutputContainer, origin: Fraction) -> _Track | None:
    if _codec(stream) in output.supported_codecs:
        return _Copied(stream, output, origin)
    if getattr(stream, "codec_context", None) is None:
        return None
    return _Encoded(stream, output, origin)


class _Copied:
    """A stream whose packets stay as they are, but for their times."""

    def __init__(self, stream: AudioStream, output: OutputContainer, origin: Fraction) -> None:
        self._output, self._origin = output, origin
        self._stream = output.add_stream_from_template(stream)

    def take(self, packet: Any) -> None:
        shift = round(self._origin / packet.time_base)
        packet.dts -= shift
        if packet.pts is not None:
            packet.pts -= shift
        packet.stream = self._stream
        self._output.mux(packet)

    def finish(self) -> None:
        """Nothing is kept back."""


class _Encoded:
    """A stream that is decoded, and encoded as AAC."""

    def __init__(self, stream: AudioStream, output: OutputContainer, origin: Fraction) -> None:
        self._input, self._output, self._origin = stream, output, origin
        rate = min(_RATES, key=lambda rate: (abs(rate - stream.rate), rate))
        layout = stream.layout.name if stream.layout.nb_channels <= 2 else "stereo"
        self._stream = output.add_stream("aac", rate=rate, layout=layout)
        self._resampler = AudioResampler("fltp", layout, rate)

    def take(self, packet: Any) -> None:
        with suppress(FFmpegError):  # a broken packet costs its own samples only
            self._encode(self._input.decode(packet))

    def finish(self) -> None:
        with suppress(FFmpegError):
            self._encode(self._input.decode(None))
        self._encode([None])
        self._output.mux(self._stream.encode(None))

    def _encode(self, frames: Sequence[AudioFrame | None]) -> None:
        for frame in frames:
            for resampled in self._resampler.resample(frame):
                if resampled.pts is not None and resampled.time_base:
                    resampled.pts -= round(self._origin / resampled.time_base)
                self._output.mux(self._stream.encode(resampled))


def _codec(stream: AudioStream) -> str | None:
    context = getattr(stream, "codec_context", None)
    return context.codec.canonical_name if context else None


def _second(packet: Any) -> Fraction:
    return Fraction(packet.dts * packet.time_base)

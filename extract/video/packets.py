"""When the packets of a video are shown: from the packets, or from what its file says of them."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Self

import numpy as np
from av.packet import Packet
from numpy.typing import NDArray

from egofeat.extract.video.container import VideoReader
from egofeat.extract.video.media_file import MediaFile
from egofeat.extract.video.sample_tables import tables_of

_HELD_AGAINST = 32
"""Packets that are read in any case, and that a file's tables must agree with: more than a decoder
reorders, and mostly in what was read to open it."""
_WHOLE = frozenset(("h264", "hevc", "av1", "vp9", "mpeg4", "prores", "mjpeg"))
"""Codecs of which FFmpeg makes one packet a sample, as it stands in the file."""
_KEY, _DISCARDED = 1, 2
"""Flags of FFmpeg's index."""


@dataclass(frozen=True, eq=False)
class Packets:
    """The packets of a video stream in the order in which they are stored."""

    pts: NDArray[np.int64]
    """[packets] presentation times in the stream's unit."""
    durations: NDArray[np.int64]
    """[packets] in the stream's unit; 0 where nothing is said."""
    are_keys: NDArray[np.bool_]
    are_shown: NDArray[np.bool_]
    """[packets] False where an edit list discards one."""

    @classmethod
    def of(cls, packets: Iterable["Packet[Any]"]) -> Self | None:
        """Read packets to the end; None where one has no presentation time."""
        pts, durations, flags = array("q"), array("q"), bytearray()
        for packet in packets:
            if packet.pts is None:
                return None
            pts.append(packet.pts)
            durations.append(packet.duration or 0)
            flags.append(packet.is_keyframe + 2 * (not packet.is_discard))
        bits = np.frombuffer(flags, np.uint8)
        times, lengths = (np.array(ticks, np.int64) for ticks in (pts, durations))
        return cls(times, lengths, bits & 1 > 0, bits & 2 > 0)

    def __len__(self) -> int:
        return len(self.pts)

    def begins_with(self, first: "Packets") -> bool:
        """Whether these are the first of them, and all if they are fewer than were asked for."""
        whole = len(first) == _HELD_AGAINST or len(first) == len(self)
        pairs = zip(vars(self).values(), vars(first).values(), strict=True)
        return whole and all(np.array_equal(own[: len(first)], of) for own, of in pairs)


def packets_in(reader: VideoReader, file: MediaFile) -> Packets | None:
    """The packets of a file that was opened just now; None where some have no presentation time.

    The tables of an MP4 or MOV file, where they are there and sound, save reading all of it. Its
    key frames are then those that can be jumped to.

    Raises:
        UnreadableMediaError: the disk or the system failed.
    """
    head = list(islice(reader.packets(), _HELD_AGAINST))
    first = Packets.of(head)
    if first is None:
        return None
    tabled = _tabled(reader, file, first) if len(first) else None
    if tabled is not None and tabled.begins_with(first):
        return tabled
    return Packets.of(chain(head, reader.packets()))


def _tabled(reader: VideoReader, file: MediaFile, first: Packets) -> Packets | None:
    """What the file's tables say, to be held against the first packets; None where not all.

    FFmpeg gives the samples that it will read, with times of decoding that its treatment of edit
    lists has been through; the tables give what it keeps to itself: how much later each is shown,
    and for how long.
    """
    codec = reader.stream.codec_context.codec.canonical_name
    entries = list(reader.stream.index_entries)
    if "mp4" not in reader.format.split(",") or codec not in _WHOLE or not entries:
        return None
    tables = tables_of(file, reader.stream.id, len(entries))
    if tables is None:
        return None
    places = np.array([(one.timestamp, one.pos, one.size, one.flags) for one in entries], np.int64)
    decoded, begins, sizes, flags = places.T
    are_keys, are_shown = flags & _KEY > 0, flags & _DISCARDED == 0
    within = (sizes > 0) & (begins + sizes <= file.size)
    if not (within.all() and are_keys[0] and (tables.durations > 0).all()):
        return None
    shown = decoded + tables.delays
    # FFmpeg moves all times of showing alike, so that none lies before its time of decoding.
    shown += first.pts[0] - shown[0]
    return Packets(shown, tables.durations, are_keys, are_shown)

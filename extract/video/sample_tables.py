"""Tables of an MP4 or MOV file that say when its samples are shown (ISO/IEC 14496-12, 8.6)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from egofeat.extract.video.files import MOST_BYTES
from egofeat.extract.video.media_file import MediaFile


@dataclass(frozen=True, eq=False)
class SampleTables:
    """What the tables of one track say of its samples, in the order of decoding."""

    durations: NDArray[np.int64]
    """[samples] in the unit of the track."""
    delays: NDArray[np.int64]
    """[samples] from the time of decoding to that of showing; may be negative."""


class _UnsoundError(Exception):
    """The tables are not there, or not such as are relied on."""


@dataclass(frozen=True)
class _Box:
    """What a box holds, without its header."""

    content: memoryview

    def boxes(self, kind: bytes) -> Iterator["_Box"]:
        """Boxes of a kind that stand in it."""
        begin = 0
        while begin + 8 <= len(self.content):
            found, head, size = _header(self.content[begin : begin + 16], len(self.content) - begin)
            if found == kind:
                yield _Box(self.content[begin + head : begin + size])
            begin += size

    def only(self, *path: bytes) -> "_Box":
        """The one box at a path of kinds."""
        box = self
        for kind in path:
            found = list(box.boxes(kind))
            if len(found) != 1:
                raise _UnsoundError
            box = found[0]
        return box

    def numbers(self, form: str, offset: int) -> tuple[int, ...]:
        """Numbers at a byte of it, as `struct` reads them."""
        if offset + struct.calcsize(form) > len(self.content):
            raise _UnsoundError
        return struct.unpack_from(form, self.content, offset)

    def per_sample(self, count: int) -> NDArray[np.int64]:
        """A table of runs, `(samples, value)` each, written out for every sample."""
        (runs,) = self.numbers(">I", 4)
        if 8 + 8 * runs > len(self.content):
            raise _UnsoundError
        table = np.frombuffer(self.content, [("samples", ">u4"), ("value", ">i4")], runs, 8)
        if table["samples"].sum(dtype=np.int64) != count:
            raise _UnsoundError
        return np.repeat(table["value"].astype(np.int64), table["samples"])


def tables_of(file: MediaFile, track: int, count: int) -> SampleTables | None:
    """Read what the tables of a track say; None where there are none that can be relied on.

    That is: of a fragmented film, of a damaged one, of one that is put together of several edits,
    whose samples may be shown in another order, or twice, or of other than `count` samples.

    Raises:
        UnreadableMediaError: the disk or the system failed.
    """
    try:
        film = _film(file)
        if any(film.boxes(b"mvex")):
            return None
        tracks = [box for box in film.boxes(b"trak") if _id_of(box) == track]
        if len(tracks) != 1 or not _one_edit(tracks[0]):
            return None
        table = tracks[0].only(b"mdia", b"minf", b"stbl")
        if table.only(b"stsz").numbers(">I", 8) != (count,):
            return None
        durations = table.only(b"stts").per_sample(count)
        delays = np.zeros(count, np.int64)
        if any(table.boxes(b"ctts")):
            delays = table.only(b"ctts").per_sample(count)
    except _UnsoundError:
        return None
    return SampleTables(durations, delays)


def _film(file: MediaFile) -> _Box:
    """The box that holds all tables."""
    begin = 0
    while begin + 8 <= file.size:
        kind, head, size = _header(memoryview(file.read(begin, 16)), file.size - begin)
        if kind == b"moov":
            if size > MOST_BYTES:
                break
            content = file.read(begin + head, size - head)
            if len(content) < size - head:
                break
            return _Box(memoryview(content))
        if kind == b"moof":
            break
        begin += size
    raise _UnsoundError


def _header(begin: memoryview, room: int) -> tuple[bytes, int, int]:
    """Kind of a box that begins so, bytes of its header, and of all of it; it fits the room."""
    head = 8
    if len(begin) < head:
        raise _UnsoundError
    size, kind = struct.unpack_from(">I4s", begin)
    if size == 1 and len(begin) >= 16:
        head, (size,) = 16, struct.unpack_from(">Q", begin, 8)
    elif size == 0:
        size = room
    if not head <= size <= room:
        raise _UnsoundError
    return kind, head, size


def _id_of(track: _Box) -> int:
    header = track.only(b"tkhd")
    (version,) = header.numbers(">B", 0)
    return header.numbers(">I", 20 if version else 12)[0]


def _one_edit(track: _Box) -> bool:
    """Whether one piece of the track is shown, in its own pace, after a wait or none."""
    lists = [found for box in track.boxes(b"edts") for found in box.boxes(b"elst")]
    if not lists:
        return True
    (version,), (count,) = lists[0].numbers(">B", 0), lists[0].numbers(">I", 4)
    form = ">QqI" if version else ">IiI"
    if len(lists) > 1 or count > 2:
        return False
    edits = [lists[0].numbers(form, 8 + place * struct.calcsize(form)) for place in range(count)]
    shown = [rate for _, begin, rate in edits if begin != -1]
    return shown in ([], [1 << 16])

"""Which frames a video shows and when, found without decoding wherever that is safe."""

from array import array
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import MediaError
from egofeat.extract.video.container import VideoReader
from egofeat.extract.video.media_file import MediaFile
from egofeat.extract.video.packets import packets_in

_MOST_HELD = 16
"""Frames that a decoder holds back to bring them into order, at most (H.264, HEVC)."""
_JITTER = 0.75
"""Frames by which times in the order of decoding may stray and mean nothing."""


@dataclass(frozen=True)
class FrameIndex:
    """The frames of a video in the order in which they are shown."""

    times: NDArray[np.float64]
    """[frames] seconds from the first one."""
    stop: float
    """Second at which the last frame ends, exclusive."""
    pts: NDArray[np.int64]
    """[frames] presentation times in the stream's unit, strictly increasing; empty where
    the file gives none to rely on: its frames are then counted as they come."""
    unit: Fraction
    """Seconds in one tick of `pts`."""
    keys: NDArray[np.int64]
    """[keys] presentation times of the key frames, shown or not, increasing."""
    in_file_order: bool = False
    """Whether packets are stored in the order of their times: then nothing is reordered, or what
    stands there are no times of showing."""
    leading: int = 0
    """Frames that are shown before the first key frame, or stored before it: what they lean on may
    not be in the file."""

    @property
    def timed(self) -> bool:
        """Whether frames can be told by their presentation times."""
        return len(self.pts) > 0

    def place(self, pts: int | None) -> int | None:
        """Say which frame is shown at this presentation time, if any."""
        if pts is None:
            return None
        place = int(self.pts.searchsorted(pts))
        return place if place < len(self.pts) and self.pts[place] == pts else None

    def key_of(self, place: int) -> int | None:
        """Find, in `keys`, the key frame from which this frame can be decoded.

        Frames that lead an open group are shown before its key frame: they belong to the
        key frame before, which this rule by presentation time gives.
        """
        key = int(np.searchsorted(self.keys, self.pts[place], side="right")) - 1
        return key if key >= 0 else None

    def place_of_key(self, pts: int) -> int:
        """First frame shown at or after a key frame's time."""
        return int(np.searchsorted(self.pts, pts))


def read_index(file: MediaFile) -> FrameIndex:
    """Index a video by its packets; by decoding all of it where packets do not tell.

    Packets that an edit list discards are not shown, though a key frame among them may
    be needed. Packets do not tell when frames are shown if presentation times are
    missing or stand twice (raw streams, joined files), or if they stand in the order of
    decoding though the codec reorders (AVI with B-frames, and what is remuxed of it).

    Pictures before the first key frame that the decoder does not show are no frames.

    Raises:
        MediaError: the file cannot be read as video or shows no frame.
    """
    with VideoReader(file) as reader:
        index = _from_packets(reader, file)
        doubtful = index is not None and index.in_file_order and reader.reorders
    if index is None or doubtful:
        index = count_frames(file, index)
    elif index.leading:
        with VideoReader(file) as reader:
            first = reader.next_frame()
        if first is None or first.pts is not None:
            index = _begun(index, first.pts if first else None)
    file.check()
    if not len(index.times):
        raise MediaError(f"{file.path} holds no frame: it is cut off or was never finished")
    return index


def index_of(path: Path) -> FrameIndex:
    """Index a video that somebody else decodes; see `read_index`."""
    file = MediaFile(path)
    try:
        return read_index(file)
    finally:
        file.close()


def count_frames(file: MediaFile, packets: FrameIndex | None = None) -> FrameIndex:
    """Index a video by decoding all of it.

    Where the decoder shows frames in the order of their times, the index by `packets` holds.
    Else frames are counted as they come, and evenly spaced at the stream's rate. Where times in
    the order of decoding tell of frames that were dropped or of another rate, a frame is shown
    when the decoder needed the packet that made it show this one.
    """
    shown, needed = array("q"), array("q")
    frames = 0
    with VideoReader(file) as reader:
        while (frame := reader.next_frame()) is not None:
            if frame.pts is not None:
                shown.append(frame.pts)
            if frame.dts is not None and len(needed) == frames:
                needed.append(frame.dts)
            frames += 1
        unit, step = reader.unit, float(1 / reader.rate)
        held = frames - len(needed)
    pts, dts = (np.asarray(ticks, dtype=np.int64) for ticks in (shown, needed))
    timed = frames == len(pts) and _rises(pts)
    if timed and packets is not None and np.isin(pts, packets.pts).all():
        return _begun(packets, int(pts[0]) if frames else None)
    times = np.arange(frames, dtype=np.float64) * step
    if timed:
        times = _seconds(pts, unit)
    elif held <= _MOST_HELD < frames and _rises(dts):
        # At the end of the file the decoder shows what it holds and needs no packet.
        rest = np.arange(1, held + 1, dtype=np.float64) * step
        told = np.concatenate([(begun := _seconds(dts, unit)), begun[-1] + rest])
        if np.abs(told - times).max() > _JITTER * step:
            times = told
    stop = float(times[-1]) + step if frames else 0.0
    none = np.empty(0, np.int64)
    return FrameIndex(times, stop, none, unit, none)


def _from_packets(reader: VideoReader, file: MediaFile) -> FrameIndex | None:
    """Index by packets, or None where they do not tell."""
    if reader.format == "avi" and reader.reorders:
        return None  # it has an empty packet for each frame that was dropped, too
    packets = packets_in(reader, file)
    if packets is None:
        return None
    stored, keys = packets.pts[packets.are_shown], packets.pts[packets.are_keys]
    pts = np.unique(stored)
    if len(pts) < len(stored):
        return None
    times = _seconds(pts, reader.unit)
    stop, leading = 0.0, 0
    if len(pts):
        last = int(packets.durations[packets.are_shown][stored.argmax()])
        stop = float(times[-1]) + (float(last * reader.unit) if last else float(1 / reader.rate))
        before = packets.are_shown[: packets.are_keys.argmax()] if len(keys) else packets.are_shown
        leading = int(before.sum())
        if len(keys):
            leading = max(leading, int(np.searchsorted(pts, keys[0])))
    return FrameIndex(
        times,
        stop,
        pts,
        reader.unit,
        np.unique(keys),
        in_file_order=_rises(stored),
        leading=leading,
    )


def _begun(index: FrameIndex, first: int | None) -> FrameIndex:
    """Leave out the leading pictures that are not shown: all before the first frame that is."""
    place = len(index.pts) if first is None else int(np.searchsorted(index.pts, first))
    if not index.leading or not place:
        return index
    times = index.times[place:]
    begin = float(times[0]) if len(times) else 0.0
    return replace(
        index,
        times=_seconds(index.pts[place:], index.unit),
        stop=index.stop - begin,
        pts=index.pts[place:],
    )


def _rises(ticks: NDArray[np.int64]) -> bool:
    return bool((np.diff(ticks) > 0).all())


def _seconds(pts: NDArray[np.int64], unit: Fraction) -> NDArray[np.float64]:
    """Ticks to seconds from the first, rounded once."""
    return (pts - pts[:1]) * unit.numerator / unit.denominator

"""Which frames a video shows and when, found without decoding wherever that is safe."""

from array import array
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import MediaError
from egofeat.extract.video.container import VideoReader


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

    @property
    def timed(self) -> bool:
        """Whether frames can be told by their presentation times."""
        return len(self.pts) > 0

    def place(self, pts: int | None) -> int | None:
        """Say which frame is shown at this presentation time, if any."""
        if pts is None:
            return None
        place = int(np.searchsorted(self.pts, pts))
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


def read_index(path: Path) -> FrameIndex:
    """Index a video by its packets; by decoding all of it where packets do not tell.

    Packets that an edit list discards are not shown, though a key frame among them may
    be needed. Packets do not tell when frames are shown if presentation times are
    missing or stand twice (raw streams, joined files), or if the format stores only the
    order of decoding (AVI with B-frames).

    Raises:
        MediaError: the file cannot be opened or shows no frame.
    """
    reader = VideoReader(path)
    try:
        index = _from_packets(reader)
    finally:
        reader.close()
    if index is None:
        reader = VideoReader(path)
        try:
            index = _from_frames(reader)
        finally:
            reader.close()
    if not len(index.times):
        raise MediaError(f"{path} holds no frame: it is cut off or was never finished")
    return index


def _from_packets(reader: VideoReader) -> FrameIndex | None:
    """Index by packets, or None where they do not tell."""
    if reader.format == "avi" and reader.stream.codec_context.has_b_frames:
        return None
    shown, keys = array("q"), array("q")
    last_pts, last_duration = None, 0
    for packet in reader.packets():
        if packet.pts is None:
            return None
        if packet.is_keyframe:
            keys.append(packet.pts)
        if packet.is_discard:
            continue
        shown.append(packet.pts)
        if last_pts is None or packet.pts > last_pts:
            last_pts, last_duration = packet.pts, packet.duration or 0
    pts = np.unique(np.asarray(shown, dtype=np.int64))
    if len(pts) < len(shown):
        return None
    times = _seconds(pts, reader.unit)
    last = float(last_duration * reader.unit) if last_duration else float(1 / reader.rate)
    stop = float(times[-1]) + last if len(times) else 0.0
    return FrameIndex(times, stop, pts, reader.unit, np.unique(np.asarray(keys, dtype=np.int64)))


def _from_frames(reader: VideoReader) -> FrameIndex:
    """Count frames as the decoder shows them; evenly spaced where their times are no use."""
    known, frames = array("q"), 0
    while (frame := reader.next_frame()) is not None:
        frames += 1
        if frame.pts is not None:
            known.append(frame.pts)
    # Times that only stand in the order of decoding are the right times in another order.
    pts = np.unique(np.asarray(known, dtype=np.int64))
    step = float(1 / reader.rate)
    times = np.arange(frames, dtype=np.float64) * step
    if len(pts) == frames:
        times = _seconds(pts, reader.unit)
    stop = float(times[-1]) + step if frames else 0.0
    none = np.empty(0, np.int64)
    return FrameIndex(times, stop, none, reader.unit, none)


def _seconds(pts: NDArray[np.int64], unit: Fraction) -> NDArray[np.float64]:
    """Ticks to seconds from the first, rounded once."""
    return (pts - pts[:1]) * unit.numerator / unit.denominator

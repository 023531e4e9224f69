"""PyAV behind the contract: exact frames by one jumping pass."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from egofeat.errors import MediaError
from egofeat.extract.video.container import VideoReader
from egofeat.extract.video.index import FrameIndex, count_frames, read_index
from egofeat.extract.video.media_file import MediaFile
from egofeat.extract.video.picture import Painter
from egofeat.extract.video.source import FrameSource

if TYPE_CHECKING:
    from torch import Tensor

JUMP = 8
"""Frames: decoding on is cheaper than seeking to a key frame that is nearer than this."""


class PyavSource(FrameSource):
    """A video file read by FFmpeg through PyAV.

    Wanted frames are met in one forward pass that jumps over gaps. Each frame is known
    by its presentation time, never by counting from a seek. Where a seek lands wrong, a
    frame does not appear after it, or damage is met on the way (what a decoder puts in
    its place depends on what it read before), the file is opened afresh and read from
    its start, so that a frame is the same by whichever way it is reached.

    Args:
        path: the file.
        like: a source of the same file, whose index is taken over.

    Raises:
        MediaError: the file cannot be opened or shows no frame.
    """

    def __init__(self, path: Path, like: "PyavSource | None" = None) -> None:
        self.path = path
        self.seeks = 0
        """Jumps made so far."""
        self._file: MediaFile = like._file.again() if like else MediaFile(path)
        self._painter = Painter()
        self._decoded = 0
        self._passed: tuple[int, VideoFrame] | None = None
        """The last frame that the reader showed, and its place."""
        self._sure: bool = like is not None and like._sure
        """Whether all was decoded, because frames did not come as the packets say."""
        try:
            self._index: FrameIndex = like._index if like else read_index(self._file)
            self._open()
        except BaseException:
            self._file.close()
            raise
        self.times, self.stop = self._index.times, self._index.stop
        self._seekable = self._index.timed

    @property
    def stream(self) -> VideoStream:
        """What FFmpeg says of the stream of pictures."""
        return self._reader.stream

    @property
    def origin(self) -> Fraction:
        """Second of the file's own clock at which its first frame is shown."""
        begin = self._index.pts[0] if self._index.timed else self.stream.start_time or 0
        return int(begin) * self._index.unit

    @property
    def entries(self) -> NDArray[np.int64]:
        """The first frame shown at or after each key frame."""
        if not self._seekable:
            return super().entries
        return np.union1d([0], np.searchsorted(self._index.pts, self._index.keys))

    def again(self) -> "PyavSource":
        """Open the video once more, for another pass at the same time; it is not indexed again."""
        return PyavSource(self.path, like=self)

    @property
    def decoded(self) -> int:
        """Frames decoded so far, wanted or passed over; the index not counted."""
        return self._decoded + self._reader.decoded

    def close(self) -> None:
        """Close the file, and let go of its frames and decoder; closing twice is fine."""
        self._passed = None
        self._reader.close()
        self._file.close()

    def _scan(self, wanted: list[int]) -> Iterator[tuple[int, "Tensor"]]:
        for index in wanted:
            yield index, self._painter.paint(self._reach(index))

    def _reach(self, wanted: int) -> VideoFrame:
        self._file.check()
        if self._passed is None or self._passed[0] != wanted:
            self._approach(wanted)
        frame = self._read_to(wanted)
        if frame is None and self._jumped:
            self._seekable = False
            self._reopen()
            frame = self._read_to(wanted)
        if frame is None:
            raise MediaError(
                f"{self.path} is damaged: frame {wanted} at {self.times[wanted]:.3f} s "
                "cannot be decoded"
            )
        self._file.check()
        return frame

    def _approach(self, wanted: int) -> None:
        """Go to where reading on will meet the wanted frame soonest."""
        if 0 <= wanted - self._place <= JUMP:
            return  # its key frame is no farther
        behind = wanted < self._place
        key = self._index.key_of(wanted) if self._seekable else None
        if key:
            ahead = self._index.place_of_key(int(self._index.keys[key])) - self._place
            if (behind or ahead > JUMP) and not self._jump(key):
                self._reopen()
        elif behind:  # the first key frame is best reached by opening afresh
            self._reopen()

    def _jump(self, key: int) -> bool:
        """Seek to a key frame; say whether it landed on it, or on one before it.

        Formats without an index of key frames (MPEG-TS) may land after the one that was
        asked for: asking for the one before it then finds it.
        """
        keys = self._index.keys
        for target in keys[key::-1][:2].tolist():
            self.seeks += 1
            landed = self._reader.seek(target)
            if landed is not None and landed <= keys[key] and landed in keys:
                self._place = self._index.place_of_key(landed)
                self._passed, self._jumped = None, True
                return True
        self._seekable = False
        return False

    def _read_to(self, wanted: int) -> VideoFrame | None:
        """Decode on to the wanted frame; None where the video passes over it."""
        while self._passed is None or self._passed[0] < wanted:
            frame = self._reader.next_frame()
            if frame is None:
                return None
            place = self._index.place(frame.pts) if self._index.timed else self._place
            # Frames from before a jump's key frame lean on frames that were not read.
            before = self._jumped and self._passed is None
            if place is None or (before and place < self._place):
                continue
            if not self._sure and (place != self._place or self._reorders_unsaid()):
                self._make_sure()
                continue
            if place < self._place:
                continue
            if self._jumped and frame.is_corrupt:
                return None
            self._passed = place, frame
            self._place = place + 1
        return self._passed[1] if self._passed[0] == wanted else None

    def _reorders_unsaid(self) -> bool:
        """Whether the decoder has begun to reorder what the packets have in order."""
        return self._index.in_file_order and self._reader.reorders

    def _make_sure(self) -> None:
        """Decode all of a file whose frames do not come as its packets say.

        Where some are missing it is damaged, and the packets hold; where every frame is there,
        in another order than that of the times, the order holds.
        """
        self._reader.close()
        counted = count_frames(self._file, self._index)
        if not counted.timed:
            if len(counted.times) == len(self.times):
                self._index, self._seekable = counted, False
            elif self._index.in_file_order:
                raise MediaError(
                    f"{self.path} does not say when its frames are shown, which appears only in "
                    "its middle: re-encode it"
                )
        self._sure = True
        self._reopen()

    def _read_anew(self) -> VideoReader:
        return VideoReader(self._file)

    def _open(self) -> None:
        self._reader: VideoReader = self._read_anew()
        self._place = 0
        """The next frame that the reader may show."""
        self._passed = None
        self._jumped = False

    def _reopen(self) -> None:
        self._decoded += self._reader.decoded
        self._reader.close()
        self._open()

"""A decoded frame as an upright RGB array."""

import numpy as np
from av.buffer import Buffer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray


class Painter:
    """Converts the frames of one video; the converter is set up once and used again.

    The conversion is FFmpeg's own to rgb24: matrix and range as the stream declares
    them, BT.601 and limited range where it does not. Pixels are not made square.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._rotation: int | None = None
        self.matrix: NDArray[np.int32] | None = None
        """By which frames are turned, as the last one said."""

    def look_at(self, frame: VideoFrame) -> None:
        """Learn how a frame is turned."""
        # Asking a frame for side data ties it into a cycle, and it would outlive its use.
        if frame.rotation != self._rotation:
            matrix = frame.side_data.get("DISPLAYMATRIX")
            self.matrix = None
            if isinstance(matrix, Buffer):
                self.matrix = np.frombuffer(bytes(matrix), np.int32)
            self._rotation = frame.rotation

    def paint(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Convert to contiguous uint8 `[H, W, 3]`, turned as the file asks."""
        self.look_at(frame)
        # Threads of the converter cost more than they give at these sizes.
        converted = self._reformatter.reformat(frame, format="rgb24", threads=1)
        rgb = np.asarray(converted.to_ndarray(), dtype=np.uint8)
        if self.matrix is not None:
            rgb = turn(rgb, self.matrix)
        return np.ascontiguousarray(rgb)


def turn(rgb: NDArray[np.uint8], matrix: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Turn and mirror `[H, W, 3]` by a display matrix, in quarter turns.

    The matrix is that of ISO/IEC 14496-12, 6.2.2: rows `(a b u) (c d v) (x y w)` send a
    pixel from `(p, q)` to `(a p + c q, b p + d q)`, the origin being free.
    """
    a, b, _, c, d = matrix[:5].tolist()
    across, down = a, d
    if abs(b) > abs(a):
        rgb = rgb.transpose(1, 0, 2)
        across, down = c, b
    return rgb[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]

"""A decoded frame as an upright RGB tensor."""

from typing import TYPE_CHECKING

import numpy as np
from av.buffer import Buffer
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from egofeat.extract.video.source import tensor_of

if TYPE_CHECKING:
    from torch import Tensor


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
        if frame.rotation != self._rotation:
            # A frame that is asked itself is tied into a cycle: it, and with it all memory of its
            # decoder, would stay until Python looks for such.
            matrix = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]
            self.matrix = None
            if isinstance(matrix, Buffer):
                self.matrix = np.frombuffer(bytes(matrix), np.int32)
            self._rotation = frame.rotation

    def paint(self, frame: VideoFrame) -> "Tensor":
        """Convert to contiguous uint8 `[H, W, 3]`, turned as the file asks."""
        self.look_at(frame)
        # Threads of the converter cost more than they give at these sizes.
        converted = self._reformatter.reformat(frame, format="rgb24", threads=1)
        rgb = tensor_of(np.asarray(converted.to_ndarray(), dtype=np.uint8))
        return self.turned(rgb)

    def turned(self, rgb: "Tensor") -> "Tensor":
        """What shows `[H, W, 3]` as the last frame that was looked at is turned; contiguous."""
        if self.matrix is not None:
            rgb = turn(rgb, self.matrix)
        return rgb.contiguous()


def turn(rgb: "Tensor", matrix: NDArray[np.int32]) -> "Tensor":
    """Turn and mirror `[H, W, 3]` by a display matrix, in quarter turns.

    The matrix is that of ISO/IEC 14496-12, 6.2.2: rows `(a b u) (c d v) (x y w)` send a
    pixel from `(p, q)` to `(a p + c q, b p + d q)`, the origin being free.
    """
    a, b, _, c, d = matrix[:5].tolist()
    across, down = a, d
    if abs(b) > abs(a):
        rgb = rgb.transpose(0, 1)
        across, down = c, b
    return rgb.flip([axis for axis, way in enumerate((down, across)) if way < 0])

"""The contract that every decoder keeps."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import MediaError

if TYPE_CHECKING:  # it takes seconds, and what plans needs none
    from torch import Tensor


class FrameSource(ABC):
    """The frames of one video, counted from 0 in the order in which they are shown.

    A source belongs to one thread. It is a context manager; leaving it closes it.
    """

    path: Path
    times: NDArray[np.float64]
    """[frames] seconds at which each frame appears, counted from the first one shown."""
    stop: float
    """Second at which the last frame ends, exclusive."""
    lasting: float = math.inf
    """Seconds that a frame is on show at most; infinity: until the next, as in a video file."""
    counting: tuple[int, int] = (-1, -1)
    """Of images, the number of the one shown at second 0, and how many millionths of an image are
    shown in a second; -1 of a video file, which carries its own times."""

    @property
    def entries(self) -> NDArray[np.int64]:
        """`[entries]` frames from which decoding can begin when it is opened once more, rising."""
        return np.zeros(1, np.int64)

    def tensors(self, indices: Sequence[int]) -> Iterator[tuple[int, "Tensor"]]:
        """Yield `(index, frame)` for strictly increasing indices, in one pass.

        A frame is RGB `[H, W, 3]`, uint8, upright, where the source paints: on the CPU, or on the
        card. Where a video changes its size midway, so do its frames. No more than one frame is
        held, however many are asked for. After a `MediaError` the frames that remain can be asked
        for.

        Raises:
            MediaError: a wanted frame cannot be decoded.
            ValueError: the indices do not increase, or are not of this video.
        """
        wanted = [int(index) for index in indices]
        if any(later <= earlier for earlier, later in pairwise(wanted)):
            raise ValueError("indices of a scan must strictly increase")
        if wanted and not (wanted[0] >= 0 and wanted[-1] < len(self.times)):
            raise ValueError(f"indices must lie in [0, {len(self.times)})")
        return self._scan(wanted)

    def scan(self, indices: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """The same on the host, for who draws frames or writes them."""
        frames = self.tensors(indices)
        return ((index, frame.numpy(force=True)) for index, frame in frames)

    def frames(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Gather frames `[n, H, W, 3]` on the host, in any order, repeated or not.

        Raises:
            MediaError: a frame cannot be decoded, or the frames are of several sizes.
            ValueError: an index is not of this video.
        """
        wanted, rows = np.unique(np.asarray(indices, dtype=np.int64), return_inverse=True)
        gathered = np.empty((len(rows), 0, 0, 3), dtype=np.uint8)
        for place, (index, frame) in enumerate(self.scan(wanted.tolist())):
            if place == 0:
                gathered = np.empty((len(rows), *frame.shape), dtype=np.uint8)
            if frame.shape != gathered.shape[1:]:
                raise MediaError(
                    f"{self.path} changes its frame size at frame {index}, "
                    "so its frames do not stack: scan them one by one"
                )
            gathered[rows == place] = frame
        return gathered

    @abstractmethod
    def again(self) -> "FrameSource":
        """Open the video once more, for another pass at the same time, in any thread.

        Raises:
            MediaError: it is not there any more.
        """

    @abstractmethod
    def _scan(self, wanted: list[int]) -> Iterator[tuple[int, "Tensor"]]: ...

    @abstractmethod
    def close(self) -> None:
        """Give back files, threads and memory; closing twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def tensor_of(array: NDArray[np.uint8]) -> "Tensor":
    """What another library decoded to, as a tensor of the CPU; its memory is not copied."""
    import torch  # noqa: PLC0415  # see above

    return torch.from_numpy(array)

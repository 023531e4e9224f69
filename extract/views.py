"""Frames that come one by one, put together into the views that segments want."""

from collections.abc import Collection, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from egofeat.extract.sampling import View


class ViewBuilder:
    """Holds prepared frames of one video as long as a view that is not whole wants them.

    Each view is made once, whoever wants it. Frames come in rising order, so a view is
    whole when its last frame is there.
    """

    def __init__(self, views: Iterable[View]) -> None:
        self._ending: dict[int, list[View]] = {}
        """Last frame to the views that it completes."""
        self._kept_until: dict[int, int] = {}
        """Frame to the last frame of the last view that wants it."""
        self._frames: dict[int, NDArray[np.uint8]] = {}
        self._want(dict.fromkeys(views))

    def wanted_after(self, reached: int) -> set[int]:
        """Frames after `reached` that views still want."""
        ending = (views for last, views in self._ending.items() if last > reached)
        return {index for views in ending for view in views for index in view if index > reached}

    def keep_only(self, views: Collection[View]) -> None:
        """Give up all other views."""
        left = [view for ending in self._ending.values() for view in ending if view in views]
        self._ending, self._kept_until = {}, {}
        self._want(left)
        self._frames = {k: frame for k, frame in self._frames.items() if k in self._kept_until}

    def __len__(self) -> int:
        """Frames that wait for others of their view."""
        return len(self._frames)

    def wants(self, index: int) -> bool:
        """Whether a view that is not whole wants this frame."""
        return index in self._kept_until

    def add(self, index: int, frame: NDArray[np.uint8]) -> Iterator[tuple[View, NDArray[np.uint8]]]:
        """Take the next frame, `[crops, S, S, 3]`; yields whole views `[F, crops, S, S, 3]`."""
        self._frames[index] = frame
        for view in self._ending.pop(index, ()):
            yield view, np.stack([self._frames[one] for one in view])
        for one in [one for one in self._frames if self._kept_until[one] <= index]:
            del self._frames[one]

    def _want(self, views: Iterable[View]) -> None:
        for view in views:
            last = max(view)
            self._ending.setdefault(last, []).append(view)
            for index in view:
                self._kept_until[index] = max(last, self._kept_until.get(index, last))

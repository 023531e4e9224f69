"""Frames that come one by one, put together into the views that segments want."""

from collections import Counter
from collections.abc import Iterable, Iterator

from torch import Tensor

from egofeat.recipe import View


class ViewBuilder:
    """Holds prepared frames of one video as long as a view that is not whole wants them.

    Each view is made once, whoever wants it. Frames come in rising order, so a view is
    whole when its last frame is there.
    """

    def __init__(self, views: Iterable[View]) -> None:
        self._ending: dict[int, dict[View, None]] = {}
        """Last frame to the views that it completes, in order."""
        self._wanted: Counter[int] = Counter()
        """Frame to the number of views that are not whole and want it."""
        self._frames: dict[int, Tensor] = {}
        for view in dict.fromkeys(views):
            self._ending.setdefault(max(view), {})[view] = None
            self._wanted.update(set(view))

    def wanted_after(self, reached: int) -> set[int]:
        """Frames after `reached` that views still want."""
        return {index for index in self._wanted if index > reached}

    def wants(self, index: int) -> bool:
        """Whether a view that is not whole wants this frame."""
        return index in self._wanted

    def views_of(self, index: int) -> list[View]:
        """Views that are not whole and want this frame."""
        ending = (views for last, views in self._ending.items() if last >= index)
        return [view for views in ending for view in views if index in view]

    def give_up(self, views: Iterable[View]) -> None:
        """Want these views no longer; those that are whole are passed over."""
        for view in views:
            ending = self._ending.get(last := max(view), {})
            if view in ending:
                del ending[view]
                self._let_go(view)
            if not ending:
                self._ending.pop(last, None)

    def __len__(self) -> int:
        """Frames that wait for others of their view."""
        return len(self._frames)

    def add(self, index: int, frame: Tensor) -> Iterator[tuple[View, list[Tensor]]]:
        """Take the next frame, `[crops, S, S, 3]`; yields the frames of whole views, in order."""
        self._frames[index] = frame
        for view in self._ending.pop(index, ()):
            yield view, [self._frames[one] for one in view]
            self._let_go(view)

    def _let_go(self, view: View) -> None:
        for index in set(view):
            self._wanted[index] -= 1
            if not self._wanted[index]:
                self._wanted.pop(index)  # `del` of a Counter is Python's own
                self._frames.pop(index, None)

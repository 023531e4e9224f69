"""Where the labels of a picture stand: pure geometry, nothing is drawn.

Pixels are counted from the top left corner. A rectangle is left, top, right, bottom, half-open.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Rectangle = tuple[int, int, int, int]
Size = tuple[int, int]
"""Width and height, pixels."""
Corners = NDArray[np.int64]
"""`[n, 2]` left and top, or `[n, 4]` rectangles."""


@dataclass(frozen=True)
class Panel:
    """The lines of one box, which stand together."""

    box: Rectangle
    """What they speak of; of no extent, a point that they should be near."""
    confidences: tuple[float, ...]
    """Of each line; one at least. The last line goes first: of a person they fall."""
    sizes: tuple[Size, ...]
    """What the panel takes with its first line, its first two, and so on."""

    @property
    def size(self) -> Size:
        """What it takes with all its lines."""
        return self.sizes[-1]

    @property
    def rank(self) -> tuple[float, Rectangle, tuple[float, ...], tuple[Size, ...]]:
        """Who chooses first: the most confident; of equals, by their boxes."""
        return (-self.confidences[0], self.box, self.confidences, self.sizes)


@dataclass(frozen=True)
class Placed:
    """What became of one panel."""

    lines: int
    """How many of its lines stand there, its most confident."""
    place: Rectangle


def place_lines(panels: Sequence[Panel], frame: Size) -> list[Placed | None]:
    """Find a place for every panel; where there is no room, the least confident lines go first.

    Of several lines with one confidence, that of the panel which chooses last goes first. The
    result depends on the order of the panels in nothing but its own order.

    Args:
        panels: what is to stand in the frame.
        frame: width and height of the frame.

    Returns:
        For each panel its place and the number of lines kept; None where none is kept.
    """
    kept = dict(enumerate(panels))
    while (places := place_panels(list(kept.values()), frame)) is None:
        least = max(kept, key=lambda number: (-kept[number].confidences[-1], kept[number].rank))
        panel = kept.pop(least)
        if len(panel.sizes) > 1:
            shorter = replace(panel, confidences=panel.confidences[:-1], sizes=panel.sizes[:-1])
            kept[least] = shorter
    placed = {
        number: Placed(len(panel.sizes), place)
        for (number, panel), place in zip(kept.items(), places, strict=True)
    }
    return [placed.get(number) for number in range(len(panels))]


def place_panels(
    panels: Sequence[Panel], frame: Size, taken: Sequence[Rectangle] = ()
) -> list[Rectangle] | None:
    """Place all panels whole, or none: inside the frame, and none over another.

    The most confident chooses first: above its box, else below, inside or beside it, else the
    nearest corner of what stands already. Best is where no other box is covered. If some find
    no room so, all are packed instead from the top left corner on, the tallest first.

    Args:
        panels: what is to stand in the frame.
        frame: width and height of the frame.
        taken: what stands there, and must not be covered either.

    Returns:
        The place of each panel, or None where neither way has room.
    """
    if sum(width * height for width, height in (p.size for p in panels)) > frame[0] * frame[1]:
        return None
    order = sorted(range(len(panels)), key=lambda number: panels[number].rank)
    by_size = sorted(order, key=lambda number: panels[number].size[::-1], reverse=True)
    near = _one_by_one(panels, order, frame, taken, _near_box)
    return _one_by_one(panels, by_size, frame, taken, _from_top_left) if near is None else near


def _one_by_one(
    panels: Sequence[Panel],
    order: Sequence[int],
    frame: Size,
    taken: Sequence[Rectangle],
    wishes: Callable[[Panel, Size, Corners], list[Corners]],
) -> list[Rectangle] | None:
    """Give each panel, in this order, the first of its wishes that is free."""
    boxes = np.array([panel.box for panel in panels], np.int64).reshape(-1, 4)
    places: dict[int, Rectangle] = {}
    for number in order:
        panel, others = panels[number], np.delete(boxes, number, axis=0)
        placed = np.array([*taken, *places.values()], np.int64).reshape(-1, 4)
        free = (
            _first_free(corners, panel.size, frame, placed, others)
            for corners in wishes(panel, frame, placed)
        )
        place = next(filter(None, free), None)
        if place is None:
            return None
        places[number] = place
    return [places[number] for number in range(len(panels))]


def _first_free(
    corners: Corners, size: Size, frame: Size, placed: Corners, others: Corners
) -> Rectangle | None:
    """The first of the top left corners that covers no panel, and the fewest other boxes."""
    places = np.concatenate([corners, corners + size], axis=1)
    inside = (places[:, :2] >= 0).all(axis=1) & (places[:, 2:] <= frame).all(axis=1)
    free = places[inside & ~_covers(places, placed).any(axis=1)]
    if not len(free):
        return None
    left, top, right, bottom = free[_covers(free, others).sum(axis=1).argmin()].tolist()
    return left, top, right, bottom


def _near_box(panel: Panel, frame: Size, placed: Corners) -> list[Corners]:
    """Top left corners around and in the panel's own box, then all others, the best first."""
    left, top, right, bottom = panel.box
    width, height = panel.size
    across = (left, right - width, min(max(left, 0), frame[0] - width))
    down = (top, bottom - height, min(max(top, 0), frame[1] - height))
    above_below_inside = (top - height, bottom, top, bottom - height)
    around = [(x, y) for y in above_below_inside for x in across]
    around += [(x, y) for x in (right, left - width) for y in down]
    touching = _touching(panel.size, frame, placed)
    # Twice the distance from middle to middle stays whole, so that ties stay ties.
    away = 2 * touching + panel.size - np.array([left + right, top + bottom])
    nearest = np.argsort((away**2).sum(axis=1), kind="stable")
    return [np.array(around, np.int64), touching[nearest]]


def _from_top_left(panel: Panel, frame: Size, placed: Corners) -> list[Corners]:
    return [corner[np.newaxis] for corner in _touching(panel.size, frame, placed)]


def _touching(size: Size, frame: Size, placed: Corners) -> Corners:
    """Top left corners where the panel touches others or the frame, row by row."""
    width, height = size
    xs = np.unique([0, frame[0] - width, *placed[:, 2], *(placed[:, 0] - width)])
    ys = np.unique([0, frame[1] - height, *placed[:, 3], *(placed[:, 1] - height)])
    return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)


def _covers(places: Corners, placed: Corners) -> NDArray[np.bool_]:
    """Which of the places `[n, 4]` have a pixel in common with which rectangles, `[n, m]`."""
    first = np.maximum(places[:, np.newaxis, :2], placed[np.newaxis, :, :2])
    last = np.minimum(places[:, np.newaxis, 2:], placed[np.newaxis, :, 2:])
    common = first < last
    return np.logical_and(common[..., 0], common[..., 1])

"""Boxes and labels drawn over a frame: once for all the frames that show the same.

Text is white on a dark, half-transparent panel whose edge has the colour of its box.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageColor, ImageDraw, ImageFont

from egofeat import console
from egofeat.pipelines.figures import fonts
from egofeat.pipelines.figures.label_layout import Panel, Placed, Rectangle, Size, place_lines
from egofeat.pipelines.figures.style import COLOURS

_SMALLEST = 11
"""Pixels of the font, below which it is hard to read."""
_LINES_A_FRAME = 36
"""So many lines of text would stand in a frame's height."""
_DARK = (12, 12, 12, 170)
_LIGHT = (255, 255, 255, 255)
_GOLDEN = 0.618034
"""Steps of hue by the golden ratio never come near an earlier one soon."""


@dataclass(frozen=True)
class Label:
    """One line: a class and how sure the head is of it."""

    name: str
    score: float
    """In [0, 1]."""


@dataclass(frozen=True)
class Tag:
    """The labels of one person, or of the whole frame."""

    labels: tuple[Label, ...]
    """In the order in which they are kept; of a person without any, the box alone is drawn."""
    box: tuple[float, float, float, float] | None = None
    """x1, y1, x2, y2 in fractions of the frame's sides; None: they speak of the whole frame, and
    stand in its top left corner."""


@dataclass(frozen=True)
class Overlay:
    """What is drawn over frames of one size."""

    picture: Image.Image
    """RGBA."""
    left_out: int
    """Labels for which there was no room."""

    def paint(self, frame: Image.Image) -> None:
        """Draw over an RGB frame of the same size, in place."""
        frame.paste(self.picture, (0, 0), self.picture)


def draw_overlay(tags: Sequence[Tag], frame: Size) -> Overlay:
    """Draw the boxes of tags, and their labels where they cover no other.

    Persons take their colours from left to right, so that they keep them while nobody enters.

    Args:
        tags: what is known of the frame.
        frame: its width and height.
    """
    ordered = sorted(tags, key=lambda tag: tag.box or ())
    writing = _Writing(frame)
    boxes = [tag.box and _pixels(tag.box, frame) for tag in ordered]
    named = [number for number, tag in enumerate(ordered) if tag.labels]
    panels = [writing.panel(ordered[n], boxes[n] or (0, 0, 0, 0)) for n in named]
    picture = Image.new("RGBA", frame)
    draw = ImageDraw.Draw(picture)
    for number, box in enumerate(boxes):
        if box:
            draw.rectangle(_drawn(box), outline=colour(number), width=writing.edge + 1)
    left_out = 0
    for number, placed in zip(named, place_lines(panels, frame), strict=True):
        tag = ordered[number]
        left_out += len(tag.labels) - (placed.lines if placed else 0)
        if placed:
            writing.write(draw, tag, placed, colour(number))
    return Overlay(picture, left_out)


def colour(rank: int) -> tuple[int, int, int, int]:
    """Bright colours, RGBA, each unlike the ones before: first those of all pictures."""
    named = f"hsv({360 * (rank * _GOLDEN % 1)}, 70%, 100%)"
    if rank < len(COLOURS):
        named = COLOURS[-1 - rank]
    red, green, blue = ImageColor.getrgb(named)[:3]
    return red, green, blue, 255


class _Writing:
    """How labels are written on frames of one size: font, height of a line and edges, pixels."""

    def __init__(self, frame: Size) -> None:
        size = max(_SMALLEST, round(frame[1] / _LINES_A_FRAME))
        self._font = functools.cache(lambda font: ImageFont.truetype(font.file, size, font.face))
        self.rise, fall = self._font(fonts.usual()).getmetrics()
        self.height = self.rise + fall
        self.edge = max(1, size // 10)
        self.pad = self.edge + max(2, size // 5)
        self.room = frame[0] - 2 * self.pad

    def panel(self, tag: Tag, box: Rectangle) -> Panel:
        widths = itertools.accumulate((self._width(line) for line in self._lines(tag)), max)
        sizes = [
            (width + 2 * self.pad, count * self.height + 2 * self.pad)
            for count, width in enumerate(widths, start=1)
        ]
        return Panel(box, tuple(label.score for label in tag.labels), tuple(sizes))

    def write(
        self, draw: ImageDraw.ImageDraw, tag: Tag, placed: Placed, edge: tuple[int, int, int, int]
    ) -> None:
        left, top, *_ = placed.place
        draw.rectangle(_drawn(placed.place), fill=_DARK, outline=edge, width=self.edge)
        for number, line in enumerate(self._lines(tag)[: placed.lines]):
            across: float = left + self.pad
            down = top + self.pad + number * self.height + self.rise
            for font, part in self._parts(line):
                draw.text((across, down), part, _LIGHT, font, "ls")
                across += font.getlength(part)

    def _lines(self, tag: Tag) -> list[str]:
        names = (" ".join(console.printable(label.name).split()) for label in tag.labels)
        scores = (f": {label.score:.2f}" for label in tag.labels)
        return list(map(self._short, names, scores))

    def _short(self, name: str, score: str) -> str:
        """A line that is cut, but for its score, where it is longer than there is room."""
        line = name + score
        while name and self._width(line) > self.room:
            name = name[:-1]
            line = f"{name}…{score}"
        return line

    def _width(self, line: str) -> int:
        return math.ceil(sum(font.getlength(part) for font, part in self._parts(line)))

    def _parts(self, line: str) -> list[tuple[ImageFont.FreeTypeFont, str]]:
        return [(self._font(font), part) for font, part in fonts.runs(line)]


def _pixels(box: tuple[float, float, float, float], frame: Size) -> Rectangle:
    """The pixels of a box, one at least."""
    width, height = frame
    left, top = (min(int(at * side), side - 1) for at, side in zip(box[:2], frame, strict=True))
    right, bottom = max(left + 1, round(box[2] * width)), max(top + 1, round(box[3] * height))
    return left, top, right, bottom


def _drawn(rectangle: Rectangle) -> Rectangle:
    """As Pillow has it, whose right and bottom pixels are drawn too."""
    left, top, right, bottom = rectangle
    return left, top, right - 1, bottom - 1

"""Paints what stays: a participant's worktop and wall, wide enough to walk along."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from egofeat.pipelines.demo.actions import CANVAS, Colour

MARGIN = 48
"""Canvas pixels that the camera may stray beyond its resting view."""
_HORIZON = 92
"""Where the wall meets the worktop."""


@dataclass(frozen=True, slots=True)
class Person:
    """What all clips of one participant share."""

    worktop: Colour
    pattern: str
    """One of `PATTERNS`."""
    wall: Colour
    skin: Colour
    sleeve: Colour


PATTERNS = ("wood", "stone", "tiles")


def draw_kitchen(person: Person, sites: int, rng: np.random.Generator) -> Image.Image:
    """Draw the empty worktop, wide enough for `sites` views side by side and the margins."""
    width, height = (sites * CANVAS[0] + 2 * MARGIN, CANVAS[1] + 2 * MARGIN)
    bright = _pattern(person.pattern, (2 * CANVAS[0], height), rng)
    bright *= np.linspace(0.82, 1.08, height, dtype=np.float32)[:, None]
    colours = np.minimum(bright[..., None] * np.array(person.worktop, np.float32), 255)
    tile = colours.astype(np.uint8)
    tile = np.concatenate([tile, tile[:, ::-1]], axis=1)
    picture = Image.fromarray(np.tile(tile, (1, width // tile.shape[1] + 1, 1))[:, :width])
    pen = ImageDraw.Draw(picture)
    _wall(pen, person, width)
    for x in range(60, width, 150):
        _clutter(pen, x + rng.uniform(-50, 50), _HORIZON + MARGIN + rng.uniform(14, 40), rng)
    return picture


def _pattern(name: str, size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Make the brightness of the worktop's material [height, width], about 1."""
    width, height = size

    def noise(columns: int, rows: int, strength: float) -> NDArray[np.float32]:
        coarse = Image.fromarray(rng.normal(0, strength, (rows, columns)).astype(np.float32))
        return np.asarray(coarse.resize(size, Image.Resampling.BICUBIC))

    bright = 1 + noise(6, 4, 0.06)
    if name == "wood":
        bright += noise(8, height // 5, 0.06) + noise(30, height // 2, 0.03)
        bright[:: height // 4] *= 0.75
    elif name == "stone":
        bright += noise(width // 3, height // 3, 0.10) + noise(width // 12, height // 12, 0.05)
    else:
        bright += noise(width // 6, height // 6, 0.02)
        bright[::96] *= 0.7
        bright[1::96] *= 0.8
        bright[:, ::128] *= 0.7
        bright[:, 1::128] *= 0.8
    return bright


def _wall(pen: ImageDraw.ImageDraw, person: Person, width: int) -> None:
    foot = _HORIZON + MARGIN
    pen.rectangle((0, 0, width, foot), fill=person.wall)
    for row, y in enumerate(range(foot - 160, foot, 40)):
        pen.line((0, y, width, y), fill=shade(person.wall, 0.86), width=3)
        for x in range(40 * (row % 2), width, 80):
            pen.line((x, y, x, y + 40), fill=shade(person.wall, 0.86), width=3)
    pen.rectangle((0, foot - 8, width, foot), fill=shade(person.wall, 0.6))
    pen.rectangle((0, foot, width, foot + 10), fill=shade(person.worktop, 0.62))


def _clutter(pen: ImageDraw.ImageDraw, x: float, y: float, rng: np.random.Generator) -> None:
    """Draw something that stands before the wall and takes no part."""
    grey, tint = rng.uniform(90, 190), rng.uniform(-45, 45, 3)
    colour: Colour = (int(grey + tint[0]), int(grey + tint[1]), int(grey + tint[2]))
    kind = int(rng.integers(4))
    if kind == 0:  # bottle
        pen.ellipse((x - 16, y - 8, x + 16, y + 8), fill=shade(colour, 0.7))
        pen.rectangle((x - 16, y - 66, x + 16, y), fill=colour)
        pen.rectangle((x - 6, y - 92, x + 6, y - 64), fill=shade(colour, 1.2))
    elif kind == 1:  # plate leaning on the wall
        pen.ellipse((x - 44, y - 78, x + 44, y + 2), fill=shade(colour, 1.25))
        pen.ellipse((x - 28, y - 62, x + 28, y - 14), fill=shade(colour, 1.05))
    elif kind == 2:  # chopping board
        pen.polygon([(x - 60, y), (x + 50, y), (x + 62, y - 74), (x - 48, y - 74)], fill=colour)
        pen.ellipse((x + 28, y - 66, x + 42, y - 54), fill=shade(colour, 0.6))
    else:  # herb pot
        pen.polygon([(x - 22, y - 34), (x + 22, y - 34), (x + 16, y), (x - 16, y)], fill=colour)
        for dx, dy in rng.uniform((-30, -74), (30, -38), (9, 2)):
            pen.ellipse((x + dx - 13, y + dy - 9, x + dx + 13, y + dy + 9), fill=(54, 118, 62))


@cache
def shade(colour: Colour, factor: float) -> Colour:
    """Make the colour lighter (factor above 1) or darker."""
    red, green, blue = (min(255, max(0, round(channel * factor))) for channel in colour)
    return red, green, blue

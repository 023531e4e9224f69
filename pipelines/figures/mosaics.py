"""Small pictures side by side on one sheet: a title, names of rows and columns, a note.

Every value of a tile becomes a square of whole pixels, so that a 3 × 3 kernel is seen as
nine squares and not as a blur.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from unicodedata import east_asian_width

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray

from egofeat.pipelines.figures import style

Pixels = NDArray[np.float32]
"""RGB on the last axis, in [0, 1]; NaN where nothing is drawn."""

_TITLE, _TEXT = 10.0, 8.0
"""Points."""
_CHARACTER = 0.55
"""Width of a character of the default font, in parts of its size: a little more than the mean."""
_WIDTH = 1150
"""Pixels that the tiles may take from left to right, where they are small enough."""
_TALL = 1800
"""Pixels that they may take from top to bottom."""
_MOST_ZOOM = 16


def coloured(values: NDArray[np.float32], colours: str) -> Pixels:
    """Paint values in [0, 1] with one of matplotlib's colour maps: `[...]` to `[..., 3]`."""
    painted: NDArray[np.float32] = colormaps[colours](values)[..., :3].astype(np.float32)
    return painted


@style.own_settings()
def draw_mosaic(
    tiles: Pixels,
    out: Path,
    *,
    title: str,
    rows: Sequence[str],
    columns: Sequence[str] = (),
    captions: Sequence[str] = (),
    note: str = "",
    gap: int = 1,
) -> Path:
    """Draw one PNG of tiles; folders above it are made.

    Args:
        tiles: `[…, h, w, 3]`, row by row; the last row may lack some.
        out: file to write.
        title: above everything.
        rows: name of each row, of one or more lines; an empty one is left out.
        columns: name of each column, or none.
        captions: a word in the corner of each tile, line by line, or none.
        note: one line below everything.
        gap: between tiles, in values of a tile.
    """
    high, wide = tiles.shape[-3:-1]
    count = math.ceil(math.prod(tiles.shape[:-3]) / len(rows))
    sheet = _sheet(tiles.reshape(-1, high, wide, 3), len(rows), count, gap)
    zoom = max(1, min(_MOST_ZOOM, _WIDTH // sheet.shape[1], _TALL // sheet.shape[0]))
    sheet = sheet.repeat(zoom, axis=0).repeat(zoom, axis=1)
    inches_high, inches_wide = (side / style.DPI for side in sheet.shape[:2])
    left = 0.25 + max(map(_inches, rows))
    top, bottom = 0.5 + 0.2 * bool(columns), 0.15 + 0.25 * bool(note)
    words = 0.3 + max(_inches(title, _TITLE), _inches(note))
    width, height = max(left + inches_wide + 0.15, words), top + inches_high + bottom
    place = left / width, bottom / height, inches_wide / width, inches_high / height

    figure = Figure((width, height), dpi=style.DPI, facecolor="white")
    axes = figure.add_axes(place)
    axes.imshow(sheet, interpolation="nearest", aspect="auto")
    axes.tick_params(length=0, pad=3, labelsize=_TEXT, labelcolor=style.INK)
    axes.tick_params(bottom=False, labelbottom=False, labeltop=True)
    axes.spines[:].set_visible(False)
    lefts = zoom * (wide + gap) * np.arange(count) - 0.5
    tops = zoom * (high + gap) * np.arange(len(rows)) - 0.5
    axes.set_yticks(tops + zoom * high / 2, rows)
    axes.set_xticks(lefts + zoom * wide / 2 if columns else [], columns)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    for number, caption in enumerate(captions):
        row, column = divmod(number, count)
        corner = lefts[column] + 3, tops[row] + zoom * high - 3
        axes.text(*corner, caption, va="bottom", fontsize=_TEXT, color=style.INK, bbox=box)
    texts = (
        (title, 1 - 0.12 / height, "top", _TITLE, style.INK),
        (note, 0.1 / height, "bottom", 8, style.FAINT),
    )
    for text, y, side, size, ink in texts:
        figure.text(0.12 / width, y, text, va=side, fontsize=size, color=ink)
    return style.save(figure, out)


def _sheet(tiles: Pixels, rows: int, columns: int, gap: int) -> Pixels:
    """Lay the tiles `[n, h, w, 3]` out on white: `[H, W, 3]`."""
    _, high, wide, _ = tiles.shape
    filled = np.ones((rows * columns, high + gap, wide + gap, 3), np.float32)
    filled[: len(tiles), :high, :wide] = np.nan_to_num(tiles, nan=1)
    lines = filled.reshape(rows, columns, *filled.shape[1:]).swapaxes(1, 2)
    sheet: Pixels = lines.reshape(rows * (high + gap), -1, 3)
    return sheet[: len(sheet) - gap, : sheet.shape[1] - gap]


def _inches(text: str, points: float = _TEXT) -> float:
    """Width of a text's longest line, about: Chinese letters take two places."""
    wide = ([east_asian_width(letter) in "WF" for letter in line] for line in text.split("\n"))
    return max(len(line) + sum(line) for line in wide) * _CHARACTER * points / 72

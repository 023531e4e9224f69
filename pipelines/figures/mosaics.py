"""Small pictures side by side on one sheet: a title, names of rows and columns, a note.

Every value of a tile becomes a square of whole pixels, so that a 3 × 3 kernel is seen as
nine squares and not as a blur.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
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
"""Pixels from top to bottom, likewise."""
_MOST_ZOOM = 16


def coloured(values: NDArray[np.float32], colours: str) -> Pixels:
    """Paint values in [0, 1] with one of matplotlib's colour maps: `[...]` to `[..., 3]`."""
    painted: NDArray[np.float32] = colormaps[colours](values)[..., :3].astype(np.float32)
    return painted


def on_lines(tiles: Pixels, columns: int) -> Pixels:
    """Break tiles `[n, h, w, 3]` into lines: `[lines, columns, h, w, 3]`, the rest left empty."""
    lines = -(-len(tiles) // columns)
    sheet = np.full((lines * columns, *tiles.shape[1:]), np.nan, np.float32)
    sheet[: len(tiles)] = tiles
    return sheet.reshape(lines, columns, *tiles.shape[1:])


def draw_mosaic(
    tiles: Pixels,
    out: Path,
    *,
    title: str,
    rows: Sequence[str],
    columns: Sequence[str] = (),
    captions: Sequence[str] = (),
    note: str = "",
    group: int = 1,
    gap: int = 1,
) -> Path:
    """Draw one PNG of tiles; folders above it are made.

    Args:
        tiles: `[rows, columns, h, w, 3]`.
        out: file to write.
        title: above everything.
        rows: name of each row; an empty one is left out.
        columns: name of each column, or none.
        captions: a word in the corner of each tile, line by line, or none.
        note: one line below everything.
        group: so many rows belong together; groups stand further apart.
        gap: between tiles, in values of a tile.
    """
    sheet, middles = _sheet(tiles, group, gap)
    zoom = max(1, min(_MOST_ZOOM, _WIDTH // sheet.shape[1], _TALL // sheet.shape[0]))
    sheet = sheet.repeat(zoom, axis=0).repeat(zoom, axis=1)
    high, wide = (side / style.DPI for side in sheet.shape[:2])
    left = 0.25 + max(map(_inches, rows))
    top, bottom = 0.5 + 0.2 * bool(columns), 0.15 + 0.25 * bool(note)
    words = 0.3 + max(_inches(title, _TITLE), _inches(note))
    width, height = max(left + wide + 0.15, words), top + high + bottom

    figure = Figure((width, height), dpi=style.DPI, facecolor="white")
    axes = figure.add_axes((left / width, bottom / height, wide / width, high / height))
    axes.imshow(sheet, interpolation="nearest", aspect="auto")
    axes.tick_params(length=0, pad=3, labelsize=_TEXT, labelcolor=style.INK)
    axes.tick_params(bottom=False, labelbottom=False, labeltop=True)
    axes.spines[:].set_visible(False)
    axes.set_yticks([zoom * y - 0.5 for y in middles[0]], rows, parse_math=False)
    named = middles[1] if columns else []
    axes.set_xticks([zoom * x - 0.5 for x in named], columns, parse_math=False)
    for number, caption in enumerate(captions):
        row, column = divmod(number, tiles.shape[1])
        x = middles[1][column] - tiles.shape[3] / 2
        y = middles[0][row] + tiles.shape[2] / 2
        _caption(axes, zoom * x, zoom * y, caption)
    texts = (
        (title, 1 - 0.12 / height, "top", _TITLE, style.INK),
        (note, 0.1 / height, "bottom", 8, style.FAINT),
    )
    for text, y, side, size, ink in texts:
        figure.text(0.12 / width, y, text, va=side, fontsize=size, color=ink, parse_math=False)
    return style.save(figure, out)


def _caption(axes: Axes, left: float, bottom: float, words: str) -> None:
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    axes.text(left + 3, bottom - 3, words, va="bottom", fontsize=_TEXT, color=style.INK, bbox=box)


def _sheet(tiles: Pixels, group: int, gap: int) -> tuple[Pixels, tuple[list[float], list[float]]]:
    """Lay the tiles out on white; also the middle of each row and of each column."""
    rows, columns, high, wide = tiles.shape[:4]
    tops = [
        row * (high + gap) + row // group * gap * (2 if group > 1 else 0) for row in range(rows)
    ]
    lefts = [column * (wide + gap) for column in range(columns)]
    sheet = np.ones((tops[-1] + high, lefts[-1] + wide, 3), np.float32)
    for row, top in enumerate(tops):
        for column, left in enumerate(lefts):
            sheet[top : top + high, left : left + wide] = np.nan_to_num(tiles[row, column], nan=1)
    middles = [top + high / 2 for top in tops], [left + wide / 2 for left in lefts]
    return sheet, middles


def _inches(text: str, points: float = _TEXT) -> float:
    """Width of a line of text, about."""
    return len(text) * _CHARACTER * points / 72

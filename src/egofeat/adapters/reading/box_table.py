"""Tables of boxes as AVA writes them: no header, `video, time stamp, x1, y1, x2, y2, …`."""

import csv
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import StringIO
from math import inf, isfinite, nan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from egofeat.adapters.files import read_text
from egofeat.errors import ManifestError
from egofeat.words import quoted

MARGIN = 0.01
"""How far, of the frame's side, a box may reach out by rounding; it is then cut to the frame."""

_FAR = 1e30
"""So far outside, boxes of float32 are no longer told apart."""

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
"""`float` would also take words, other scripts' digits and `1_000`, which divides an id anew."""


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and stripped cells of each row that is not blank; tabs or commas part them.

    Raises:
        ManifestError: the file cannot be read, or is no such table.

    """
    text = read_text(path)
    delimiter = "\t" if "\t" in text.lstrip().partition("\n")[0] else ","
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield reader.line_num, stripped
    except csv.Error as error:
        raise ManifestError(
            f"{path} line {reader.line_num} is not CSV ({error}): correct the line"
        ) from None


@dataclass(slots=True)
class BoxRows:
    """Numbers of the rows of one or more tables, with where each stands."""

    names: tuple[str, ...]
    """What the numbers of a row are, for an error's sentence."""
    frames: "array[int]" = field(default_factory=lambda: array("q"))
    """[n] number of the key frame of each row, as its reader counts."""
    _values: "array[float]" = field(default_factory=lambda: array("d"))
    _lines: "array[int]" = field(default_factory=lambda: array("q"))
    _paths: list[Path] = field(default_factory=list)

    def add(self, frame: int, path: Path, line: int, cells: Sequence[str]) -> None:
        """Take the numbers of a row, as many cells as there are names.

        Raises:
            ManifestError: a cell is no finite number.

        """
        values = [_number(cell) for cell in cells]
        if not all(map(isfinite, values)):
            bad = next(place for place, value in enumerate(values) if not isfinite(value))
            raise ManifestError(
                f"{path} line {line}: {self.names[bad]} is {quoted(cells[bad])}: write a number"
            )
        self._values.extend(values)
        self.frames.append(frame)
        self._lines.append(line)
        self._paths.append(path)

    def __len__(self) -> int:
        return len(self.frames)

    def place(self, row: int) -> str:
        """How an error names a row."""
        return f"{self._paths[row]} line {self._lines[row]}"

    def values(self) -> NDArray[np.float64]:
        """[n, names] as floats."""
        return np.array(self._values, np.float64).reshape(-1, len(self.names))


def _number(text: str) -> float:
    """Value of a plain decimal, `12`, `.5` or `1e-3`; of anything else, not a number."""
    return float(text) if _NUMBER.fullmatch(text) else nan


def parse_stamp(text: str, place: str) -> float:
    """Seconds that a time stamp stands for, `0902` or `12.345`.

    Raises:
        ManifestError: it is no number, or below 0.

    """
    second = _number(text)
    if not 0 <= second < inf:
        raise ManifestError(
            f"{place}: the time stamp is {quoted(text)}: write seconds, such as 0902 or 12.345"
        )
    return second


@dataclass(frozen=True, slots=True)
class Corners:
    """Corners of n boxes, cut to their frames where they reach out by no more than `MARGIN`."""

    values: NDArray[np.float32]
    """[n, 4]"""
    outside: NDArray[np.bool_]
    """[n] it reaches out by more, and is left as written: it must not equal a box that is cut."""
    cut: NDArray[np.bool_]
    """[n] it reached out at all."""
    flat: NDArray[np.bool_]
    """[n] it has no area."""

    @classmethod
    def of(cls, written: NDArray[np.float64]) -> "Corners":
        """From the numbers of a table, [n, 4]."""
        inside = np.clip(written, 0, 1)
        outside = np.logical_or.reduce((written < -MARGIN) | (written > 1 + MARGIN), axis=1)
        values = np.where(outside[:, None], written.clip(-_FAR, _FAR), inside).astype(np.float32)
        return cls(
            values,
            outside=outside,
            cut=np.logical_or.reduce(inside != written, axis=1),
            flat=np.logical_or.reduce(values[:, 2:] <= values[:, :2], axis=1),
        )


def by_box(
    frames: NDArray[np.int64], corners: NDArray[np.float32], last: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Order of rows in which those of one box follow one another, and which begin a box, [n] each.

    One box is the same corners in the same frame; within it the rows are in the order of `last`.
    """
    order = np.lexsort((last, *corners.T[::-1], frames))
    same = (frames[order][1:] == frames[order][:-1]) & (
        corners[order][1:] == corners[order][:-1]
    ).all(axis=1)
    return order, np.concatenate([np.ones(min(1, len(order)), np.bool_), ~same])

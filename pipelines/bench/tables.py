"""A benchmark's report as tables for people, and as files: rows as CSV, all of it as JSON."""

import csv
import io
import json
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Self, TypeVar

import torch
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from egofeat.console import printable
from egofeat.store.files import replace_file

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")
_Value = TypeVar("_Value")

_APART = 2
"""Columns of the screen between those of a table, where there is room."""
_NAME = 16
"""That a name has at least, where it is as long."""
_TEXT = 24
"""That any other cell has at most, where room is scarce: more than a figure needs."""


def tables(
    headings: Sequence[str], lines: Iterable[Sequence[str]], room: int | None = None
) -> Iterator[Table]:
    """A table without rules; names to the left, figures to the right, no word of them divided.

    Where its columns are wider than the screen, they are divided among several, each with the
    names.

    Args:
        headings: of the columns.
        lines: of the table.
        room: columns of the screen, if it is not that of standard output.
    """
    rows = [[printable(cell) for cell in line] for line in lines]
    room = room or Console().width
    cells = [max(map(cell_len, column), default=0) for column in zip(*rows, strict=True)]
    cells = cells or [0] * len(headings)
    words = [max(map(cell_len, heading.split()), default=0) for heading in headings]
    for apart, heads in (
        (_APART, [*map(cell_len, headings)]),
        (_APART, words),
        (1, words),
    ):
        widths = [*map(max, heads, cells)]
        if sum(widths) + apart * len(widths[1:]) <= room:
            break
    else:
        widths[1:] = [min(width, _TEXT) for width in widths[1:]]
    names, *figures = widths
    names = min(names, max(_NAME, room // 3))
    parts, left = [list[int]()], room - names
    for place, width in enumerate(figures, 1):
        if parts[-1] and left < width + apart:
            parts.append([])
            left = room - names
        parts[-1].append(place)
        left -= width + apart
    for part in parts:
        yours = room - sum(widths[place] + apart for place in part)
        drawn = Table(box=None, pad_edge=False, padding=(0, apart, 0, 0))
        drawn.add_column(headings[0], overflow="fold", width=min(widths[0], max(1, yours)))
        for place in part:
            width = widths[place]
            drawn.add_column(headings[place], justify="right", overflow="fold", width=width)
        for row in rows:
            drawn.add_row(*(Text(row[place]) for place in (0, *part)))
        yield drawn


def tables_with_key(
    headings: Sequence[str], lines: Iterable[Sequence[str]]
) -> Iterator[str | Table]:
    """A table; where its names leave no room for its figures, of numbers, and what they stand for.

    Args:
        headings: of the columns.
        lines: the first of each is a name.
    """
    rows = list(lines)
    figures = sum(max(map(cell_len, column)) + _APART for column in [*zip(*rows, strict=True)][1:])
    if max((cell_len(row[0]) for row in rows), default=0) + figures <= Console().width:
        yield from tables(headings, rows)
        return
    yield from tables(["", *headings[1:]], [[str(n), *row[1:]] for n, row in enumerate(rows, 1)])
    for n, row in enumerate(rows, 1):
        yield f"{n:>{len(str(len(rows)))}}  {row[0]}"


def known(value: _Value | None, say: Callable[[_Value], str]) -> str:
    """A value as it is said, or a dash."""
    return "–" if value is None else say(value)


def operations(count: float, form: str = ".3g") -> str:
    """Multiply-adds for people: `65.7 G`."""
    for unit in ("", " k", " M", " G"):
        if count < 999.5:
            return f"{count:{form}}{unit}"
        count /= 1000
    return f"{count:{form}} T"


def figure(value: float) -> str:
    """Three digits that count: `0.0123`, `1.20`, `123`, `12345`."""
    return f"{value:#.3g}".rstrip(".") if value < 999.5 else f"{value:.0f}"


def machine(device: torch.device) -> str:
    """What a figure was measured on, in words."""
    where = f"cpu ({platform.machine()}), {torch.get_num_threads()} threads"
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    return f"{where}, torch {torch.__version__}"


@dataclass(frozen=True, kw_only=True)
class BenchReport(Generic[Row]):
    """A benchmark; the object that `--json` prints and its JSON file holds."""

    machine: str
    date: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())
    rows: tuple[Row, ...]
    files: tuple[str, ...] = ()
    """What was written."""

    def written(self, stem: Path, pictures: Sequence[Path]) -> Self:
        """Write `<stem>.csv`, a line a row, and `<stem>.json`; folders above them are made.

        Args:
            stem: path of both files without suffix.
            pictures: what was drawn of the report.

        Returns:
            The report with `files`: the two, then the pictures.
        """
        spreadsheet, whole = stem.with_suffix(".csv"), stem.with_suffix(".json")
        report = replace(self, files=tuple(map(str, (spreadsheet, whole, *pictures))))
        lines = [asdict(row) for row in self.rows]
        text = io.StringIO()
        writer = csv.DictWriter(text, lines[0])
        writer.writeheader()
        writer.writerows(lines)
        stem.parent.mkdir(parents=True, exist_ok=True)
        replace_file(spreadsheet, text.getvalue().encode())
        replace_file(whole, json.dumps(asdict(report), indent=1, allow_nan=False).encode())
        return report

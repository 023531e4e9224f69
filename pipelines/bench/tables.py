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


def table(headings: Sequence[str], lines: Iterable[Sequence[str]], *, whole: bool = False) -> Table:
    """A table without rules; names to the left, figures to the right.

    Args:
        headings: of the columns.
        lines: of the table.
        whole: whether figures stay on one line; together they are narrower than the screen.
    """
    rows = list(lines)
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, heading in enumerate(headings):
        widest = max((cell_len(row[place]) for row in rows), default=0)
        drawn.add_column(
            heading,
            justify="right" if place else "left",
            overflow="fold",
            min_width=widest if place and whole else None,
        )
    for row in rows:
        drawn.add_row(*(Text(printable(cell)) for cell in row))
    return drawn


def table_with_key(
    headings: Sequence[str], lines: Iterable[Sequence[str]]
) -> Iterator[str | Table]:
    """A table; where its names leave no room for its figures, of numbers, and what they stand for.

    Args:
        headings: of the columns.
        lines: the first of each is a name.
    """
    rows = list(lines)
    figures = sum(max(map(cell_len, column)) + 2 for column in list(zip(*rows, strict=True))[1:])
    if max((cell_len(row[0]) for row in rows), default=0) + 2 + figures <= Console().width:
        yield table(headings, rows, whole=True)
        return
    numbered = [[str(n), *row[1:]] for n, row in enumerate(rows, 1)]
    yield table(["", *headings[1:]], numbered, whole=figures + 4 <= Console().width)
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

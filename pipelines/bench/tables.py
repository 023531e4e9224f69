"""A benchmark's report as tables for people, and as files: rows as CSV, all of it as JSON."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import Field, asdict, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from rich.table import Table

from egofeat.pipelines.figures.costs import operations

_Row = TypeVar("_Row")
_Value = TypeVar("_Value")
Columns = dict[str, Callable[[_Row], str]]
"""Heading to what a row has there; names first."""


def table(rows: Sequence[_Row], columns: Columns[_Row]) -> Table:
    """A table without lines; names to the left, figures to the right."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, heading in enumerate(columns):
        drawn.add_column(heading, justify="right" if place else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(say(row) for say in columns.values()))
    return drawn


def known(value: _Value | None, say: Callable[[_Value], str]) -> str:
    """A value as it is said, or a dash."""
    return "–" if value is None else say(value)


def count(operations_: int) -> str:
    """Multiply-adds, four digits that count."""
    return operations(operations_, "#.4g")


def figure(value: float) -> str:
    """Three digits that count: `0.0123`, `1.20`, `123`, `12345`."""
    return f"{value:#.3g}".rstrip(".") if value < 999.5 else f"{value:.0f}"


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


class _Report(_Dataclass, Protocol):
    @property
    def rows(self) -> Sequence[_Dataclass]: ...
    @property
    def files(self) -> tuple[str, ...]: ...


Report = TypeVar("Report", bound=_Report)


def write_report(
    report: Report, row: type[_Dataclass], stem: Path, pictures: Sequence[Path]
) -> Report:
    """Write `<stem>.csv` and `<stem>.json`; folders above them are made.

    Args:
        report: a dataclass with `rows` and `files`.
        row: the class of its rows, whose fields are the columns.
        stem: path of both files without suffix.
        pictures: what was drawn of the report.

    Returns:
        The report with `files`: the two, then the pictures. The JSON holds it so.
    """
    table, whole = stem.with_suffix(".csv"), stem.with_suffix(".json")
    stem.parent.mkdir(parents=True, exist_ok=True)
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(row)])
        writer.writeheader()
        writer.writerows(asdict(one) for one in report.rows)
    report = replace(report, files=tuple(str(path) for path in (table, whole, *pictures)))
    whole.write_text(json.dumps(asdict(report), indent=1, allow_nan=False), encoding="utf-8")
    return report

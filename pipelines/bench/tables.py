"""A benchmark's report as files: its rows as CSV, all of it as JSON."""

import csv
import json
from collections.abc import Sequence
from dataclasses import Field, asdict, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar


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

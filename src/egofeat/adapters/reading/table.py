"""Tables of annotations: CSV with a header, read as columns; every mistake has its line."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO, TextIOWrapper
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, TypeVar

from egofeat.adapters.files import read_both
from egofeat.adapters.reading.columns import Column, UnreadError, read_columns
from egofeat.errors import ManifestError
from egofeat.words import nearest, quoted

T = TypeVar("T")

_LINE_END = re.compile(r"\r\n|\r|\n")
ROWS_AT_ONCE = 512
"""Rows of a table that are parsed together: their cells fit a processor's cache."""


@dataclass(frozen=True)
class Rows:
    """Some rows of a table, one after the other."""

    table: "Table"
    lines: Sequence[int]
    """Number of each row's last line."""
    columns: Sequence[Column]
    """The columns asked for."""

    @property
    def place(self) -> str:
        """How an error names the first."""
        return self.table.place(self.lines[0])

    def __iter__(self) -> Iterator["Rows"]:
        """Each by itself."""
        for row, line in enumerate(self.lines):
            yield Rows(self.table, [line], [Column.of([column[row]]) for column in self.columns])


@dataclass(frozen=True)
class Table:
    """A CSV file with a header line."""

    path: Path

    @cached_property
    def header(self) -> list[str]:
        """Names of the columns.

        Raises:
            ManifestError: the file cannot be read, or begins otherwise than a CSV file.

        """
        reader = _reader(self._read())
        try:
            return [name.strip() for name in next(reader, [])]
        except csv.Error as error:
            raise self._no_csv(reader.line_num, error) from None

    def _read(self) -> bytes:
        """What the file holds, which is not kept: of a million rows 100 MB."""
        return read_both(self.path)[0]

    def _no_csv(self, line: int, error: csv.Error) -> ManifestError:
        return ManifestError(f"{self.place(line)} is not CSV ({error}): correct the line")

    def place(self, line: int) -> str:
        """How an error names a line."""
        return f"{self.path} line {line}"

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Line number (of the row's last line) and the cells of the named columns, stripped.

        Rows of blank cells alone, as spreadsheets leave them, are passed over.

        Raises:
            ManifestError: a column is absent or stands twice, or a row is short or long.

        """
        for some in self._some(self._places(columns), ROWS_AT_ONCE):
            yield from zip(some.lines, zip(*some.columns, strict=True), strict=True)

    def parse(self, columns: Sequence[str], take: Callable[[Rows], T]) -> Iterator[T]:
        """Yield what `take` makes of the rows, of many at a time, as of `rows`.

        Args:
            columns: their names.
            take: raises `ManifestError` of rows that are wrong, and is then given each by itself,
                so that the sentence can say the place of the first: that of the rows it is given.

        Raises:
            ManifestError: as `rows` does, or `take`.

        """
        at = self._places(columns)
        with suppress(UnreadError, ManifestError):  # which is raised again below, with its line
            yield from list(map(take, self._stretches(at)))
            return
        for some in self._some(at, ROWS_AT_ONCE):
            try:
                taken = take(some)
            except ManifestError:
                for row in some:
                    take(row)
                raise
            yield taken

    def _stretches(self, at: Sequence[int]) -> Iterator[Rows]:
        """Rows of a large table, many thousands at a time."""
        for columns in read_columns(self._read(), at, len(self.header)):
            yield Rows(self, range(len(columns[0])), columns)

    def _some(self, at: Sequence[int], most: int) -> Iterator[Rows]:
        """Rows, so many at a time."""
        reader = _reader(self._read())
        next(reader)
        wrong: ManifestError | None = None
        while wrong is None:
            before = reader.line_num
            rows: list[list[str]] = []
            try:
                rows.extend(islice(reader, most))  # which keeps what stands before an error
            except csv.Error as error:
                wrong = self._no_csv(reader.line_num, error)
            if not rows:
                break
            lines: Sequence[int] = range(before + 1, reader.line_num + 1)
            if len(lines) != len(rows):
                lines = _last_lines(rows, before)
            if {len(self.header)} != set(map(len, rows)) or not all(c[0].strip() for c in rows):
                lines, rows, odd = self._filled(lines, rows)
                wrong = odd or wrong
            if rows:
                cells = list(zip(*rows, strict=True))
                yield Rows(self, lines, [Column.of(list(map(str.strip, cells[k]))) for k in at])
        if wrong:
            raise wrong

    def _filled(
        self, lines: Sequence[int], rows: Sequence[list[str]]
    ) -> tuple[list[int], list[list[str]], ManifestError | None]:
        """Those that are not blank, up to the first that has not as many cells as the header."""
        kept: tuple[list[int], list[list[str]]] = ([], [])
        for line, cells in zip(lines, rows, strict=True):
            if not any(map(str.strip, cells)):
                continue
            if len(cells) != len(self.header):
                return *kept, self._no_row(line, len(cells))
            kept[0].append(line)
            kept[1].append(cells)
        return *kept, None

    def _no_row(self, line: int, cells: int) -> ManifestError:
        return ManifestError(
            f"{self.place(line)} has {cells} cells where the header has {len(self.header)}: "
            "complete the row, or quote cells that hold a comma"
        )

    def _places(self, columns: Sequence[str]) -> list[int]:
        return [self._index(name) for name in columns]

    def _index(self, name: str) -> int:
        count = self.header.count(name)
        if count == 1:
            return self.header.index(name)
        if count:
            raise ManifestError(f"{self.path} has {count} columns named {quoted(name)}: rename one")
        mend = nearest(name, self.header) if any(self.header) else "its first line must name them"
        if len(self.header) == 1 and (parted := re.search(r"[;\t|]", self.header[0])):
            mend = f"its cells are separated by {parted[0]!r}: save it with commas"
        raise ManifestError(f"{self.path} has no column {quoted(name)}: {mend}")


def _reader(content: bytes) -> Any:
    lines = TextIOWrapper(BytesIO(content), "utf-8-sig", newline="")
    return csv.reader(lines, strict=True, skipinitialspace=True)


def _last_lines(rows: Iterable[Sequence[str]], before: int) -> list[int]:
    """Number of each row's last line, of rows that begin after `before`."""
    counts = (1 + sum(len(_LINE_END.findall(cell)) for cell in cells) for cells in rows)
    return list(accumulate(counts, initial=before))[1:]

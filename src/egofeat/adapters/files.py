"""Reading annotation files: text, tables with line numbers, names that stay in their folder."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO, TextIOWrapper
from itertools import accumulate, islice
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import ManifestError
from egofeat.words import nearest, quoted

T = TypeVar("T")

_LINE_END = re.compile(r"\r\n|\r|\n")
_MOST_DIGITS = 15
"""A number of more is none that anybody counted."""
ROWS_AT_ONCE = 512
"""Rows of a table that are parsed together: their cells fit a processor's cache."""

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"}
    | {".mts", ".ogv", ".ts", ".webm", ".wmv"}
)


IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


def read_text(path: Path, encoding: str = "utf-8-sig") -> str:
    """Read the whole of a text file, UTF-8 unless another is named, line ends as they are.

    Raises:
        ManifestError: there is no such file, the system does not give it, or it is no such text.

    """
    return _read(path, encoding)[1]


def _read(path: Path, encoding: str) -> tuple[bytes, str]:
    """What a text file holds, as bytes and as text."""
    try:
        if path.exists() and not path.is_file():
            raise ManifestError(f"{path} is no file, but a folder, pipe or device: name a file")
        content = path.read_bytes()
        return content, content.decode(encoding)
    except FileNotFoundError:
        raise ManifestError(f"{path} does not exist: put the file there") from None
    except OSError as error:
        raise ManifestError(f"{path} cannot be read ({error.strerror}): correct that") from None
    except UnicodeDecodeError:
        raise ManifestError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    except ValueError:  # of a path with a NUL
        raise ManifestError(f"{quoted(str(path))} is no path: correct it") from None


def read_lines(path: Path) -> list[tuple[str, str]]:
    """Place (`file line n`) and text of every line that is not blank, stripped."""
    lines = enumerate(read_text(path).splitlines(), start=1)
    return [(f"{path} line {number}", line.strip()) for number, line in lines if line.strip()]


def confined(name: str) -> str:
    """`name`, a video's path relative to `media`, once it is sure to stay there.

    The check is of the name alone: links inside `media` are the user's own.

    Raises:
        ManifestError: the name is empty, absolute, or climbs with `..`.

    """
    parts = name.replace("\\", "/").split("/")
    climbs = ".." in parts or parts[0] == "" or Path(name).anchor
    if climbs or "\0" in name or not PurePosixPath(name).name:
        raise ManifestError(
            f"the video {quoted(name)} does not stay inside 'media': "
            "write its path relative to that folder, without '..'"
        )
    return name


def whole_number(text: str, what: str, place: str) -> int:
    """`text` as an integer of zero or more, of which the error says `what` it is and where."""
    if not (text.isascii() and text.isdigit()):
        raise ManifestError(f"{place}: {what} is {quoted(text)}: write a whole number, 0 or more")
    if len(text.lstrip("0")) > _MOST_DIGITS:
        raise ManifestError(f"{place}: {what} is {quoted(text)}, which is too large: correct it")
    return int(text.lstrip("0") or 0)


def whole_numbers(texts: Sequence[str], what: str, place: str) -> NDArray[np.int64]:
    """`whole_number` of each cell of a column, of which the first is at `place`."""
    joined = "".join(texts)
    plain = joined.isascii() and joined.isdigit() and all(0 < len(t) <= _MOST_DIGITS for t in texts)
    read = map(int, texts) if plain else (whole_number(text, what, place) for text in texts)
    return np.fromiter(read, np.int64, len(texts))


def refuse_duplicates(ids: Sequence[str], places: Iterable[str], mend: str) -> None:
    """Raise `ManifestError` at the first id that stands at two places."""
    if len(set(ids)) == len(ids):
        return
    seen: dict[str, str] = {}
    for id_, place in zip(ids, places, strict=True):
        if id_ in seen:
            raise ManifestError(
                f"the segment id {quoted(id_)} is at {seen[id_]} and again at {place}: {mend}"
            )
        seen[id_] = place


@dataclass(frozen=True)
class Rows:
    """Some rows of a table, one after the other."""

    table: "Table"
    lines: Sequence[int]
    """Number of each row's last line."""
    columns: tuple[list[str], ...]
    """The columns asked for, the cells of each stripped."""

    @property
    def place(self) -> str:
        """How an error names the first."""
        return self.table.place(self.lines[0])

    def __iter__(self) -> Iterator["Rows"]:
        """Each by itself."""
        for row, line in enumerate(self.lines):
            yield Rows(self.table, [line], tuple([column[row]] for column in self.columns))


@dataclass(frozen=True)
class Table:
    """A CSV file with a header line."""

    path: Path

    @cached_property
    def _content(self) -> bytes:
        return _read(self.path, "utf-8-sig")[0]

    @cached_property
    def header(self) -> list[str]:
        """Names of the columns.

        Raises:
            ManifestError: the file cannot be read, or begins otherwise than a CSV file.

        """
        reader = self._reader()
        try:
            return [name.strip() for name in next(reader, [])]
        except csv.Error as error:
            raise self._no_csv(reader.line_num, error) from None

    def _reader(self) -> Any:
        lines = TextIOWrapper(BytesIO(self._content), "utf-8-sig", newline="")
        return csv.reader(lines, strict=True, skipinitialspace=True)

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
        for some in self._some(columns, ROWS_AT_ONCE):
            yield from zip(some.lines, zip(*some.columns, strict=True), strict=True)

    def parse(self, columns: Sequence[str], take: Callable[[Rows], T]) -> Iterator[T]:
        """Yield what `take` makes of the rows, of some hundreds at a time, as of `rows`.

        Args:
            columns: their names.
            take: raises `ManifestError` of rows that are wrong, and is then given each by itself,
                so that the sentence can say the place of the first: that of the rows it is given.

        Raises:
            ManifestError: as `rows` does, or `take`.

        """
        for some in self._some(columns, ROWS_AT_ONCE):
            try:
                taken = take(some)
            except ManifestError:
                for row in some:
                    take(row)
                raise
            yield taken

    def _some(self, columns: Sequence[str], most: int) -> Iterator[Rows]:
        """Rows, so many at a time."""
        at = [self._index(name) for name in columns]
        reader = self._reader()
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
                lines, rows, odd = self._whole(lines, rows)
                wrong = odd or wrong
            if rows:
                cells = list(zip(*rows, strict=True))
                yield Rows(self, lines, tuple(list(map(str.strip, cells[k])) for k in at))
        if wrong:
            raise wrong

    def _whole(
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


def _last_lines(rows: Iterable[Sequence[str]], before: int) -> list[int]:
    """Number of each row's last line, of rows that begin after `before`."""
    counts = (1 + sum(len(_LINE_END.findall(cell)) for cell in cells) for cells in rows)
    return list(accumulate(counts, initial=before))[1:]

"""Reading annotation files: text, tables with line numbers, names that stay in their folder."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import Any

from egofeat.errors import ManifestError
from egofeat.words import nearest, quoted

_MOST_DIGITS = 15
"""A number of more is none that anybody counted."""

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
    try:
        if path.exists() and not path.is_file():
            raise ManifestError(f"{path} is no file, but a folder, pipe or device: name a file")
        return path.read_bytes().decode(encoding)
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


def refuse_duplicates(ids: Sequence[str], places: Sequence[str], mend: str) -> None:
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
class Table:
    """A CSV file with a header line."""

    path: Path

    @cached_property
    def _text(self) -> str:
        return read_text(self.path)

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
        return csv.reader(StringIO(self._text, newline=""), strict=True, skipinitialspace=True)

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
        pick = itemgetter(*[self._index(name) for name in columns], 0)
        width = len(self.header)
        reader = self._reader()
        try:
            next(reader)
            for cells in reader:
                if not any(map(str.strip, cells)):
                    continue
                if len(cells) != width:
                    raise ManifestError(
                        f"{self.place(reader.line_num)} has {len(cells)} cells where the header "
                        f"has {width}: complete the row, or quote cells that hold a comma"
                    )
                yield reader.line_num, tuple(map(str.strip, pick(cells)[:-1]))
        except csv.Error as error:
            raise self._no_csv(reader.line_num, error) from None

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

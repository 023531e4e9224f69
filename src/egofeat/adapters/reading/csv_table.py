"""One CSV file with a segment a row: video, start, stop, split and labels by column name."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from egofeat.adapters.entry import Entry, FirstFrame, Rate, Strict, expand, takes
from egofeat.adapters.files import confined, read_lines, refuse_duplicates
from egofeat.adapters.reading.columns import Column
from egofeat.adapters.reading.table import Rows, Table
from egofeat.adapters.reading.times import parse_intervals, parse_time
from egofeat.adapters.resplit import Share, resplit
from egofeat.errors import ManifestError
from egofeat.segments import Dataset, Media, Segments, Texts, texts
from egofeat.words import nearest, quoted

MOST_CLASSES = 100_000
"""A larger integer in a label column is a mistake, such as a column of times."""

Names = Annotated[str | list[str], takes("a list of class names or the name of a file of them")]


class Columns(Strict):
    """Which column says what; one that is not named here is used when it has the key's own name."""

    video: str = "video"
    start: str | None = None
    stop: str | None = None
    split: str | None = None
    group: str | None = None
    id: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    """Target to the column of its labels."""


class CsvEntry(Entry):
    """Keys of an entry with `format: csv`."""

    format: Literal["csv"]
    annotations: str = Field(description="the CSV file")
    columns: Columns = Columns()
    classes: dict[str, Names] = Field(default_factory=dict)
    """Target to its class names in the order of their labels, or a file with one a line."""
    fps: Rate | None = None
    """Frames per second, where the videos are folders, tars or zips of numbered images."""
    first_frame: FirstFrame | None = None
    """Number of the image shown at second 0; else 1, or 0 where there is an image 0."""
    resplit: dict[str, Share] = Field(default_factory=dict)


def read(name: str, entry: CsvEntry, root: Path) -> Dataset:
    """Read the data set that a table of segments describes."""
    media = entry.locate_folder("media", root)
    table = Table(entry.locate("annotations", root))
    targets = list(entry.columns.labels)
    for target in entry.classes:
        if target not in targets:
            raise ManifestError(
                f"key 'classes.{target}': 'columns.labels' has no such target: "
                f"add it there, or remove the list (targets are {', '.join(targets) or 'none'})"
            )
    used = _used(table, entry.columns)
    wanted = [*used.values(), *entry.columns.labels.values()]
    cells: dict[str, dict[str, int]] = {target: {} for target in targets}
    segments = Segments.join(table.parse(wanted, _Taking(tuple(used), cells)))
    if not segments:
        raise ManifestError(f"{table.path} holds no segments: add a row below its header")
    coded = [
        _Labels.of(target, _class_names(entry, target, root), list(cells[target]))
        for target in targets
    ]
    segments = replace(
        segments,
        labels={
            labels.target: _indices(labels, cells[labels.target], table, column)[
                segments.labels[labels.target]
            ]
            for labels, column in zip(coded, entry.columns.labels.values(), strict=True)
        },
    )
    refuse_duplicates(
        segments.ids.tolist(),
        (table.place(line) for line, _ in table.rows(wanted)),
        "remove one row, or name a column of unique ids as 'columns.id'",
    )
    return Dataset(
        name=name,
        media={
            video: Media(media / video, fps=entry.fps, first_frame=entry.first_frame)
            for video in dict.fromkeys(segments.videos.tolist())
        },
        segments=resplit(segments, entry.resplit) if entry.resplit else segments,
        classes={labels.target: labels.names for labels in coded},
        remarks=tuple(_unread_times(table, used, wanted)),
    )


def _unread_times(table: Table, used: Iterable[str], wanted: Iterable[str]) -> Iterator[str]:
    """Yield that columns which may be of times are not read, where segments lack such."""
    lacking = [key for key in ("start", "stop") if key not in used]
    named = [name for name in table.header if name not in wanted and _OF_TIME.search(name)]
    if lacking and (unread := [name for name in named if _holds_numbers(table, name)]):
        verbs = " and ".join({"start": "begin", "stop": "end"}[key] for key in lacking)
        yield (
            f"{table.path}: segments {verbs} with their videos, and nothing reads "
            f"{', '.join(map(quoted, unread))}: name what holds seconds as "
            f"{' or '.join(f'`columns.{key}`' for key in lacking)}"
        )


_OF_TIME = re.compile(
    r"(?:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z]))"  # where a word of it begins: `plastic` has none
    r"(?i:start|begin|first|onset|stop|last|finish|offset|time|endtime|(?:end|from|to|t)(?![a-z]))"
)
"""In the name of a column."""


def _holds_numbers(table: Table, column: str) -> bool:
    """Whether there are times, or frames, in its first rows: of a `first_name` are none."""
    if table.header.count(column) == 1:
        for _, (cell,) in islice(table.rows([column]), 100):
            with suppress(ValueError):
                parse_time(cell)
                return True
    return False


def _used(table: Table, columns: Columns) -> dict[str, str]:
    """Key of an entry's `columns` to the column that it means, but for those of labels."""
    named = columns.model_dump(exclude={"labels"}, exclude_none=True)
    same_name = {key: key for key in Columns.model_fields if key in table.header}
    return {key: column for key, column in {**same_name, **named}.items() if key != "labels"}


@dataclass(frozen=True)
class _Taking:
    """Makes segments of rows; their labels are places of the cells that were met."""

    keys: tuple[str, ...]
    """Of the columns before those of labels."""
    cells: Mapping[str, dict[str, int]]
    """Target to its different cells, each with its place among them."""
    _videos: dict[str, str] = field(default_factory=dict)
    """Cell to the video that it names."""
    _shared: dict[str, str] = field(default_factory=dict)
    """Splits and groups."""

    def __call__(self, rows: Rows) -> Segments:
        """The segments of some rows."""
        found = dict(zip(self.keys, rows.columns, strict=False))
        blank = Column.same("", len(rows.lines))
        videos = self._named(found["video"], rows.place)
        interval = parse_intervals(found.get("start", blank), found.get("stop", blank), rows.place)
        timed = interval if "start" in found or "stop" in found else ()
        return Segments(
            _ids(found.get("id", blank), videos, timed),
            videos.spread(texts(videos.cells)),
            *interval,
            self._share(found.get("split", Column.same("train", len(blank)))),
            self._share(found.get("group", blank)),
            {
                target: column.spread(
                    np.array([known.setdefault(c, len(known)) for c in column.cells], np.int64)
                )
                for (target, known), column in zip(
                    self.cells.items(), rows.columns[len(self.keys) :], strict=True
                )
            },
        )

    def _share(self, column: Column) -> Texts:
        return column.spread(texts(self._shared.setdefault(text, text) for text in column.cells))

    def _named(self, names: Column, place: str) -> Column:
        for name in set(names.cells).difference(self._videos):
            try:
                self._videos[name] = PurePosixPath(confined(name)).as_posix()
            except ManifestError as error:
                raise ManifestError(f"{place}: {error}") from None
        return replace(names, cells=[self._videos[name] for name in names.cells])


def _ids(given: Column, videos: Column, interval: Sequence[NDArray[np.float64]]) -> Texts:
    """Ids as they are given; else the name of the video, and where rows have times, these."""
    ids = given.spread(texts(given.cells))
    if all(given.cells):
        return ids
    stem_of = {v: PurePosixPath(v).with_suffix("").as_posix() for v in set(videos.cells)}
    made = videos.spread(texts(stem_of[video] for video in videos.cells))
    for sign, times in zip("@-", interval, strict=False):
        different, places = np.unique(times, return_inverse=True)
        made = made + texts(f"{sign}{time:.3f}" for time in different.tolist())[places]
    return np.where(ids == "", made, ids)


def _indices(
    labels: "_Labels", cells: Iterable[str], table: Table, column: str
) -> NDArray[np.int64]:
    """Label of each different cell of a column, -1 for none."""
    found = []
    for text in cells:
        try:
            index = labels.index(text)
        except ManifestError as error:
            line = next(line for line, (cell,) in table.rows([column]) if cell == text)
            raise ManifestError(f"{table.place(line)}: {error}") from None
        found.append(-1 if index is None else index)
    return np.array(found, np.int64)


def _class_names(entry: CsvEntry, target: str, root: Path) -> list[str] | None:
    given = entry.classes.get(target)
    if isinstance(given, str):
        given = [line for _, line in read_lines(expand(given, f"classes.{target}", root))]
    if given is not None and len(set(given)) != len(given):
        twice = next(name for name in given if given.count(name) > 1)
        raise ManifestError(f"key 'classes.{target}' names {quoted(twice)} twice: remove one")
    return given


def _is_no_label(text: str) -> bool:
    """Whether a cell says that there is none: empty, -1 or not a number, as tables write it."""
    return not text or text.lower() == "nan" or _number(text) == -1


def _number(text: str) -> int | None:
    """The integer that a cell is, `3` or, as columns with gaps are written, `3.0`; else None.

    One of more than 9 digits is too large whatever it is.
    """
    match = _INTEGER.fullmatch(text)
    return match and int(match[1] + (match[2].lstrip("0") or "0")[:10])


_INTEGER = re.compile(r"([+-]?)([0-9]+)(?:\.0*)?")


@dataclass(frozen=True)
class _Labels:
    """The classes of one target, and the index that each cell stands for."""

    target: str
    names: tuple[str, ...]
    indices: Mapping[str, int]

    @classmethod
    def of(cls, target: str, names: Sequence[str] | None, texts: Sequence[str]) -> "_Labels":
        """Classes as listed; else 0 to the largest integer; else the sorted names."""
        if names is not None:
            return cls(target, tuple(names), {name: i for i, name in enumerate(names)})
        found = {text for text in texts if not _is_no_label(text)}
        numbers = {text: number for text in found if (number := _number(text)) is not None}
        if found and len(numbers) == len(found):
            wrong = [text for text, number in numbers.items() if not 0 <= number < MOST_CLASSES]
            if wrong:
                raise ManifestError(
                    f"the column of target {quoted(target)} holds {quoted(wrong[0])}, which is "
                    "no label: name another column, or list the names as "
                    f"'classes.{target}'"
                )
            names = [str(index) for index in range(max(numbers.values()) + 1)]
        else:
            names = sorted(found)
        return cls(target, tuple(names), {name: i for i, name in enumerate(names)})

    def index(self, text: str) -> int | None:
        """Find a cell's label: a name, or else an integer below the number of classes; or none.

        Raises:
            ManifestError: it is none of these; the caller says where.
        """
        if text in self.indices:
            return self.indices[text]
        if _is_no_label(text):
            return None
        number = _number(text)
        if number is not None and 0 <= number < len(self.names):
            return number
        raise ManifestError(
            f"{self.target} {quoted(text)} is not among its {len(self.names)} classes: "
            f"{nearest(text, list(self.names))}"
        )

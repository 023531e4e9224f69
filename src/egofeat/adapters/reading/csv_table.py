"""One CSV file with a segment a row: video, start, stop, split and labels by column name."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import Field

from egofeat.adapters.entry import Entry, FirstFrame, Rate, Strict, expand, takes
from egofeat.adapters.files import Table, confined, read_lines, refuse_duplicates
from egofeat.adapters.reading.times import parse_interval
from egofeat.adapters.resplit import Share, resplit
from egofeat.errors import ManifestError
from egofeat.segments import Dataset, Media, Segment
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


@dataclass(frozen=True, slots=True)
class _Row:
    place: str
    cells: Mapping[str, str]
    labels: tuple[str, ...]


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
    rows = _rows(table, entry.columns)
    coded = [
        _Labels.of(target, _class_names(entry, target, root), [row.labels[i] for row in rows])
        for i, target in enumerate(targets)
    ]
    segments = [_segment(row, coded) for row in rows]
    refuse_duplicates(
        [segment.id for segment in segments],
        [row.place for row in rows],
        "remove one row, or name a column of unique ids as 'columns.id'",
    )
    videos = dict.fromkeys(segment.video for segment in segments)
    return Dataset(
        name=name,
        media={
            video: Media(media / video, fps=entry.fps, first_frame=entry.first_frame)
            for video in videos
        },
        segments=resplit(segments, entry.resplit) if entry.resplit else tuple(segments),
        classes={labels.target: labels.names for labels in coded},
    )


def _rows(table: Table, columns: Columns) -> list[_Row]:
    named = columns.model_dump(exclude={"labels"}, exclude_none=True)
    same_name = {key: key for key in Columns.model_fields if key in table.header}
    used = {key: column for key, column in {**same_name, **named}.items() if key != "labels"}
    wanted = [*used.values(), *columns.labels.values()]
    rows = [
        _Row(table.place(line), dict(zip(used, cells, strict=False)), cells[len(used) :])
        for line, cells in table.rows(wanted)
    ]
    if not rows:
        raise ManifestError(f"{table.path} holds no segments: add a row below its header")
    return rows


def _segment(row: _Row, coded: Iterable["_Labels"]) -> Segment:
    cells = row.cells
    try:
        video = PurePosixPath(confined(cells["video"]))
    except ManifestError as error:
        raise ManifestError(f"{row.place}: {error}") from None
    start, stop = parse_interval(cells.get("start", ""), cells.get("stop", ""), row.place)
    id_ = video.with_suffix("").as_posix()
    if "start" in cells or "stop" in cells:
        id_ += f"@{start:.3f}-{stop:.3f}"
    found = {
        labels.target: labels.index(text, row.place)
        for labels, text in zip(coded, row.labels, strict=True)
    }
    return Segment(
        id=cells.get("id") or id_,
        video=video.as_posix(),
        start=start,
        stop=stop,
        split=cells.get("split", "train"),
        labels={target: label for target, label in found.items() if label is not None},
        group=cells.get("group", ""),
    )


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

    def index(self, text: str, place: str) -> int | None:
        """Find a cell's label: a name, or else an integer below the number of classes; or none."""
        if text in self.indices:
            return self.indices[text]
        if _is_no_label(text):
            return None
        number = _number(text)
        if number is not None and 0 <= number < len(self.names):
            return number
        raise ManifestError(
            f"{place}: {self.target} {quoted(text)} is not among its {len(self.names)} classes: "
            f"{nearest(text, list(self.names))}"
        )

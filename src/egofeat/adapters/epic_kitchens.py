"""EPIC-KITCHENS-100 (Damen et al., IJCV 2022): its annotation folder, and its four kinds of media.

Targets are `verb` (97) and `noun` (300), and their categories `verb_category` (13) and
`noun_category` (21), numbered in the order in which the class files first name them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from re import ASCII, fullmatch
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from egofeat.adapters.entry import Entry, FirstFrame, folder_name
from egofeat.adapters.epic_media import Frames, fps_of, locate_media
from egofeat.adapters.files import refuse_duplicates, whole_number, whole_numbers
from egofeat.adapters.reading.columns import Column
from egofeat.adapters.reading.table import Rows, Table
from egofeat.adapters.reading.times import parse_intervals
from egofeat.errors import ManifestError
from egofeat.segments import Dataset, Segments, texts
from egofeat.words import quoted

SPLITS = {
    "train": "EPIC_100_train.csv",
    "val": "EPIC_100_validation.csv",
    "test": "EPIC_100_test_timestamps.csv",
}
"""Split to its file; the test file has no labels and may be absent."""

BENCHMARK = {"verb": 97, "noun": 300}
"""Classes that actions are labelled with; noun_classes_v2 goes on with those of VISOR."""

TIMES = ["narration_id", "video_id", "start_timestamp", "stop_timestamp"]
TIMES += ["start_frame", "stop_frame"]


class EpicEntry(Entry):
    """Keys of an entry with `format: epic-kitchens-100`."""

    format: Literal["epic-kitchens-100"]
    annotations: str = Field(description="a clone of epic-kitchens/epic-kitchens-100-annotations")
    frames: Frames = "videos"
    """What holds the frames: it also decides whether timestamps or frame numbers are used."""
    first_frame: FirstFrame = 1
    """Number of the image that frame 1 of the annotations means, where they are not as shipped."""
    dataset: Annotated[str, AfterValidator(folder_name)] | None = None
    """Name of the data set whose stores those of this entry join, such as those of the colours."""


def read(name: str, entry: EpicEntry, root: Path) -> Dataset:
    """Read the data set, with its tail classes and its participants unseen in training."""
    folder = entry.locate_folder("annotations", root)
    taxonomy = {target: _Taxonomy.read(folder, target) for target in BENCHMARK}
    tables = {split: Table(folder / file) for split, file in SPLITS.items()}
    if not tables["test"].path.exists():
        del tables["test"]
    segments = Segments.join(
        some
        for split, table in tables.items()
        for some in _segments(table, split, entry.frames, taxonomy)
    )
    places = (
        table.place(line) for table in tables.values() for line, _ in table.rows(["narration_id"])
    )
    refuse_duplicates(segments.ids.tolist(), places, "restore the published file")
    videos = list(dict.fromkeys(segments.videos.tolist()))
    unseen = Table(folder / "EPIC_100_unseen_participant_ids_validation.csv")
    return Dataset(
        name=entry.name_of(name),
        media=locate_media(
            entry.locate_folder("media", root), entry.frames, videos, entry.first_frame
        ),
        segments=segments,
        classes={target: t.names for target, t in taxonomy.items()}
        | {f"{target}_category": t.categories for target, t in taxonomy.items()},
        tail={target: _tail(folder, target, len(t.names)) for target, t in taxonomy.items()},
        unseen=frozenset(cells[0] for _, cells in unseen.rows(["participant_id"])),
    )


@dataclass(frozen=True, slots=True)
class _Taxonomy:
    """Classes of one target and the category of each."""

    names: tuple[str, ...]
    categories: tuple[str, ...]
    category_of: tuple[int, ...]

    @classmethod
    def read(cls, folder: Path, target: str) -> "_Taxonomy":
        """From `EPIC_100_<target>_classes.csv`, or from its `_v2` where that stands alone."""
        files = [folder / f"EPIC_100_{target}_classes{v}.csv" for v in ("", "_v2")]
        table = Table(files[1] if files[1].exists() and not files[0].exists() else files[0])
        names: list[str] = []
        category_names: list[str] = []
        for line, (index, key, category) in table.rows(["id", "key", "category"]):
            if index != str(len(names)):
                raise ManifestError(
                    f"{table.place(line)} has id {quoted(index)} where {len(names)} is next: "
                    "restore the published file"
                )
            names.append(key)
            category_names.append(category)
        names, category_names = names[: BENCHMARK[target]], category_names[: BENCHMARK[target]]
        number = {category: i for i, category in enumerate(dict.fromkeys(category_names))}
        return cls(tuple(names), tuple(number), tuple(number[c] for c in category_names))


def _segments(
    table: Table, split: str, frames: Frames, taxonomy: Mapping[str, _Taxonomy]
) -> Iterator[Segments]:
    """Segments of a file, some at a time; frame numbers are kept whatever `frames` says."""
    labelled = [] if split == "test" else ["verb_class", "noun_class"]
    groups: dict[str, str] = {}
    known: dict[str, dict[str, int]] = {target: {} for target in taxonomy}

    def take(rows: Rows) -> Segments:
        ids, videos, starts, stops, first, last, *classes = rows.columns
        for video in set(videos.cells).difference(groups):
            if not fullmatch(r"P\d\d_\d{2,3}", video, ASCII):
                raise ManifestError(
                    f"{rows.place}: the video {quoted(video)} is not like P01_01 or P01_101: "
                    "correct the id"
                )
            groups[video] = video[:3]
        begins = first.spread(whole_numbers(first.cells, "start_frame", rows.place))
        ends = last.spread(whole_numbers(last.cells, "stop_frame", rows.place))
        if frames == "videos":
            interval = parse_intervals(starts, stops, rows.place)
        else:
            interval = _intervals(begins, ends, videos, rows.place)
        labels: dict[str, NDArray[np.int64]] = {}
        for (target, of), column in zip(taxonomy.items(), classes, strict=False):
            indices = _classes(column, target, len(of.names), known[target], rows.place)
            labels |= {target: indices, f"{target}_category": np.array(of.category_of)[indices]}
        return Segments(
            ids.spread(texts(ids.cells)),
            videos.spread(texts(videos.cells)),
            *interval,
            np.full(len(ids), split, np.object_),
            videos.spread(texts(groups[video] for video in videos.cells)),
            labels,
            np.stack([begins, ends], axis=1),
        )

    return table.parse([*TIMES, *labelled], take)


def _intervals(
    first: NDArray[np.int64], last: NDArray[np.int64], videos: Column, place: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Seconds from frame 1 for frame numbers `[first, last)` that count from 1, of rows."""
    for row in np.flatnonzero((first < 1) | (first >= last))[:1]:
        raise ManifestError(
            f"{place}: the frames {first[row]} to {last[row]} are not a stretch that starts at 1 "
            "or later: correct them or remove the row"
        )
    fps = videos.spread(np.array([fps_of(video) for video in videos.cells]))
    return (first - 1) / fps, (last - 1) / fps


def _classes(
    column: Column, target: str, classes: int, known: dict[str, int], place: str
) -> NDArray[np.int64]:
    """Class of each row; of each different cell it is worked out once."""
    for text in set(column.cells).difference(known):
        known[text] = _class(text, target, classes, place)
    return column.spread(np.array([known[text] for text in column.cells], np.int64))


def _class(text: str, target: str, classes: int, place: str) -> int:
    index = whole_number(text, f"the {target} class", place)
    if index >= classes:
        raise ManifestError(
            f"{place}: {target} class {index} is not among the {classes} classes of "
            f"EPIC_100_{target}_classes.csv: correct the row or the list"
        )
    return index


def _tail(folder: Path, target: str, classes: int) -> frozenset[int]:
    table = Table(folder / f"EPIC_100_tail_{target}s.csv")
    rows = table.rows([target])
    return frozenset(_class(text, target, classes, table.place(line)) for line, (text,) in rows)

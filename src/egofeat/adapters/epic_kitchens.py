"""EPIC-KITCHENS-100 (Damen et al., IJCV 2022): its annotation folder, and its four kinds of media.

Targets are `verb` (97) and `noun` (300), and their categories `verb_category` (13) and
`noun_category` (21), numbered in the order in which the class files first name them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from re import ASCII, fullmatch
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from egofeat.adapters.entry import Entry, FirstFrame, folder_name
from egofeat.adapters.epic_media import Frames, fps_of, locate_media
from egofeat.adapters.files import Table, refuse_duplicates, whole_number
from egofeat.adapters.reading.times import parse_interval
from egofeat.errors import ManifestError
from egofeat.segments import Dataset, Segment
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
    segments: list[Segment] = []
    places: list[str] = []
    for split, file in SPLITS.items():
        if split == "test" and not (folder / file).exists():
            continue
        for place, segment in _segments(Table(folder / file), split, entry.frames, taxonomy):
            segments.append(segment)
            places.append(place)
    refuse_duplicates([segment.id for segment in segments], places, "restore the published file")
    videos = list(dict.fromkeys(segment.video for segment in segments))
    unseen = Table(folder / "EPIC_100_unseen_participant_ids_validation.csv")
    return Dataset(
        name=entry.name_of(name),
        media=locate_media(
            entry.locate_folder("media", root), entry.frames, videos, entry.first_frame
        ),
        segments=tuple(segments),
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
) -> Iterator[tuple[str, Segment]]:
    """Each row's place and segment; its frame numbers are kept whatever `frames` says."""
    labelled = [] if split == "test" else ["verb_class", "noun_class"]
    labels = _labels(taxonomy)
    known: set[str] = set()
    for line, cells in table.rows([*TIMES, *labelled]):
        id_, video, start, stop, first, last, *classes = cells
        place = table.place(line)
        if video not in known and not fullmatch(r"P\d\d_\d{2,3}", video, ASCII):
            raise ManifestError(
                f"{place}: the video {quoted(video)} is not like P01_01 or P01_101: correct the id"
            )
        known.add(video)
        numbers = whole_number(first, "start_frame", place), whole_number(last, "stop_frame", place)
        if frames == "videos":
            interval = parse_interval(start, stop, place)
        else:
            interval = _interval(*numbers, fps_of(video), place)
        yield (
            place,
            Segment(
                id=id_,
                video=video,
                start=interval[0],
                stop=interval[1],
                split=split,
                labels=labels(tuple(classes), place),
                group=video[:3],
                source_frames=numbers,
            ),
        )


def _interval(first: int, last: int, fps: float, place: str) -> tuple[float, float]:
    """Seconds from frame 1 for frame numbers `[first, last)` that count from 1."""
    if not 1 <= first < last:
        raise ManifestError(
            f"{place}: the frames {first} to {last} are not a stretch that starts at 1 or later: "
            "correct them or remove the row"
        )
    return (first - 1) / fps, (last - 1) / fps


def _labels(
    taxonomy: Mapping[str, _Taxonomy],
) -> Callable[[tuple[str, ...], str], Mapping[str, int]]:
    """Make a function from a row's class cells to its labels; equal rows share one mapping."""
    known: dict[tuple[str, ...], Mapping[str, int]] = {}

    def labels(cells: tuple[str, ...], place: str) -> Mapping[str, int]:
        if cells not in known:
            found = {}
            for (target, classes), text in zip(taxonomy.items(), cells, strict=False):
                index = _class(text, target, len(classes.names), place)
                found[target] = index
                found[f"{target}_category"] = classes.category_of[index]
            known[cells] = found
        return known[cells]

    return labels


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

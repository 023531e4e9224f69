"""EPIC-KITCHENS-55 (Damen et al., ECCV 2018): its annotation folder, media as of the 100.

Targets are `verb` and `noun`. Two test sets, of kitchens that are seen in training (`test-s1`) and
that are not (`test-s2`), have no labels.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from egofeat.adapters.entry import Entry, FirstFrame
from egofeat.adapters.epic_media import Frames, fps_of, locate_media
from egofeat.adapters.files import confined, refuse_duplicates, whole_number
from egofeat.adapters.reading.columns import Column
from egofeat.adapters.reading.table import Table
from egofeat.adapters.reading.times import parse_intervals
from egofeat.errors import ManifestError
from egofeat.segments import Dataset, Segment
from egofeat.words import quoted

SPLITS = {
    "train": "EPIC_train_action_labels.csv",
    "test-s1": "EPIC_test_s1_timestamps.csv",
    "test-s2": "EPIC_test_s2_timestamps.csv",
}
"""Split to its file; those of the test sets may be absent."""
TARGETS = ("verb", "noun")
_TIMES = ["uid", "video_id", "start_timestamp", "stop_timestamp", "start_frame", "stop_frame"]


class Epic55Entry(Entry):
    """Keys of an entry with `format: epic-kitchens-55`."""

    format: Literal["epic-kitchens-55"]
    annotations: str = Field(description="a clone of epic-kitchens/epic-kitchens-55-annotations")
    frames: Frames = "videos"
    """What holds the frames: it also decides whether timestamps or frame numbers are used."""
    first_frame: FirstFrame = 1


def read(name: str, entry: Epic55Entry, root: Path) -> Dataset:
    """Read the data set; the participants of the second test set are unseen in training."""
    folder = entry.locate_folder("annotations", root)
    classes = {target: _classes(folder, target) for target in TARGETS}
    segments, places = [], []
    for split, file in SPLITS.items():
        if split == "train" or (folder / file).exists():
            for segment, place in _segments(Table(folder / file), split, entry.frames, classes):
                segments.append(segment)
                places.append(place)
    refuse_duplicates([one.id for one in segments], places, "restore the published file")
    videos = list(dict.fromkeys(one.video for one in segments))
    media = entry.locate_folder("media", root)
    return Dataset(
        name=name,
        media=locate_media(media, entry.frames, videos, entry.first_frame),
        segments=tuple(segments),
        classes=classes,
        unseen=frozenset(one.group for one in segments if one.split == "test-s2"),
    )


def _classes(folder: Path, target: str) -> tuple[str, ...]:
    table = Table(folder / f"EPIC_{target}_classes.csv")
    names: list[str] = []
    for line, (index, key) in table.rows([f"{target}_id", "class_key"]):
        if index != str(len(names)):
            raise ManifestError(
                f"{table.place(line)} has id {quoted(index)} where {len(names)} is next: "
                "restore the published file"
            )
        names.append(key)
    return tuple(names)


def _segments(
    table: Table, split: str, frames: Frames, classes: Mapping[str, Sequence[str]]
) -> Iterator[tuple[Segment, str]]:
    """Segments of a file, each with its place; frame numbers are kept whatever `frames` says."""
    labelled = [f"{target}_class" for target in TARGETS] if split == "train" else []
    for line, (uid, video, start, stop, first, last, *of) in table.rows([*_TIMES, *labelled]):
        place = table.place(line)
        own = whole_number(first, "start_frame", place), whole_number(last, "stop_frame", place)
        if frames == "videos":
            begins, ends = parse_intervals(Column.of([start]), Column.of([stop]), place)
            interval = float(begins[0]), float(ends[0])
        elif not 1 <= own[0] < own[1]:
            raise ManifestError(
                f"{place}: the frames {own[0]} to {own[1]} are not a stretch that starts at 1 or "
                "later: correct them or remove the row"
            )
        else:
            fps = fps_of(video)
            interval = ((own[0] - 1) / fps, (own[1] - 1) / fps)
        labels = {}
        for target, text in zip(TARGETS, of, strict=False):
            labels[target] = whole_number(text, f"the {target} class", place)
            if labels[target] >= len(classes[target]):
                raise ManifestError(
                    f"{place}: {target} class {text} is not among the {len(classes[target])} of "
                    f"EPIC_{target}_classes.csv: correct the row or the list"
                )
        yield Segment(uid, confined(video), *interval, split, labels, video[:3], own), place

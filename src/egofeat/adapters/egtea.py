"""EGTEA Gaze+ (Li, Liu and Rehg, ECCV 2018): its split files, class names and trimmed clips.

Targets are `action` (106), `verb` (19) and `noun` (53): of the one to three nouns of an action
the first is the label, and two nouns never are. A clip is a video of its own, and one segment.
The group is the session, one recipe cooked once by one person (`P01-R01-PastaSalad`).
"""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from egofeat.adapters.egtea_gaze import Clip, locate_gaze
from egofeat.adapters.entry import Entry
from egofeat.adapters.files import read_lines, refuse_duplicates, whole_number
from egofeat.adapters.published import with_published
from egofeat.adapters.resplit import Share, resplit
from egofeat.errors import ManifestError
from egofeat.gaze import Gaze
from egofeat.segments import Dataset, Media, Segment
from egofeat.words import quoted

CLASSES = {"action": 106, "verb": 19, "noun": 53}
"""Classes of the benchmark, in the order in which a line of a split file has their numbers."""

_CLIP = re.compile(r"([\w-]+)-\d+-\d+-F(\d{1,12})-F(\d{1,12})", re.ASCII)


class EgteaEntry(Entry):
    """Keys of an entry with `format: egtea-gaze+`."""

    format: Literal["egtea-gaze+"]
    annotations: str = Field(description="the folder of train_split1.txt and the like")
    split: Literal[1, 2, 3] = 1
    """Which of the published splits counts; the others are kept beside it."""
    gaze: str | None = None
    """Folder of the gaze files, one a session."""
    resplit: dict[str, Share] = Field(default_factory=dict)


def read(name: str, entry: EgteaEntry, root: Path) -> Dataset:
    """Read the splits that are there, and say where the gaze is found."""
    folder = entry.locate_folder("annotations", root)
    media = entry.locate_folder("media", root)
    if (media / "cropped_clips").is_dir():
        media /= "cropped_clips"
    classes = {target: _class_names(folder, target) for target in CLASSES}
    splits: dict[str, tuple[Segment, ...]] = {}
    clips: dict[str, Clip] = {}
    for number in (1, 2, 3):
        if number == entry.split or (folder / f"train_split{number}.txt").exists():
            segments, of_split = _read_split(folder, number, classes)
            splits[str(number)] = tuple(segments)
            clips |= of_split
    gaze: Mapping[str, Gaze] = {}
    remarks: tuple[str, ...] = ()
    if entry.gaze is not None:
        gaze, remarks = locate_gaze(entry.locate_folder("gaze", root), clips)
    bare = Dataset(
        name=name,
        media={id_: Media(media / clip.session / f"{id_}.mp4") for id_, clip in clips.items()},
        segments=(),
        classes=classes,
        benchmark=("action",),
        gaze=gaze,
        remarks=remarks,
    )
    deal = functools.partial(_resplit, shares=entry.resplit)
    return with_published(splits, str(entry.split), bare, deal)


def _read_split(
    folder: Path, number: int, classes: Mapping[str, tuple[str, ...]]
) -> tuple[list[Segment], dict[str, Clip]]:
    """Segments of a published split, and what the name of each clip says."""
    rows = [
        row
        for split in ("train", "test")
        for row in _segments(folder / f"{split}_split{number}.txt", split, classes)
    ]
    segments = [segment for _, segment, _ in rows]
    refuse_duplicates(
        [s.id for s in segments], [place for place, _, _ in rows], "restore the published file"
    )
    return segments, {segment.id: clip for _, segment, clip in rows}


def _class_names(folder: Path, target: str) -> tuple[str, ...]:
    """Names of `<target>_idx.txt`, or numbers from 1 where the release's file was left out."""
    path = folder / f"{target}_idx.txt"
    if not path.exists():
        return tuple(str(number) for number in range(1, CLASSES[target] + 1))
    names: dict[int, str] = {}
    for place, line in read_lines(path):
        class_name, _, text = line.rpartition(" ")
        number = whole_number(text, f"the {target}'s number", place)
        if not class_name or number in names:
            raise ManifestError(f"{place} is {quoted(line)}: expected '<name> <number>', each once")
        names[number] = class_name.strip()
    if not names or sorted(names) != list(range(1, len(names) + 1)):
        raise ManifestError(
            f"{path} does not number its classes 1, 2, 3 and so on: restore the published file"
        )
    return tuple(names[number] for number in sorted(names))


def _segments(
    path: Path, split: str, classes: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[str, Segment, Clip]]:
    """Place, segment and clip of each line, `<clip> <action> <verb> <noun> [<noun> [<noun>]]`."""
    for place, line in read_lines(path):
        id_, *numbers = line.split()
        if not 3 <= len(numbers) <= 5:
            raise ManifestError(
                f"{place} is {quoted(line)}: expected '<clip> <action> <verb> <noun>', "
                "with one to three nouns"
            )
        labels = [
            _label(number, target, len(classes[target]), place)
            for number, target in zip(numbers, [*CLASSES, "noun", "noun"], strict=False)
        ]
        clip = _clip(id_, place)
        segment = Segment(
            id=id_,
            video=id_,
            split=split,
            labels=dict(zip(CLASSES, labels, strict=False)),
            group=clip.session,
            source_frames=clip.frames,
        )
        yield place, segment, clip


def _label(text: str, target: str, classes: int, place: str) -> int:
    number = whole_number(text, f"the {target}", place)
    if not 1 <= number <= classes:
        raise ManifestError(
            f"{place}: {target} {number} is not among the {classes} classes, which count from 1: "
            f"correct the line or {target}_idx.txt"
        )
    return number - 1


def _clip(id_: str, place: str) -> Clip:
    match = _CLIP.fullmatch(id_)
    if not match or int(match[2]) >= int(match[3]):
        raise ManifestError(
            f"{place}: the clip {quoted(id_)} is not like <session>-<ms>-<ms>-F<first>-F<last>: "
            "correct its name"
        )
    return Clip(match[1], (int(match[2]), int(match[3])))


def _resplit(segments: Iterable[Segment], shares: Mapping[str, Share]) -> tuple[Segment, ...]:
    """Deal out the training part by `shares`; the test part too, where they name `test`."""
    segments = tuple(segments)
    if not shares:
        return segments
    stay = () if "test" in shares else tuple(s for s in segments if s.split == "test")
    return (*resplit(segments[: len(segments) - len(stay)], shares), *stay)

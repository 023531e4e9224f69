"""Kinetics: its official CSVs, and clips named `<youtube id>_<start>_<end>.mp4`.

Columns are `label, youtube_id, time_start, time_end, split`; the test file has no labels. Clips are
cut already: a segment is a whole file. They lie in `media`, in a folder of the split, of the class,
or of both; one that is not there is a recorded failure when it is wanted.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import Field

from egofeat.adapters.entry import Entry, expand, takes
from egofeat.adapters.files import VIDEO_SUFFIXES, confined, read_lines, whole_number
from egofeat.adapters.reading.table import Table
from egofeat.errors import ManifestError
from egofeat.segments import Dataset, Media, Segment
from egofeat.words import nearest, quoted

_COLUMNS = ["youtube_id", "time_start", "time_end", "split"]
Files = Annotated[str | list[str], takes("a CSV file or a list of them")]
Names = Annotated[str | list[str], takes("a list of class names or the name of a file of them")]


class KineticsEntry(Entry):
    """Keys of an entry with `format: kinetics`."""

    format: Literal["kinetics"]
    annotations: Files = Field(description="the CSV files, such as train.csv and val.csv")
    classes: Names | None = None
    """Only these classes, in this order, or a file with one a line."""
    per_class: int | None = Field(default=None, ge=1)
    """Of each class and split the first so many clips that are there, in the order of the files."""


def read(name: str, entry: KineticsEntry, root: Path) -> Dataset:
    """Read the data set; of clips that are absent the usual name is taken."""
    folder, remarks = entry.locate_folder("media", root), list[str]()
    files = [entry.annotations] if isinstance(entry.annotations, str) else entry.annotations
    rows = [row for file in files for row in _rows(expand(file, "annotations", root))]
    classes = _classes(entry, root, {label for _, label, _, _ in rows if label})
    there = _names(folder)
    known, chosen = set(classes), dict[str, tuple[str, str, str]]()
    taken: dict[tuple[str, str], int] = {}
    wanted = [row for row in rows if row[1] in known or (not row[1] and entry.classes is None)]
    if not wanted:
        raise ManifestError(
            "key 'classes' leaves no clip: name classes that 'annotations' have"
            if rows
            else "'annotations' list no clips: name the published files"
        )
    for id_, label, split, place in wanted:
        if id_ in chosen:
            raise ManifestError(f"{place}: the clip {quoted(id_)} is there twice: keep one of them")
        if entry.per_class is not None:
            if id_ not in there or taken.get((label, split), 0) >= entry.per_class:
                continue
            taken[label, split] = taken.get((label, split), 0) + 1
        chosen[id_] = (label, split, place)
    if not chosen:
        raise ManifestError(
            f"'media' {folder} holds none of the clips, such as {wanted[0][0]}.mp4: "
            "correct the path"
        )
    missing = sum(id_ not in there for id_ in chosen)
    if missing:
        remarks.append(f"clips of '{name}' that are not there: {missing:,} of {len(chosen):,}")
    number = {label: index for index, label in enumerate(classes)}
    return Dataset(
        name=name,
        media={id_: Media(folder / there.get(id_, f"{id_}.mp4")) for id_ in chosen},
        segments=tuple(
            Segment(
                id=id_,
                video=id_,
                split=split,
                labels={"action": number[label]} if label else {},
                group=id_[: -len("_000000_000010")],
            )
            for id_, (label, split, _) in chosen.items()
        ),
        classes={"action": tuple(classes)},
        remarks=tuple(remarks),
    )


def _rows(path: Path) -> list[tuple[str, str, str, str]]:
    """Clip, class (empty without one), split and place of each row."""
    table = Table(path)
    labelled = "label" in table.header
    found = []
    for line, (video, start, end, split, *label) in table.rows(
        [*_COLUMNS, *(["label"] if labelled else [])]
    ):
        place = table.place(line)
        seconds = [
            whole_number(text.removesuffix(".0"), what, place)
            for text, what in ((start, "time_start"), (end, "time_end"))
        ]
        if seconds[0] >= seconds[1]:
            raise ManifestError(
                f"{place}: time_end {end} is not after time_start {start}: correct them or remove "
                "the row"
            )
        id_ = confined(f"{video}_{seconds[0]:06d}_{seconds[1]:06d}")
        kept = {"validate": "val", "validation": "val"}.get(split, split)
        found.append((id_, label[0] if label else "", kept, place))
    return found


def _classes(entry: KineticsEntry, root: Path, there: set[str]) -> list[str]:
    """Names of the classes that are wanted."""
    if entry.classes is None:
        return sorted(there)
    wanted: Sequence[str] = (
        [line for _, line in read_lines(expand(entry.classes, "classes", root))]
        if isinstance(entry.classes, str)
        else entry.classes
    )
    for one in wanted:
        if there and one not in there:
            raise ManifestError(
                f"key 'classes': no clip is of {quoted(one)}: {nearest(one, sorted(there))}"
            )
    return list(dict.fromkeys(wanted))


def _names(folder: Path) -> dict[str, str]:
    """Clip to its file, relative to the folder, of those up to two folders deep."""
    found: dict[str, str] = {}
    for pattern in ("*", "*/*", "*/*/*"):
        for path in _videos(folder.glob(pattern)):
            relative = PurePosixPath(path.relative_to(folder).as_posix())
            found.setdefault(relative.stem, str(relative))
    return found


def _videos(paths: Iterable[Path]) -> Iterable[Path]:
    return sorted(path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES)

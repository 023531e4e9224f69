"""Clips in class folders: `<split>/<class>/<clip>`, or `<class>/<clip>` with split lists.

The target is `action` unless the entry says otherwise; one clip is one segment.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal
from unicodedata import category

from pydantic import AfterValidator, Field

from egofeat.adapters.entry import Entry
from egofeat.adapters.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES, confined, refuse_duplicates
from egofeat.adapters.published import with_published
from egofeat.adapters.reading.patterns import search_all
from egofeat.adapters.reading.split_lists import Listed, list_numbers, read_lists
from egofeat.adapters.resplit import Share, resplit
from egofeat.errors import ManifestError
from egofeat.segments import Dataset, Media, Segment
from egofeat.words import quoted


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError, MemoryError) as error:
        said = str(error) or "it is too large"
        raise ValueError(f"{quoted(pattern)} is no regular expression: {said}") from None
    return pattern


class FolderEntry(Entry):
    """Keys of an entry with `format: folder`."""

    format: Literal["folder"]
    annotations: str | None = None
    """Folder of the split lists that UCF-101 or HMDB-51 publish."""
    lists: int = Field(default=1, ge=1, le=99)
    """Which of the published splits counts, the number in the lists' file names; the others are
    kept beside it."""
    target: str = "action"
    group: Annotated[str, AfterValidator(_compiles)] | None = None
    """Regular expression searched in the clip's file name without its suffix."""
    resplit: dict[str, Share] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Clip:
    path: PurePosixPath
    split: str
    class_name: str
    place: str


def read(name: str, entry: FolderEntry, root: Path) -> Dataset:
    """Read the data set that a tree of class folders holds."""
    media = entry.locate_folder("media", root)
    remarks: list[str] = []
    chosen = "" if entry.annotations is None else str(entry.lists)
    if entry.annotations is None:
        clips = {chosen: _scan(media, remarks)}
        classes = sorted({clip.class_name for clip in clips[chosen]})
    else:
        clips, classes = _listed(entry.locate_folder("annotations", root), entry.lists)
    bare = Dataset(
        name=name,
        media={
            clip.path.as_posix(): Media(media / clip.path) for of in clips.values() for clip in of
        },
        segments=(),
        classes={entry.target: tuple(classes)},
        remarks=tuple(remarks),
    )
    splits = {number: _segments(of, entry, classes) for number, of in clips.items()}
    deal = functools.partial(resplit, shares=entry.resplit) if entry.resplit else tuple
    return with_published(splits, chosen, bare, deal)


def _segments(
    clips: Sequence[_Clip], entry: FolderEntry, classes: Sequence[str]
) -> tuple[Segment, ...]:
    ids = [clip.path.with_suffix("").as_posix() for clip in clips]
    refuse_duplicates(ids, [clip.place for clip in clips], "keep one of them")
    label = {class_name: index for index, class_name in enumerate(classes)}
    return tuple(
        Segment(
            id=id_,
            video=clip.path.as_posix(),
            split=clip.split,
            labels={entry.target: label[clip.class_name]},
            group=group,
        )
        for id_, clip, group in zip(ids, clips, _groups(entry.group, clips), strict=True)
    )


def _listed(folder: Path, chosen: int) -> tuple[dict[str, list[_Clip]], list[str]]:
    """Number of each published split to its clips; and the classes, by the chosen one."""
    clips = {}
    rows, classes = read_lists(folder, chosen)
    for number in sorted({chosen, *list_numbers(folder)}):
        of_number = rows if number == chosen else read_lists(folder, number)[0]
        clips[str(number)] = [_listed_clip(row) for row in of_number]
    return clips, classes


def _scan(media: Path, remarks: list[str]) -> list[_Clip]:
    """Clips two or three folders deep, in the order of their paths."""
    clips = [*_videos(media, "*/*", remarks), *_videos(media, "*/*/*", remarks)]
    deep = [clip for clip in clips if len(clip.parts) == 3]
    if not clips:
        _refuse_images(media)
        if remarks:
            raise ManifestError(f"'media' {media} holds no other videos: {remarks[0]}")
        raise ManifestError(
            f"'media' {media} holds no videos: expected <split>/<class>/<clip> or "
            f"<class>/<clip>, with a suffix such as {', '.join(sorted(VIDEO_SUFFIXES)[:8])}"
        )
    if deep and len(deep) != len(clips):
        odd = min(clips, key=lambda clip: len(clip.parts))
        raise ManifestError(
            f"'media' {media} mixes <class>/<clip> ({odd}) with <split>/<class>/<clip> "
            f"({deep[0]}): keep one of the two"
        )
    return [
        _Clip(clip, clip.parts[0] if deep else "train", clip.parent.name, str(media / clip))
        for clip in sorted(clips)
    ]


def _refuse_images(media: Path) -> None:
    """Raise `ManifestError` where clips are folders of images, which a `csv` data set reads."""
    for depth in ("*/*/*", "*/*/*/*"):
        if any(path.suffix.lower() in IMAGE_SUFFIXES for path in islice(media.glob(depth), 1000)):
            raise ManifestError(
                f"'media' {media} holds folders of images and no videos: list them in a CSV file, "
                "and write `format: csv` with `fps:`"
            )


def _videos(media: Path, pattern: str, remarks: list[str]) -> list[PurePosixPath]:
    """Videos, relative to `media`; what is hidden is left out, links are followed.

    One whose name cannot be written down is left out too, and told.
    """
    found = (
        PurePosixPath(path.relative_to(media).as_posix())
        for path in media.glob(pattern)
        if path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir()
    )
    clips = [clip for clip in found if not any(part.startswith(".") for part in clip.parts)]
    strange = {
        clip for clip in clips if any(category(letter) in {"Cc", "Cs"} for letter in str(clip))
    }
    remarks += [
        f"the clip {quoted(str(clip))} has control characters, or is not UTF-8, and is left out: "
        "rename it"
        for clip in sorted(strange)
    ]
    return [clip for clip in clips if clip not in strange]


def _listed_clip(row: Listed) -> _Clip:
    try:
        path = PurePosixPath(confined(row.clip))
    except ManifestError as error:
        raise ManifestError(f"{row.place}: {error}") from None
    if len(path.parts) < 2:
        raise ManifestError(f"{row.place}: {quoted(row.clip)} names no clip: write <class>/<clip>")
    return _Clip(path, row.split, row.class_name, row.place)


def _groups(pattern: str | None, clips: Sequence[_Clip]) -> list[str]:
    """First group of the pattern in each clip's name, or the whole match."""
    if pattern is None:
        return [""] * len(clips)
    found = search_all(pattern, [clip.path.stem for clip in clips])
    for clip, group in zip(clips, found, strict=True):
        if not group:
            raise ManifestError(
                f"key 'group' {quoted(pattern)} finds nothing in the clip name "
                f"{quoted(clip.path.stem)} ({clip.place}): widen the expression"
            )
    return [group or "" for group in found]

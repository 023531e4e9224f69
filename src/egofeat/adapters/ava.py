"""AVA v2.1 and v2.2 (Gu et al., CVPR 2018) and AVA-Kinetics (Li et al., 2020): persons and actions.

The target is `action`; a class index is AVA's id less 1. Each different video and time stamp is a
key frame. The group is the video.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from egofeat.adapters.ava_media import AvaMedia
from egofeat.adapters.ava_table import AvaTable, Moment
from egofeat.adapters.entry import Entry, FirstFrame, Rate, expand, takes
from egofeat.adapters.reading.box_table import MARGIN, parse_stamp, read_rows
from egofeat.adapters.reading.label_map import class_names, evaluated_ids, read_label_map
from egofeat.adapters.reading.times import MOST_SECONDS
from egofeat.boxes import Boxes
from egofeat.errors import ManifestError
from egofeat.segments import Dataset, Segment
from egofeat.words import nearest, quoted

Files = Annotated[str | list[str], takes("the name of a CSV file or a list of them")]


class AvaEntry(Entry):
    """Keys of an entry with `format: ava`."""

    format: Literal["ava"]
    annotations: dict[str, Files] = Field(
        min_length=1, description="a mapping of splits to their CSV files"
    )
    label_map: str = Field(description="the .pbtxt that names the actions")
    evaluated: str | None = None
    """A second .pbtxt, whose ids are the actions that count in evaluation."""
    excluded: dict[str, Files] = Field(default_factory=dict)
    """Split to the CSV of its excluded time stamps."""
    begin: float = Field(default=0, ge=0, le=MOST_SECONDS)
    """Second of the original video at which the media begin."""
    fps: Rate | None = None
    """Frames per second, where the videos are folders of numbered images."""
    first_frame: FirstFrame | None = None
    """Number of the image shown at second `begin`; else 1, or 0 where there is an image 0."""


def read(name: str, entry: AvaEntry, root: Path) -> Dataset:
    """Read the key frames of each split, with their annotated persons."""
    media = AvaMedia(entry.locate_folder("media", root), entry.fps, entry.begin, entry.first_frame)
    actions = read_label_map(expand(entry.label_map, "label_map", root))
    for split in entry.excluded:
        if split not in entry.annotations:
            raise ManifestError(
                f"key 'excluded.{split}': 'annotations' has no such split: "
                f"{nearest(split, list(entry.annotations))}"
            )
    splits: dict[str, AvaTable] = {}
    segments: list[Segment] = []
    boxes: dict[str, Boxes] = {}
    remarks: list[str] = []
    for split, files in entry.annotations.items():
        excluded = _excluded(entry.excluded.get(split, []), f"excluded.{split}", root)
        paths = _paths(files, f"annotations.{split}", root)
        splits[split] = AvaTable.read(paths, excluded, max(actions))
        if not splits[split].key_frames:
            raise ManifestError(
                f"key 'annotations.{split}': there is no key frame to use in "
                f"{', '.join(map(str, paths))}: correct the file, or remove the split"
            )
        _refuse_shared(splits)
        segments += _segments(splits[split], split, media)
        found, cut = splits[split].persons()
        boxes |= found
        remarks += _remarks(split, splits[split], cut)
    return Dataset(
        name=name,
        media=media.media,
        segments=tuple(segments),
        classes={"action": class_names(actions)},
        key_frames=True,
        boxes=boxes,
        evaluated=_evaluated(entry, actions, root),
        remarks=tuple(remarks),
    )


def _paths(files: str | list[str], key: str, root: Path) -> list[Path]:
    return [expand(f, key, root) for f in ([files] if isinstance(files, str) else files)]


def _excluded(files: str | list[str], key: str, root: Path) -> set[Moment]:
    """Moments of files of `video, time stamp`."""
    moments = set()
    for path in _paths(files, key, root):
        for line, cells in read_rows(path):
            if len(cells) != 2:
                raise ManifestError(
                    f"{path} line {line} has {len(cells)} cells: write the video and time stamp"
                )
            moments.add((cells[0], parse_stamp(cells[1], f"{path} line {line}")))
    return moments


def _evaluated(entry: AvaEntry, actions: Mapping[int, str], root: Path) -> frozenset[int]:
    """Class indices that count."""
    ids = evaluated_ids(actions)
    if entry.evaluated is not None:
        path = expand(entry.evaluated, "evaluated", root)
        ids = frozenset(read_label_map(path))
        if strange := sorted(ids - set(actions)):
            raise ManifestError(
                f"{path} has the action {strange[0]}, which is not in {entry.label_map}: "
                "name label maps of the same data"
            )
    return frozenset(id_ - 1 for id_ in ids)


def _refuse_shared(splits: Mapping[str, AvaTable]) -> None:
    """Raise `ManifestError` where the last split has a key frame of another."""
    *others, last = splits
    for other in others:
        shared = splits[last].key_frames.keys() & splits[other].key_frames.keys()
        if shared:
            one, again = (splits[name].key_frames[min(shared)] for name in (other, last))
            raise ManifestError(
                f"the key frame {quoted(one.id)} of split {quoted(other)} ({one.place}) is also in "
                f"split {quoted(last)} ({again.place}): remove it from one"
            )


def _segments(split: AvaTable, name: str, media: AvaMedia) -> Iterator[Segment]:
    """Yield the key frames, by video and time."""
    for (video, second), key_frame in sorted(split.key_frames.items()):
        key, begin = media.place(video, second)
        if second < begin:
            raise ManifestError(
                f"{key_frame.place}: the key frame is at second {second:g} of a video that begins "
                f"at {begin:g}: correct the key 'begin' or the row"
            )
        start = second - begin
        yield Segment(key_frame.id, key, start, start + 1, name, group=video)


def _remarks(name: str, split: AvaTable, cut: int) -> Iterator[str]:
    """Yield what of a split a person should know."""
    of = f"split {quoted(name)}"
    if split.left_out:
        yield f"{of}: key frames at excluded time stamps: {len(split.left_out)}, left out"
    if unseen := len(split.key_frames) - len(split.looked_at):
        yield f"{of}: key frames of files without any box: {unseen}, taken as unlabelled"
    if cut:
        yield (f"{of}: boxes that reach out of the frame by at most {MARGIN}: {cut}, cut to it")

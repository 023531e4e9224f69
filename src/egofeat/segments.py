"""The unit of work: a labelled stretch of a video, and the data set that it belongs to.

Pure values: nothing here opens a file. Time is in seconds from the first displayed
frame of the video, intervals are half-open `[start, stop)`.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from egofeat.boxes import Boxes
from egofeat.errors import RequestError
from egofeat.gaze import Gaze


@dataclass(frozen=True, slots=True)
class Media:
    """Where the frames of one video lie.

    A file with a video suffix is decoded; a folder, `.tar` or `.zip` holds numbered images.
    The path need not exist: what is missing becomes a recorded failure when it is opened.
    """

    path: Path
    fps: float | None = None
    """Frames per second of a frame folder or tar; a video file carries its own times."""
    first_frame: int | Literal["lowest"] | None = None
    """Number, in the image's name, of the frame shown at 0 s (images only); that of the first that
    is there (`lowest`); or 1, but 0 where there is an image of that number (None)."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One labelled stretch of a video."""

    id: str
    """Unique in its data set."""
    video: str
    """Key into `Dataset.media`."""
    start: float = 0.0
    """Seconds, inclusive."""
    stop: float = math.inf
    """Seconds, exclusive; infinity means the end of the video."""
    split: str = ""
    labels: Mapping[str, int] = field(default_factory=dict)
    """Target name to class index; a target that is not annotated is absent."""
    group: str = ""
    """What must not stand on both sides of a fair split: participant, session."""
    source_frames: tuple[int, int] | None = None
    """Frame numbers `[first, last)` as the annotation gives them, where it does."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Every segment of a data set, with what its labels mean."""

    name: str
    media: Mapping[str, Media]
    """Video key to where its frames lie."""
    segments: tuple[Segment, ...]
    classes: Mapping[str, tuple[str, ...]]
    """Target to class names; the index of a name is its label."""
    tail: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """Target to the labels that count as tail classes."""
    unseen: frozenset[str] = frozenset()
    """Groups that appear in no training split by design."""
    gaze: Mapping[str, Gaze] = field(default_factory=dict)
    """Video key to where its wearer looks, of the videos for which it is known; may be read when
    it is asked for, and raise `ManifestError` then."""
    key_frames: bool = False
    """Whether each segment is a key frame, `egofeat.boxes`: its moment is its start."""
    boxes: Mapping[str, Boxes] = field(default_factory=dict)
    """Id of a key frame to its annotated persons, with their actions; one that was looked at and
    has nobody in it has no boxes, one that was not is absent."""
    evaluated: frozenset[int] = frozenset()
    """Of key frames, the action classes that count in evaluation; none named: all."""
    published: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Name of each published split, where there are several, to the split of each segment by it
    (empty: it leaves the segment out); the segments' own are those of the one that is chosen."""
    remarks: tuple[str, ...] = ()
    """What a person should know of the data before it is used, a sentence each."""
    benchmark: tuple[str, ...] = ()
    """Targets that its published benchmark judges, where it has labels of others beside them."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, in the order of their first segment; "" where one has none."""
        return tuple(dict.fromkeys(segment.split for segment in self.segments))

    def of_splits(self, splits: Collection[str]) -> tuple[Segment, ...]:
        """Segments of these splits; of all where none is named.

        Raises:
            RequestError: there is no such split.
        """
        for split in splits:
            if split not in self.splits:
                raise RequestError(
                    f"the data set '{self.name}' has no split '{split}': choose from "
                    f"{', '.join(filter(None, self.splits)) or 'none, it has no splits'}"
                )
        return tuple(s for s in self.segments if not splits or s.split in splits)

    def whole_videos(self) -> "Dataset":
        """The same videos, each one segment without labels, for features that do not end with it.

        Gaze and boxes, which are for heads of segments, are left out too.
        A video keeps its split and its group where all its segments agree.
        """
        of_video: dict[str, list[Segment]] = {}
        for segment in self.segments:
            of_video.setdefault(segment.video, []).append(segment)
        videos = tuple(
            Segment(
                id=video,
                video=video,
                split=_agreed(segment.split for segment in members),
                group=_agreed(segment.group for segment in members),
            )
            for video, members in of_video.items()
        )
        bare: dict[str, Any] = {
            name: {} for name in ("classes", "tail", "gaze", "boxes", "published")
        }
        bare |= {"evaluated": frozenset(), "benchmark": ()}
        return replace(self, segments=videos, key_frames=False, **bare)


def _agreed(values: Iterable[str]) -> str:
    different = set(values)
    return different.pop() if len(different) == 1 else ""

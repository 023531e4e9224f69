"""The unit of work: a labelled stretch of a video, and the data set that it belongs to.

Pure values: nothing here opens a file. Time is in seconds from the first displayed
frame of the video, intervals are half-open `[start, stop)`.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from egofeat.boxes import Boxes
from egofeat.errors import RequestError
from egofeat.gaze import Gaze
from egofeat.names import check_name


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


Texts = NDArray[np.object_]
"""`[rows]` strings, which rows that say the same share."""


def texts(values: Iterable[str]) -> Texts:
    """Make a column of strings."""
    return np.array(list(values), np.object_)


@dataclass(frozen=True, eq=False, repr=False)
class Segments(Sequence[Segment]):
    """Segments as columns, each made when it is asked for: a million take little room or time."""

    ids: Texts
    videos: Texts
    starts: NDArray[np.float64]
    stops: NDArray[np.float64]
    splits: Texts
    groups: Texts
    labels: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    """Target to [rows] class index, -1 where there is none."""
    source_frames: NDArray[np.int64] | None = None
    """[rows, 2] as `Segment` has them, -1 where there are none."""

    @classmethod
    def of(cls, segments: "Iterable[Segment]") -> "Segments":
        """Columns of segments, in their order; of what has columns, these."""
        if isinstance(segments, Segments):
            return segments
        if isinstance(segments, Picked):
            return segments.columns
        rows = list(segments)
        targets = dict.fromkeys(target for one in rows for target in one.labels)
        frames = [one.source_frames or (-1, -1) for one in rows]
        return cls(
            ids=texts(one.id for one in rows),
            videos=texts(one.video for one in rows),
            starts=np.array([one.start for one in rows], np.float64),
            stops=np.array([one.stop for one in rows], np.float64),
            splits=texts(one.split for one in rows),
            groups=texts(one.group for one in rows),
            labels={
                t: np.array([one.labels.get(t, -1) for one in rows], np.int64) for t in targets
            },
            source_frames=np.array(frames, np.int64) if any(f[0] >= 0 for f in frames) else None,
        )

    @classmethod
    def join(cls, parts: "Iterable[Sequence[Segment]]") -> "Segments":
        """One after the other."""
        of = [Segments.of(part) for part in parts]
        if len(of) < 2:
            return of[0] if of else cls.of(())
        targets = dict.fromkeys(target for part in of for target in part.labels)
        frames = any(part.source_frames is not None for part in of)
        names = ("ids", "videos", "starts", "stops", "splits", "groups")
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in of]) for name in names
        }
        return cls(
            **columns,
            labels={t: np.concatenate([part.labels_of(t) for part in of]) for t in targets},
            source_frames=np.concatenate([part._frames() for part in of]) if frames else None,
        )

    def labels_of(self, target: str) -> NDArray[np.int64]:
        """`[rows]` class index, -1 where there is none, of any target."""
        found = self.labels.get(target)
        return np.full(len(self), -1, np.int64) if found is None else found

    def take(self, rows: "NDArray[Any] | slice") -> "Segments":
        """Pick rows, by number, by a mask `[rows]` or a stretch of them, which copies nothing."""
        frames = self.source_frames
        return Segments(
            self.ids[rows],
            self.videos[rows],
            self.starts[rows],
            self.stops[rows],
            self.splits[rows],
            self.groups[rows],
            {target: of[rows] for target, of in self.labels.items()},
            None if frames is None else frames[rows],
        )

    def where(self, chosen: Iterable[bool]) -> "Segments":
        """Pick those of which it says so."""
        return self.take(np.fromiter(chosen, np.bool_, len(self)))

    @property
    def keys(self) -> Iterator[tuple[str, float, float]]:
        """Id, start and stop of each, which are the identity of a segment across runs."""
        return zip(self.ids.tolist(), self.starts.tolist(), self.stops.tolist(), strict=True)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Segment]:
        @cache
        def labels(*indices: int) -> dict[str, int]:
            pairs = zip(self.labels, indices, strict=True)
            return {target: index for target, index in pairs if index >= 0}

        of_targets = [of.tolist() for of in self.labels.values()]
        pairs = map(tuple, self._frames().tolist())
        columns = (self.videos, self.starts, self.stops, self.splits)
        for id_, video, start, stop, split, *indices, group, frames in zip(
            self.ids.tolist(),
            *(column.tolist() for column in columns),
            *of_targets,
            self.groups.tolist(),
            pairs,
            strict=True,
        ):
            known = frames if frames[0] >= 0 else None
            yield Segment(id_, video, start, stop, split, labels(*indices), group, known)

    @overload
    def __getitem__(self, place: int) -> Segment: ...
    @overload
    def __getitem__(self, place: slice) -> "Segments": ...
    def __getitem__(self, place: int | slice) -> "Segment | Segments":
        if isinstance(place, slice):
            return self.take(place)
        row = range(len(self))[place]
        return next(iter(self.take(slice(row, row + 1))))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Segments | Picked | tuple | list):
            return NotImplemented
        return len(self) == len(other) and all(
            one == another for one, another in zip(self, other, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} segments>"

    def _frames(self) -> NDArray[np.int64]:
        found = self.source_frames
        return np.full((len(self), 2), -1, np.int64) if found is None else found


class Picked(Sequence[Segment]):
    """Some of many segments: the numbers of their rows, and columns whenever they are asked for.

    All segments of a million in another order are then eight bytes each.
    """

    def __init__(self, of: Segments, rows: NDArray[np.int64]) -> None:
        self._of = of
        self._rows = rows

    @property
    def columns(self) -> Segments:
        """Their columns, gathered anew."""
        return self._of.take(self._rows)

    def column(self, name: str) -> NDArray[Any]:
        """One of them."""
        found: NDArray[Any] = getattr(self._of, name)[self._rows]
        return found

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Segment]:
        return iter(self.columns)

    @overload
    def __getitem__(self, place: int) -> Segment: ...
    @overload
    def __getitem__(self, place: slice) -> "Picked": ...
    def __getitem__(self, place: int | slice) -> "Segment | Picked":
        if isinstance(place, slice):
            return Picked(self._of, self._rows[place])
        return self._of[int(self._rows[place])]

    def __eq__(self, other: object) -> bool:
        return self.columns == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self.columns)

    def __reduce__(self) -> tuple[Any, ...]:
        return Segments.of, (self.columns,)  # another process is sent these alone


def column_of(segments: Iterable[Segment], name: str) -> NDArray[Any]:
    """One column of segments, in their order: the field of `Segments` of that name."""
    if isinstance(segments, Picked):
        return segments.column(name)
    found: NDArray[Any] = getattr(Segments.of(segments), name)
    return found


class KeySet(Collection[tuple[str, float, float]]):
    """Keys of segments, which are made once they are asked for: seldom, and of a million large."""

    def __init__(self, segments: Iterable[Segment]) -> None:
        self._segments = Segments.of(segments)

    @cached_property
    def _keys(self) -> frozenset[tuple[str, float, float]]:
        return frozenset(self._segments.keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[tuple[str, float, float]]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Every segment of a data set, with what its labels mean."""

    name: str
    media: Mapping[str, Media]
    """Video key to where its frames lie."""
    segments: Sequence[Segment]
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

    def __post_init__(self) -> None:
        """Refuse a target with which its store could not be read, or which no option could name.

        Raises:
            RequestError: there is one.
        """
        for target in self.classes:
            check_name(target, "target")
            if "," in target or target != target.strip():
                raise RequestError(
                    f"the target {target!r} has a comma, or begins or ends with a blank, and "
                    "`targets` could not name it: choose another name"
                )

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, in the order of their first segment; "" where one has none."""
        return tuple(dict.fromkeys(Segments.of(self.segments).splits.tolist()))

    def of_splits(self, splits: Collection[str]) -> Segments:
        """Segments of these splits; of all where none is named.

        Raises:
            RequestError: there is no such split.
        """
        there = self.splits
        for split in splits:
            if split not in there:
                raise RequestError(
                    f"the data set '{self.name}' has no split '{split}': choose from "
                    f"{', '.join(filter(None, there)) or 'none, it has no splits'}"
                )
        segments = Segments.of(self.segments)
        if not splits:
            return segments
        return segments.where(split in splits for split in segments.splits.tolist())

    def whole_videos(self) -> "Dataset":
        """The same videos, each one segment without labels, for features that do not end with it.

        Gaze and boxes, which are for heads of segments, are left out too.
        A video keeps its split and its group where all its segments agree.
        """
        segments = Segments.of(self.segments)
        names = segments.videos.tolist()
        videos = texts(dict.fromkeys(names))
        whole = Segments(
            ids=videos,
            videos=videos,
            starts=np.zeros(len(videos)),
            stops=np.full(len(videos), math.inf),
            splits=_agreed(names, segments.splits.tolist()),
            groups=_agreed(names, segments.groups.tolist()),
        )
        bare: dict[str, Any] = {
            name: {} for name in ("classes", "tail", "gaze", "boxes", "published")
        }
        bare |= {"evaluated": frozenset(), "benchmark": ()}
        return replace(self, segments=whole, key_frames=False, **bare)


def _agreed(videos: Sequence[str], values: Sequence[str]) -> Texts:
    """What all rows of each video say, videos in the order of their first row; else empty."""
    found: dict[str, str] = {}
    for video, value in dict.fromkeys(zip(videos, values, strict=True)):
        found[video] = "" if video in found else value
    return texts(found.values())

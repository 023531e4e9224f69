"""Reading features from a store, memory-mapped where the shards allow."""

import difflib
import functools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import RequestError, StoreError
from egofeat.store.description import Description
from egofeat.store.formats.registry import FORMATS, open_shards
from egofeat.store.formats.shard import read_column
from egofeat.store.reading.flat import FlatRows
from egofeat.store.reading.gathering import numbered, receiving
from egofeat.store.reading.mapping import MappedRows
from egofeat.store.reading.selection import select
from egofeat.store.reading.tap_rows import open_rows
from egofeat.store.reading.unmapped import LibraryRows
from egofeat.store.recipe import Recipe
from egofeat.store.sidecar.annotations import Annotations
from egofeat.store.sidecar.gaze import GazeTable, StepGaze


class FeatureStore:
    """Features of one tap of a store: one row a segment, in the order of the shards' names.

    In a flat store a segment is a whole video and has a row a window, or a key frame and has a
    row a person (`egofeat.store.open_persons` gathers those): read it by its id.
    """

    def __init__(self, path: Path, description: Description, tap: str) -> None:
        self.path = path
        self.recipe: Recipe = description.recipe
        self.dataset: str = description.dataset
        self.tap = tap
        self.row_shape: tuple[int, ...] = tuple(self.recipe.taps[tap])
        """Shape of one row, (V, C), (V, C, h, w) or (V, t, C, h, w); flat, without V."""
        self.dtype: np.dtype[Any] = np.dtype(self.recipe.dtype)
        self._form = FORMATS[description.format]
        self._shards = open_shards(path, description)
        annotations = Annotations.read(path)
        self._selection = select(self._shards, annotations)
        self._rows = open_rows(self._form, self._shards, self._selection, self.recipe, tap)
        self.lengths: NDArray[np.int64] = (
            self._rows.lengths
            if isinstance(self._rows, FlatRows)
            else np.ones(len(self._selection.row_of), np.int64)
        )
        """[segments] rows of each segment: 1, but in a flat store its windows or persons."""
        self._set_columns()
        self._set_annotations(annotations)

    def _set_columns(self) -> None:
        shards, column = self._shards, self._selection.column
        text, seconds = np.dtype(np.str_), np.dtype(np.float64)
        self.videos: NDArray[np.str_] = column([shard.videos for shard in shards], text)
        """[rows] key of each segment's video."""
        self.starts: NDArray[np.float64] = column([shard.starts for shard in shards], seconds)
        """[rows] seconds, inclusive, as requested."""
        self.stops: NDArray[np.float64] = column([shard.stops for shard in shards], seconds)
        """[rows] seconds, exclusive, as requested; infinity means the end of the video."""
        clipped = column([shard.clipped for shard in shards], np.dtype(np.bool_))
        self.clipped: NDArray[np.bool_] = clipped
        """[rows] whether the video ended before the stop that was requested."""
        stamps = [of for shard in shards if (of := shard.media_stamps) is not None]
        self.media_stamps: NDArray[np.int64] | None = (
            column(stamps, np.dtype(np.int64)) if shards and len(stamps) == len(shards) else None
        )
        """[rows, 4] of each segment's media, as `ShardRows` has them; None where a shard does not
        say."""
        every = [list(shard.ids) for shard in shards]
        addresses = zip(
            self._selection.shard_of.tolist(), self._selection.row_of.tolist(), strict=True
        )
        self.ids: list[str] = [every[shard][row] for shard, row in addresses]
        """[rows] id of each segment."""
        self._numbers = {id_: number for number, id_ in enumerate(self.ids)}

    def _set_annotations(self, annotations: Annotations | None) -> None:
        self.classes: Mapping[str, tuple[str, ...]] = annotations.classes if annotations else {}
        """Target to class names; the index of a name is its label."""
        self.tail: Mapping[str, frozenset[int]] = annotations.tail if annotations else {}
        """Target to the labels that count as tail classes."""
        self.unseen: frozenset[str] = annotations.unseen if annotations else frozenset()
        """Groups that appear in no training split by design."""
        self.benchmark: tuple[str, ...] = annotations.benchmark if annotations else ()
        """Targets that the data set's published benchmark judges, where it has others too."""
        self.labels: dict[str, NDArray[np.int64]] = {}
        """Target to [rows] class index, -1 where there is none."""
        self.splits: NDArray[np.str_] = np.full(len(self), "")
        """[rows] split of each segment."""
        self.groups: NDArray[np.str_] = np.full(len(self), "")
        """[rows] what must not stand on both sides of a fair split."""
        self.published: dict[str, NDArray[np.str_]] = {}
        """Name of each published split, where there are several, to [rows] split by it."""
        if annotations:
            places = self._selection.segment_of
            self.splits = np.array(annotations.splits, dtype=np.str_)[places]
            self.groups = np.array(annotations.groups, dtype=np.str_)[places]
            for name, splits in annotations.published.items():
                self.published[name] = np.array(splits, dtype=np.str_)[places]
            for target, labels in annotations.labels.items():
                filled = [-1 if label is None else label for label in labels]
                self.labels[target] = np.array(filled, dtype=np.int64)[places]

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, id_: object) -> bool:
        return id_ in self._numbers

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as a path, to be mapped anew there."""
        return _reopen, (self.path, self.tap)

    def __repr__(self) -> str:
        segments = "key frames" if self.recipe.of_persons else "segments"
        count = f"{len(self)} {segments}, {self.lengths.sum()}" if self.flat else str(len(self))
        return f"FeatureStore({str(self.path)!r}, {self.tap}: {count} × {self.row_shape})"

    def __getitem__(self, id_: str) -> NDArray[Any]:
        """Features of the segment `id_`, read-only; a view where the store is mapped.

        The shape is `row_shape`; in a flat store [n, *row_shape], a row a window or a person.

        Raises:
            StoreError: there is no such segment.
        """
        return self._rows.row(self._number(id_))

    def _number(self, id_: str) -> int:
        number = self._numbers.get(id_)
        if number is None:
            near = difflib.get_close_matches(id_, self.ids, n=1)
            hint = f", the nearest is {near[0]!r}" if near else ""
            raise StoreError(f"{self.path} has {len(self)} segments and none is {id_!r}{hint}")
        return number

    def spans(self, id_: str) -> NDArray[np.float64]:
        """Start, centre and end of the window of each of a segment's rows, [n, 3] seconds.

        Raises:
            StoreError: there is no such segment.
            RequestError: the store is not flat.
        """
        if not isinstance(self._rows, FlatRows):
            raise RequestError(
                f"{self.path} holds segments, not windows over whole videos: read their times "
                "from `times`, or extract with --windows"
            )
        return self.times[self._rows.stretch(self._number(id_))]

    def take(self, rows: NDArray[np.int64], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Gather rows, in the order given, repeats allowed.

        Args:
            rows: [n] row numbers, not negative; or a mask [len(store)].
            out: C-contiguous [n, *row_shape] to fill; float32 widens what is stored.
                A buffer that is used again saves most of the time of a batch.

        Returns:
            `out`, or a new array [n, *row_shape] in the stored dtype.

        Raises:
            IndexError: a row number is not in the store.
            ValueError: `out` has another shape.
            RequestError: the store is flat, its segments are not of one shape.
        """
        gathering = self._gathering()
        rows = numbered(rows, len(self))
        out = receiving(out, (len(rows), *self.row_shape), self.dtype)
        if len(rows):
            gathering.take(rows, out)
        return out

    def _gathering(self) -> MappedRows | LibraryRows:
        if isinstance(self._rows, FlatRows) and self.recipe.of_persons:
            raise RequestError(
                f"{self.path} holds persons of key frames, as many as each has boxes: read it with "
                "`egofeat.store.open_persons`, or train the head `roi` on it"
            )
        if isinstance(self._rows, FlatRows):
            raise RequestError(
                f"{self.path} holds windows over whole videos, as many as each is long, and heads "
                "of segments need a store of segment clips: extract one without --windows"
            )
        return self._rows

    def single_rows(self) -> MappedRows | LibraryRows:
        """Rows of a flat store by a number each, segment after segment, as `times` has them.

        Raises:
            RequestError: the store is not flat.
        """
        if not isinstance(self._rows, FlatRows):
            raise RequestError(f"{self.path} holds one row a segment: gather them with `take`")
        return self._rows.single

    def gaze_points(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Where the wearer looked at each step of rows, in what the network saw of it.

        A step is a view, or for maps of clips a step of a view, T = V · t. Of its stretch of
        time, the fixation that is nearest to the middle counts.

        Args:
            rows: [n] row numbers, not negative; or a mask [len(store)].

        Returns:
            [n, T, 3]: x and y, fractions of the network's input from its top left corner, and 1;
            or three zeros where there is no fixation or the crop leaves it out.

        Raises:
            IndexError: a row number is not in the store.
            RequestError: the store is flat, or has no gaze.
            StoreError: the store's gaze is damaged.
        """
        self._gathering()
        rows = numbered(rows, len(self))
        if self._gaze is None:
            raise RequestError(
                f"{self.path} has no gaze: name its folder as `gaze:` in the manifest and run "
                "`egofeat extract` again (features are kept)"
            )
        return self._gaze.points(self.videos[rows], self.starts[rows], self.times[rows])

    @property
    def has_gaze(self) -> bool:
        """Whether `gaze_points` has gaze to give, of some of the videos at least."""
        return not self.flat and self._gaze is not None

    @functools.cached_property
    def _gaze(self) -> StepGaze | None:
        table = GazeTable.read(self.path)
        return StepGaze(table, self.recipe, self.row_shape) if table else None

    def advise_random(self, rows: NDArray[np.int64]) -> None:
        """Have rows read ahead of their `take`: for stores larger than the memory."""
        self._gathering().advise(np.asarray(rows, dtype=np.int64))

    def rows(self, split: str | None = None) -> NDArray[np.int64]:
        """Row numbers of a split, or of all."""
        if split is None:
            return np.arange(len(self), dtype=np.int64)
        return np.flatnonzero(self.splits == split).astype(np.int64)

    @property
    def flat(self) -> bool:
        """Whether a segment has a row a window, or a row a person."""
        return self.recipe.flat

    @property
    def mapped(self) -> bool:
        """Whether rows are read from mapped files; else through the library, slower."""
        return self._rows.mapped

    @property
    def digest(self) -> str:
        """Digest of the recipe."""
        return self.recipe.digest

    @property
    def nbytes(self) -> int:
        """Bytes of this tap's features, uncompressed."""
        return int(self.lengths.sum()) * math.prod(self.row_shape) * self.dtype.itemsize

    @functools.cached_property
    def times(self) -> NDArray[np.float64]:
        """Times of the views of each row, [rows, V] seconds; of a flat store's rows, [rows, 3].

        A view's time is that of its frame or of its clip's centre. A window's times are its start,
        centre and end, a person's those of the clip with the key frame in its middle; the rows are
        those of segment after segment.
        """
        times = self._beside("times", np.dtype(np.float64))
        return times.reshape(-1, 3) if self.flat else times

    @functools.cached_property
    def boxes(self) -> NDArray[np.float32]:
        """Box of each person, [rows, 4] as `egofeat.boxes`, key frame after key frame.

        Raises:
            RequestError: the store's rows are not persons.
        """
        return self._of_persons("boxes").reshape(-1, 4)

    @functools.cached_property
    def scores(self) -> NDArray[np.float32]:
        """How sure the detector was of each person, [rows], key frame after key frame.

        Raises:
            RequestError: the store's rows are not persons.
        """
        return self._of_persons("scores")

    def _of_persons(self, column: str) -> NDArray[np.float32]:
        if not self.recipe.of_persons:
            raise RequestError(
                f"{self.path} holds no persons of key frames: make a store of them with "
                "`egofeat roi`"
            )
        return self._beside(column, np.dtype(np.float32))

    def _beside(self, column: str, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Read a column that has a part a row."""
        addresses = self._rows.addresses if isinstance(self._rows, FlatRows) else self._selection
        parts = [read_column(self._form, shard, column) for shard in self._shards]
        return addresses.column(parts, dtype)


def _reopen(path: Path, tap: str) -> FeatureStore:
    return FeatureStore(path, Description.read(path), tap)

"""One tap of a store, opened: its table of segments, and their features mapped from the shards.

A store holds segments of a row each, windows over whole videos, or persons of key frames: a class
each, with what can be read from it.
"""

import difflib
import functools
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import RequestError, StoreError
from egofeat.store.description import Description
from egofeat.store.formats.person_columns import check_columns
from egofeat.store.formats.shard import offsets_of
from egofeat.store.reading.features import Features, numbered
from egofeat.store.reading.places import Places
from egofeat.store.reading.tap import open_tap
from egofeat.store.sidecar.gaze import GazeTable, StepGaze
from egofeat.store.sidecar.segments import read_segments
from egofeat.store.table import Table, Tabled
from egofeat.words import counted

if TYPE_CHECKING:
    from egofeat.store.reading.loading import LabelledFeatures

Kind = TypeVar("Kind", bound="FeatureStore")
_NEAR = 500
"""Ids among which the nearest to one that is not there is looked for."""


class OtherKindError(RequestError, AttributeError):
    """Something was asked of a store that a store of another kind has."""


class FeatureStore(Tabled):
    """Features of one tap of a store, by segment, in the order of the shards' names."""

    flat: ClassVar[bool]
    """Whether a segment has a number of rows of its own."""
    holds: ClassVar[str]
    """What stands in such a store, for sentences."""
    wanted: ClassVar[str]
    """End of a sentence that begins with what another kind holds: how to have a store of this."""
    instead: ClassVar[str] = ""
    """The same of this kind where another is wanted, if there is something better to do."""

    def __init__(self, path: Path, description: Description, tap: str) -> None:
        self.path = path
        self.recipe = description.recipe
        self.tap = tap
        self.row_shape: tuple[int, ...] = tuple(self.recipe.taps[tap])
        """Shape of one row, (V, C), (V, C, h, w) or (V, t, C, h, w); flat, without V."""
        self.dtype: np.dtype[Any] = np.dtype(self.recipe.dtype)
        self._places = Places(path, description)
        self._index = self._places.index
        self._places.refuse(
            lambda shards: shards["flat"] != self.flat, lambda s: offsets_of(s, flat=self.flat)
        )
        self.lengths: NDArray[np.int64] = self._places.addresses.lengths
        """[segments] rows of each segment: its windows or persons, else 1."""
        self.features = open_tap(self._places, self.recipe, tap)
        """All rows by a number each, segment after segment."""
        self.table = self._index.table

    @functools.cached_property
    def clipped(self) -> NDArray[np.bool_]:
        """Whether the video of each segment ended before the stop that was requested."""
        return self._index.column("clipped")

    @functools.cached_property
    def media_stamps(self) -> NDArray[np.int64] | None:
        """[segments, 4] of each one's media, see `ShardRows`; None where a shard does not say."""
        known = self._index.shards.by_shard["stamps"]
        return self._index.column("stamp") if len(known) and known.all() else None

    def rows(self, split: str | None = None) -> NDArray[np.int64]:
        """Row numbers of a split, or of all.

        Raises:
            RequestError: the store has no such split.
        """
        return self.table.present(split, self.path)

    def __contains__(self, id_: object) -> bool:
        return isinstance(id_, str) and self._number(id_) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids.tolist())

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as a path, to be mapped anew there."""
        return _reopen, (type(self), self.path, self.tap, self._order)

    @functools.cached_property
    def _order(self) -> int:
        """What tells these rows from others, or from the same ones in another order."""
        return zlib.crc32("\0".join(self).encode())

    def __repr__(self) -> str:
        segments = counted(len(self), "segments")
        rows = f"{segments}, {self.lengths.sum()}" if self.flat else segments
        shape = f"{rows} × {self.row_shape} {self.dtype}"
        return f"{type(self).__name__}({str(self.path)!r}, {self.tap}: {shape})"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:  # asked for what the class does not have
            for kind in (SegmentStore, WindowStore, PersonStore):
                if not name.startswith("_") and hasattr(kind, name):
                    raise OtherKindError(self._refusal(kind))
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def of_kind(self, kind: type[Kind]) -> Kind:
        """The store itself, if it is of a kind.

        Raises:
            RequestError: it is of another.
        """
        if not isinstance(self, kind):
            raise RequestError(self._refusal(kind))
        return self

    def _refusal(self, kind: "type[FeatureStore]") -> str:
        return f"{self.path} holds {self.holds}{self.instead or kind.wanted}"

    def __getitem__(self, id_: str) -> NDArray[Any]:
        """Features of the segment `id_`, read-only; a view where the store is mapped.

        The shape is `row_shape`; in a flat store [n, *row_shape], a row a window or a person.

        Raises:
            StoreError: there is no such segment.
        """
        stretch = self._stretch(id_)
        return self.features.stretch(stretch.start, stretch.stop - stretch.start)

    def _stretch(self, id_: str) -> slice:
        """Numbers of a segment's rows."""
        number = self._number(id_)
        if number is None:
            near = difflib.get_close_matches(id_, self._neighbours(id_), n=1)
            hint = f", the nearest is {near[0]!r}" if near else ""
            raise StoreError(f"{self.path} has {len(self)} segments and none is {id_!r}{hint}")
        first = int(self._places.addresses.firsts[number])
        return slice(first, first + int(self.lengths[number]))

    def _number(self, id_: str) -> int | None:
        """Row of a segment in the table; None where there is none."""
        place = self._index.place(id_)
        if self._index.ids_at(place, place + 1) != [id_]:
            return None
        return int(self._index.by_id.whole[place])

    def _neighbours(self, id_: str) -> list[str]:
        """Some ids, of those of many that are sorted around where one would stand."""
        first = max(0, self._index.place(id_) - _NEAR // 2)
        return self._index.ids_at(first, first + _NEAR)

    @property
    def has_gaze(self) -> bool:
        """Whether there are `gaze_points`, of some of the videos at least."""
        return False

    @property
    def asked(self) -> Table | None:
        """All segments that the manifest asks for, stored or not; None where it is not known.

        Read from the disk each time, and not kept.
        """
        return read_segments(self.path)

    @property
    def mapped(self) -> bool:
        """Whether rows are read from mapped files; else through the library, slower."""
        return self.features.mapped

    @property
    def digest(self) -> str:
        """Digest of the recipe."""
        return self.recipe.digest

    @property
    def name(self) -> str:
        """What tells the features from others of the data set, `mobilenetv2-0a1b2c3d:gap`."""
        return f"{self.recipe.store_name}:{self.tap}"

    @property
    def nbytes(self) -> int:
        """Bytes of this tap's features, uncompressed."""
        return int(self.lengths.sum()) * math.prod(self.row_shape) * self.dtype.itemsize

    @functools.cached_property
    def times(self) -> NDArray[np.float64]:
        """Times of the views of each row, [rows, V] seconds: of its frame, or its clip's centre."""
        return self._places.column("times", np.dtype(np.float64))


class SegmentStore(FeatureStore, Features):
    """One row a segment: what heads of segments learn from."""

    flat = False
    holds = "segments"
    wanted = ", and heads of segments need a store of segment clips: extract one without `windows`"

    def __getitem__(self, id_: str) -> NDArray[Any]:
        """Features of the segment `id_`, `row_shape`, read-only; a view where the store is mapped.

        Raises:
            StoreError: there is no such segment.
        """
        return np.asarray(super().__getitem__(id_)[0])

    def _gather(self, rows: NDArray[np.int64], out: NDArray[Any]) -> None:
        self.features.take(rows, out)

    def advise_random(self, rows: NDArray[np.int64]) -> None:
        """Have rows read ahead of their `take`: for stores larger than the memory."""
        self.features.advise(np.asarray(rows, dtype=np.int64))

    def as_dataset(self, split: str | None = None) -> "LabelledFeatures":
        """Rows of a split, or of all, as a data set for `torch.utils.data.DataLoader`.

        Raises:
            RequestError: the store has no such split.
        """
        from egofeat.store.reading.loading import LabelledFeatures  # noqa: PLC0415

        return LabelledFeatures(self, self.table, self.rows(split))

    def gaze_points(self, rows: NDArray[Any]) -> NDArray[np.float32]:
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
            RequestError: the store has no gaze.
            StoreError: the store's gaze is damaged.
        """
        rows = numbered(rows, len(self))
        if self._gaze is None:
            raise RequestError(
                f"{self.path} has no gaze: name its folder as `gaze:` in the manifest and run "
                "`egofeat extract` again (features are kept)"
            )
        return self._gaze.points(self.videos[rows], self.starts[rows], self.times[rows])

    @property
    def has_gaze(self) -> bool:
        """Whether there are `gaze_points`, of some of the videos at least."""
        return self._gaze is not None

    @functools.cached_property
    def _gaze(self) -> StepGaze | None:
        table = GazeTable.read(self.path)
        return StepGaze(table, self.recipe, self.tap) if table else None


class FlatStore(FeatureStore):
    """Several rows a segment, as many as it has windows or persons."""

    flat = True

    def spans(self, id_: str) -> NDArray[np.float64]:
        """Start, centre and end of the window of each of a segment's rows, [n, 3] seconds.

        Raises:
            StoreError: there is no such segment.
        """
        return self.times[self._stretch(id_)]

    @functools.cached_property
    def times(self) -> NDArray[np.float64]:
        """Start, centre and end of the window of each row, [rows, 3] seconds.

        A person's window is the clip with the key frame in its middle.
        """
        return self._places.column("times", np.dtype(np.float64)).reshape(-1, 3)


class WindowStore(FlatStore):
    """Dense windows over whole videos: a segment is a video, and has a row a window."""

    holds = "windows over whole videos, as many as each is long"
    wanted = ", not windows over whole videos: extract with `windows`"


class PersonStore(FlatStore):
    """Persons of key frames: a segment is a key frame, and has a row a person.

    Heads read them by `egofeat.store.open_persons`.
    """

    holds = "persons of key frames"
    wanted = ", no persons of key frames: make a store of them with `egofeat roi`"
    instead = ": read them with `egofeat.store.open_persons`, or train the head `roi` on them"

    def __init__(self, path: Path, description: Description, tap: str) -> None:
        super().__init__(path, description, tap)
        self._places.refuse(lambda shards: ~shards["persons"], check_columns)

    @functools.cached_property
    def boxes(self) -> NDArray[np.float32]:
        """Box of each person, [rows, 4] as `egofeat.boxes`, key frame after key frame."""
        return self._places.column("boxes", np.dtype(np.float32)).reshape(-1, 4)

    @functools.cached_property
    def scores(self) -> NDArray[np.float32]:
        """How sure the detector was of each person, [rows], key frame after key frame."""
        return self._places.column("scores", np.dtype(np.float32))


def _reopen(kind: type[FeatureStore], path: Path, tap: str, order: int) -> FeatureStore:
    store = kind(path, Description.read(path), tap)
    if store._order != order:
        raise StoreError(
            f"{path} was changed while it was in use and has other rows: give the command again "
            "when nothing else changes the store"
        )
    return store

"""Rows that heads read: a table of them, and their features, gathered a batch at a time."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from egofeat.store.table import Table, Tabled

if TYPE_CHECKING:
    from egofeat.store.reading.stores import FeatureStore, SegmentStore


class Features(ABC):
    """Rows of one shape, each a segment or a person; `len` is how many."""

    row_shape: tuple[int, ...]
    """Shape of one row, `(V, C)`, `(V, C, h, w)` or `(V, t, C, h, w)`."""
    dtype: np.dtype[Any]
    """As stored."""

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    def nbytes(self) -> int:
        """Bytes of all rows, uncompressed."""
        return len(self) * math.prod(self.row_shape) * self.dtype.itemsize

    def take(self, rows: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Gather rows, in the order given, repeats allowed.

        Args:
            rows: [n] row numbers, not negative; or a mask [rows].
            out: C-contiguous [n, *row_shape] to fill; float32 widens what is stored.
                A buffer that is used again saves most of the time of a batch.

        Returns:
            `out`, or a new array [n, *row_shape] in the stored dtype.

        Raises:
            IndexError: there is no such row.
            ValueError: `out` has another shape.
        """
        rows = numbered(rows, len(self))
        shape = (len(rows), *self.row_shape)
        if out is None:
            out = np.empty(shape, self.dtype)
        elif out.shape != shape or not out.flags.c_contiguous:
            raise ValueError(f"out is {out.shape}, not a C-contiguous {shape}")
        if len(rows):
            self._gather(rows, out)
        return out

    @abstractmethod
    def _gather(self, rows: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Fill `out` [n, *row_shape] with n rows, one at least."""

    @abstractmethod
    def advise_random(self, rows: NDArray[np.int64]) -> None:
        """Have rows read ahead of their `take`: for stores larger than the memory."""


def numbered(rows: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Row numbers [n] from numbers, or from a mask [count].

    Raises:
        IndexError: a row number is not in `0…count`, or is no whole number.
    """
    rows = np.asarray(rows)
    if rows.dtype == np.bool_ and rows.shape == (count,):
        return np.flatnonzero(rows).astype(np.int64)
    if rows.size and not np.issubdtype(rows.dtype, np.integer):
        raise IndexError(f"rows are {rows.dtype}, not whole numbers or a mask [{count}]")
    if rows.size and not 0 <= rows.min() <= rows.max() < count:
        raise IndexError(f"rows reach from {rows.min()} to {rows.max()}, not in 0…{count}")
    return rows.astype(np.int64, copy=False)


class Aligned(Features):
    """Features of a store in the order of other rows."""

    def __init__(self, store: "SegmentStore", places: NDArray[np.int64]) -> None:
        self.row_shape = store.row_shape
        self.dtype = store.dtype
        self._store = store
        self._places = places
        """[rows] row of the store."""

    def __len__(self) -> int:
        return len(self._places)

    def _gather(self, rows: NDArray[np.int64], out: NDArray[Any]) -> None:
        self._store.take(self._places[rows], out)

    def advise_random(self, rows: NDArray[np.int64]) -> None:
        """Have rows read ahead of their `take`."""
        self._store.advise_random(self._places[rows])

    @property
    def has_gaze(self) -> bool:
        """Whether the store has gaze."""
        return self._store.has_gaze

    def gaze_points(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Where the wearer looked in rows; see `SegmentStore.gaze_points`."""
        return self._store.gaze_points(self._places[rows])


class Rows(Tabled):
    """Segments of one store, or of several, with the features that each store has of them.

    Args:
        table: what is known of the rows.
        stores: which they are of.
        parts: features of each store, row for row those of the table.
        left_out: segments of each store that are not among the rows.
    """

    unit: ClassVar[str] = "segments"
    """What rows are, for people."""
    counted: ClassVar[str] = "segments"
    """What a split has some number of, for people."""
    unlabelled: ClassVar[str] = (
        "has no labels: run egofeat extract again with a manifest that gives them (features are "
        "kept)"
    )
    """End of a sentence on a store without labels."""

    def __init__(
        self,
        table: Table,
        stores: Sequence["FeatureStore"],
        parts: Sequence[Features],
        left_out: Sequence[int] = (),
    ) -> None:
        self.table = table
        self.stores = tuple(stores)
        self.left_out = tuple(left_out)
        self._parts = tuple(parts)
        self._divisions: tuple[Callable[[Table], Table], ...] = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.table!r} of {', '.join(map(repr, self.stores))})"

    @property
    def parts(self) -> Sequence[Features]:
        """Features of each store, row for row those of the table."""
        return self._parts

    @property
    def path(self) -> str:
        """The stores' folders, for people."""
        return " + ".join(str(store.path) for store in self.stores)

    def divided(self, divide: Callable[[Table], Table]) -> Self:
        """The same rows with other splits, made from the table, and from that of all asked for."""
        other = copy.copy(self)
        other.table = divide(self.table)
        other._divisions = (*self._divisions, divide)
        return other

    @property
    def asked(self) -> Table | None:
        """All segments that the manifest asks for, stored or not; None where it is not known.

        Divided as the rows are; read from the disk each time, and not kept.
        """
        asked = self.stores[0].asked
        if asked is not None:
            for divide in self._divisions:
                asked = divide(asked)
        return asked

    def teaching(self, targets: Sequence[str]) -> NDArray[np.bool_]:
        """[rows] which can be learnt from: those with a label of a target at least."""
        labelled = [self.labels[target] >= 0 for target in targets]
        return np.asarray(np.logical_or.reduce(labelled))

    def judged(self, split: str) -> tuple[list[str], NDArray[np.int64]]:
        """Ids of what a head is judged on in a split, sorted, and the rows whose labels count."""
        rows = self.rows(split)
        rows = rows[np.argsort(self.ids[rows], kind="stable")]
        return self.ids[rows].tolist(), rows

    def covered(self, split: str) -> tuple[int, int]:
        """How many segments of a split are stored, and how many the manifest asks for."""
        there, asked = len(self.rows(split)), self.asked
        return there, there if asked is None else len(asked.rows(split))

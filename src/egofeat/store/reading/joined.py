"""Stores of one data set as one: their rows joined by segment, each read from its own files."""

from collections.abc import Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import RequestError, StoreError
from egofeat.store.reading.opening import open_store
from egofeat.store.reading.reader import FeatureStore

SAME_TIME = 0.05
"""Seconds that a segment's ends may differ between stores: EPIC-KITCHENS gives them as time stamps
of its videos and as numbers of its frames, which are rounded."""


def open_stores(
    paths: Sequence[Path | str], taps: Sequence[str] = ()
) -> "FeatureStore | JoinedStore":
    """Open one store, or several of one data set joined by segment.

    Args:
        paths: each a store's folder, or one that holds exactly one store.
        taps: one for all stores, or one a store; none where each store has one tap.

    Raises:
        StoreError: a store is absent or damaged, or the stores disagree on their segments.
        RequestError: no such tap, or stores that have nothing to join.
    """
    if len(taps) not in (0, 1, len(paths)):
        raise RequestError(
            f"{len(taps)} taps are named for {len(paths)} stores ({', '.join(taps)}): "
            "name one for all, or one a store"
        )
    named: list[str | None] = [*taps] or [None]
    of_each = named * len(paths) if len(named) == 1 else named
    return join([open_store(path, tap) for path, tap in zip(paths, of_each, strict=True)])


def join(stores: Sequence[FeatureStore]) -> "FeatureStore | JoinedStore":
    """Join stores by segment; one alone stays what it is.

    Raises:
        StoreError: the stores disagree on their segments.
        RequestError: the stores have nothing to join.
    """
    return stores[0] if len(stores) == 1 else JoinedStore(stores)


class JoinedRows:
    """Features of one store, row for row those of a join."""

    def __init__(self, store: FeatureStore, places: NDArray[np.int64]) -> None:
        self.name = f"{store.recipe.store_name}:{store.tap}"
        """What tells it from the others of the join."""
        self.row_shape = store.row_shape
        self.dtype = store.dtype
        self._store = store
        self._places = places
        """[rows] of the join to rows of the store."""

    @property
    def nbytes(self) -> int:
        """Bytes of the rows that are joined, uncompressed."""
        return self._store.nbytes // len(self._store) * len(self._places)

    def take(self, rows: NDArray[np.int64], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Gather rows of the join, `[n, *row_shape]`; see `FeatureStore.take`."""
        return self._store.take(self._places[rows], out)

    @property
    def has_gaze(self) -> bool:
        """Whether the store has gaze."""
        return self._store.has_gaze

    def gaze_points(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Where the wearer looked in rows of the join; see `FeatureStore.gaze_points`."""
        return self._store.gaze_points(self._places[rows])

    def advise_random(self, rows: NDArray[np.int64]) -> None:
        """Have rows of the join read ahead of their `take`."""
        self._store.advise_random(self._places[rows])


class JoinedStore:
    """The segments that stand in every one of some stores, in the order of the first.

    A segment is its id, and its start and stop but for `SAME_TIME`. Columns are those of
    `FeatureStore`; features are read from `parts`, one a store.

    Raises:
        RequestError: the stores are of several data sets, have no segment in common, or
            one is named twice.
        StoreError: they disagree on classes, splits, groups or labels.
    """

    def __init__(self, stores: Sequence[FeatureStore]) -> None:
        self.stores = tuple(stores)
        self.path = " + ".join(str(store.path) for store in stores)
        """The stores' folders, for people."""
        self.dataset = stores[0].dataset
        self._refuse_strangers()
        rows_of = [{id_: row for row, id_ in enumerate(store.ids)} for store in stores]
        ids = [id_ for id_ in rows_of[0] if all(id_ in rows for rows in rows_of[1:])]
        found = [np.array([rows[id_] for id_ in ids], dtype=np.int64) for rows in rows_of]
        spans = [
            np.stack([store.starts[rows], store.stops[rows]], axis=1)
            for store, rows in zip(stores, found, strict=True)
        ]
        alike = np.logical_and.reduce(
            [np.isclose(spans[0], other, rtol=0, atol=SAME_TIME).all(axis=1) for other in spans]
        )
        common = list(compress(ids, alike))
        places = [rows[alike] for rows in found]
        if not common:
            raise RequestError(
                f"no segment stands in all of {self.path}: extract the same splits into each, "
                "from the same manifest"
            )
        self.left_out = tuple(len(store) - len(common) for store in stores)
        """Segments of each store that do not stand in all."""
        self.parts = tuple(map(JoinedRows, stores, places))
        self.ids = common
        """[rows] id of each segment."""
        self._set_annotations(places)

    def _refuse_strangers(self) -> None:
        """Refuse stores of another data set than the first's, and the same features twice."""
        seen = set()
        for store in self.stores:
            if store.dataset != self.dataset:
                raise RequestError(
                    f"{self.stores[0].path} is of data set {self.dataset} and {store.path} of "
                    f"{store.dataset}: join stores of one data set"
                )
            if (store.digest, store.tap) in seen:
                raise RequestError(
                    f"tap {store.tap} of store {store.path} is to be joined with itself: "
                    "name it once"
                )
            seen.add((store.digest, store.tap))

    def _set_annotations(self, places: Sequence[NDArray[np.int64]]) -> None:
        first = self.stores[0]
        self.classes = first.classes
        self.tail = first.tail
        self.unseen = first.unseen
        self.benchmark = first.benchmark
        self.splits: NDArray[np.str_] = first.splits[places[0]]
        """[rows] split of each segment."""
        self.groups: NDArray[np.str_] = first.groups[places[0]]
        """[rows] what must not stand on both sides of a fair split."""
        self.published = {name: of[places[0]] for name, of in first.published.items()}
        """Name of each published split, where there are several, to [rows] split by it."""
        self.labels = {target: labels[places[0]] for target, labels in first.labels.items()}
        """Target to [rows] class index, -1 where there is none."""
        for store, rows in zip(self.stores[1:], places[1:], strict=True):
            labels = {target: of[rows] for target, of in store.labels.items()}
            published = {name: of[rows] for name, of in store.published.items()}
            alike = {
                "classes": self.classes == store.classes,
                "tail classes": self.tail == store.tail,
                "unseen groups": self.unseen == store.unseen,
                "splits": np.array_equal(self.splits, store.splits[rows]),
                "groups": np.array_equal(self.groups, store.groups[rows]),
                "labels": _same(self.labels, labels),
                # One of before there were several tells none.
                "published splits": not (self.published and published)
                or _same(self.published, published),
            }
            for what, same in alike.items():
                if not same:
                    raise StoreError(
                        f"{first.path} and {store.path} disagree on the {what} of their segments: "
                        "run `egofeat extract` again for both with one manifest (features are kept)"
                    )

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, split: str | None = None) -> NDArray[np.int64]:
        """Row numbers of a split, or of all."""
        if split is None:
            return np.arange(len(self), dtype=np.int64)
        return np.flatnonzero(self.splits == split).astype(np.int64)


def _same(columns: Mapping[str, NDArray[Any]], others: Mapping[str, NDArray[Any]]) -> bool:
    """Whether there are the same columns, alike in every row."""
    return columns.keys() == others.keys() and all(
        np.array_equal(columns[name], others[name]) for name in columns
    )

"""Persons of key frames for heads: a row a person, with the others of its key frame beside it."""

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import StoreError
from egofeat.store.reading.gathering import numbered, receiving
from egofeat.store.reading.neighbours import company
from egofeat.store.reading.opening import open_store
from egofeat.store.reading.reader import FeatureStore
from egofeat.store.sidecar.annotations import Annotations
from egofeat.store.sidecar.box_table import NAME as BOXES_NPZ
from egofeat.store.sidecar.box_table import BoxTable

TARGET = "action"
"""Target of the labels of persons."""


def open_persons(path: Path | str, tap: str | None = None, *, others: int = 0) -> "PersonRows":
    """Open one tap of a store of persons for heads.

    Args:
        path: the store's folder, or one that holds exactly one store up to two folders below.
        tap: name of the tap; it may be left out when the store has one.
        others: how many other persons of the same key frame stand beside each.

    Raises:
        StoreError: there is no store, or a damaged one.
        RequestError: there are several stores, or several taps and none named; no such tap; or
            the store's rows are not persons.
    """
    return PersonRows(open_store(path, tap), others)


class PersonRows:
    """Features of one tap of a store of persons: one row a person, key frame after key frame.

    Args:
        store: whose rows are persons.
        others: how many other persons of the same key frame stand beside each.

    Raises:
        RequestError: the store's rows are not persons.
    """

    def __init__(self, store: FeatureStore, others: int = 0) -> None:
        self.store = store
        self.path: Path = store.path
        self.dataset: str = store.dataset
        self.recipe = store.recipe
        self.tap: str = store.tap
        self.digest: str = store.digest
        self.classes: Mapping[str, tuple[str, ...]] = store.classes
        self.unseen: frozenset[str] = store.unseen
        self.benchmark: tuple[str, ...] = store.benchmark
        self.tail: Mapping[str, frozenset[int]] = store.tail
        self.row_shape: tuple[int, ...] = (1 + others, *store.row_shape)
        """Shape of one row, (1 + others, C) or (1 + others, C, h, w): the person, then the others
        of its key frame, the most confident first; zeros where there are no more."""
        self.dtype: np.dtype[Any] = store.dtype
        self.mapped: bool = store.mapped
        self._segments = np.repeat(np.arange(len(store)), store.lengths)
        """[rows] number of each person's key frame in the store."""
        self.boxes: NDArray[np.float32] = store.boxes
        """[rows, 4] as `egofeat.boxes.Boxes` has them."""
        self.scores: NDArray[np.float32] = store.scores
        """[rows] how sure the detector was."""
        self._single = store.single_rows()
        self._numbers = company(self._segments, self.scores, others)
        """[rows, 1 + others] row of each person and of its others; -1 where there is none."""
        self.ids: list[str] = [store.ids[number] for number in self._segments.tolist()]
        """[rows] id of each person's key frame."""
        self.splits: NDArray[np.str_] = store.splits[self._segments]
        """[rows] split of each person's key frame."""
        self.groups: NDArray[np.str_] = store.groups[self._segments]
        """[rows] what must not stand on both sides of a fair split."""

    def __len__(self) -> int:
        return len(self.boxes)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as a path, to be mapped anew there."""
        return PersonRows, (self.store, self.row_shape[0] - 1)

    def __repr__(self) -> str:
        return f"PersonRows({str(self.path)!r}, {self.tap}: {len(self)} × {self.row_shape})"

    def take(self, rows: NDArray[np.int64], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Gather rows, in the order given, repeats allowed.

        Args:
            rows: [n] row numbers, not negative; or a mask [rows].
            out: C-contiguous [n, *row_shape] to fill; float32 widens what is stored.

        Returns:
            `out`, or a new array [n, *row_shape] in the stored dtype.

        Raises:
            IndexError: a row number is not in the store.
            ValueError: `out` has another shape.
        """
        rows = numbered(rows, len(self))
        out = receiving(out, (len(rows), *self.row_shape), self.dtype)
        if len(rows):
            wanted = self._numbers[rows]
            absent = wanted < 0
            # In place of those that are not there the person itself: it is at hand.
            present = np.where(absent, wanted[:, :1], wanted)
            self._single.take(present.ravel(), out.reshape(-1, *self.store.row_shape))
            out[absent] = 0
        return out

    def advise_random(self, rows: NDArray[np.int64]) -> None:
        """Have rows read ahead of their `take`: for stores larger than the memory."""
        wanted = self._numbers[np.asarray(rows, dtype=np.int64)]
        self._single.advise(np.unique(wanted[wanted >= 0]))

    def rows(self, split: str | None = None) -> NDArray[np.int64]:
        """Row numbers of a split, or of all."""
        if split is None:
            return np.arange(len(self), dtype=np.int64)
        return np.flatnonzero(self.splits == split).astype(np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows, each with its others, uncompressed."""
        return len(self) * math.prod(self.row_shape) * self.dtype.itemsize

    @functools.cached_property
    def truth(self) -> BoxTable | None:
        """Annotated persons of all key frames, those without rows too; None without any.

        Raises:
            StoreError: they are damaged.
        """
        return BoxTable.read(self.path)

    @functools.cached_property
    def annotated(self) -> NDArray[np.bool_]:
        """Whether each row's box is an annotated one of its key frame, [rows]."""
        found = np.zeros(len(self), np.bool_)
        found[self._matches[0]] = True
        return found

    @functools.cached_property
    def labels(self) -> dict[str, NDArray[np.bool_]]:
        """Target to [rows, classes]: what each person does; nothing where no annotation is.

        Raises:
            StoreError: an annotated action is of no class.
        """
        classes = len(self.classes.get(TARGET, ()))
        found = np.zeros((len(self), classes), np.bool_)
        if self.truth:
            rows, boxes = self._matches
            places, actions = self.truth.actions_of(boxes)
            if actions.max(initial=-1) >= classes:
                raise StoreError(
                    f"{self.path / BOXES_NPZ} has an action of number {actions.max()} and there "
                    f"are {classes} classes: run `egofeat roi` again, which brings both up to date "
                    "and extracts nothing twice"
                )
            found[rows[places], actions] = True
        return {TARGET: found}

    @functools.cached_property
    def _matches(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs of a row and its annotated box; see `BoxTable.same_boxes`."""
        if self.truth is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return self.truth.same_boxes(self.store.ids, self._segments, self.boxes)

    def key_frames(self, split: str | None = None) -> list[str]:
        """Ids of all key frames of a split, or of all, that the manifest asks for; stored or not.

        Raises:
            StoreError: segments.json is damaged.
        """
        annotations = Annotations.read(self.path)
        if annotations is None:
            return []
        pairs = zip(annotations.ids, annotations.splits, strict=True)
        return [id_ for id_, of_frame in pairs if split is None or of_frame == split]

"""boxes.npz: who stands in each key frame and what they do, as the manifest said last.

Like labels, annotated boxes are no features: a corrected action is read from here, and needs no
new extraction.
"""

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from egofeat.boxes import Boxes
from egofeat.segments import Dataset
from egofeat.store.reading.shards import runs
from egofeat.store.sidecar.tables import Column, check_offsets, read_table, write_arrays

NAME = "boxes.npz"

_COLUMNS = {
    "ids": Column("U"),
    "offsets": Column("int64"),
    "corners": Column("float32", (4,)),
    "action_offsets": Column("int64"),
    "actions": Column("int64"),
    "evaluated": Column("int64"),
}


@dataclass(frozen=True, eq=False)
class BoxTable:
    """Annotated persons of the key frames of a data set, one key frame after the other."""

    ids: Sequence[str]
    """[frames] key frames that were looked at, those with nobody in them too."""
    offsets: NDArray[np.int64]
    """[frames + 1] key frame i has the boxes `[offsets[i], offsets[i + 1])`."""
    corners: NDArray[np.float32]
    """[boxes, 4] as `egofeat.boxes.Boxes` has them."""
    action_offsets: NDArray[np.int64]
    """[boxes + 1] box i has the actions `[action_offsets[i], action_offsets[i + 1])`."""
    actions: NDArray[np.int64]
    """[n] class indices, rising within a box."""
    evaluated: frozenset[int]
    """Action classes that count in evaluation; none named: all."""

    @classmethod
    def of_boxes(cls, boxes: Mapping[str, Boxes], evaluated: frozenset[int]) -> Self:
        """Columns of the boxes of some key frames, in their order."""
        each = list(boxes.values())
        actions = [of_box for one in each for of_box in one.actions or [()] * len(one)]
        return cls(
            ids=list(boxes),
            offsets=np.cumsum([0, *map(len, each)], dtype=np.int64),
            corners=np.concatenate([np.empty((0, 4), np.float32), *(one.corners for one in each)]),
            action_offsets=np.cumsum([0, *map(len, actions)], dtype=np.int64),
            actions=np.array([label for of_box in actions for label in of_box], np.int64),
            evaluated=evaluated,
        )

    @classmethod
    def read(cls, store: Path) -> Self | None:
        """Read boxes.npz of the folder `store`; None when there is none.

        Raises:
            StoreError: it is damaged.
        """
        return read_table(store / NAME, _COLUMNS, cls._fitting)

    @classmethod
    def _fitting(cls, columns: dict[str, NDArray[Any]]) -> Self:
        ids, evaluated = columns.pop("ids"), columns.pop("evaluated")
        table = cls(ids=ids.tolist(), evaluated=frozenset(evaluated.tolist()), **columns)
        table._check()
        return table

    def _check(self) -> None:
        """Refuse columns that do not fit together.

        Raises:
            ValueError: saying which.
        """
        if len(set(self.ids)) != len(self.ids) or len(self.offsets) != len(self.ids) + 1:
            raise ValueError("its key frames and their offsets do not fit")
        check_offsets("offsets", self.offsets, len(self.corners))
        if len(self.action_offsets) != len(self.corners) + 1:
            raise ValueError("its action offsets do not fit")
        check_offsets("action offsets", self.action_offsets, len(self.actions))
        if not np.isfinite(self.corners).all():
            raise ValueError("its corners are no numbers")
        if (self.actions < 0).any() or any(label < 0 for label in self.evaluated):
            raise ValueError("its actions are not classes")

    def write(self, store: Path, worker: str) -> None:
        """Put boxes.npz into the folder `store`, over an older one."""
        columns = {name: np.asarray(getattr(self, name)) for name in list(_COLUMNS)[1:-1]}
        columns["ids"] = np.array(self.ids, np.str_)
        columns["evaluated"] = np.array(sorted(self.evaluated), np.int64)
        write_arrays(store / NAME, columns, worker)

    @functools.cached_property
    def numbers(self) -> Mapping[str, int]:
        """Id of each key frame to its place."""
        return {id_: number for number, id_ in enumerate(self.ids)}

    def of(self, id_: str) -> Boxes:
        """Boxes of a key frame with their actions; none where none are annotated."""
        number = self.numbers.get(id_)
        if number is None:
            return Boxes.of(())
        first, stop = self.offsets[number : number + 2].tolist()
        ends = self.action_offsets[first : stop + 1].tolist()
        return Boxes(
            self.corners[first:stop],
            np.ones(stop - first, np.float32),
            tuple(
                tuple(self.actions[begin:end].tolist()) for begin, end in itertools.pairwise(ends)
            ),
        )

    def same_boxes(
        self, ids: Sequence[str], frames: NDArray[np.int64], corners: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs of a row and an annotated box that are the same box of the same key frame.

        Args:
            ids: of key frames.
            frames: [rows] place in `ids` of each row's key frame.
            corners: [rows, 4] each row's box; the same are those with equal numbers.

        Returns:
            The pairs' rows and the pairs' boxes, each [n], rows not falling.
        """
        places = np.array([self.numbers.get(id_, -1) for id_ in ids], np.int64)[frames]
        rows = np.flatnonzero(places >= 0)
        firsts, stops = self.offsets[places[rows]], self.offsets[places[rows] + 1]
        rows, boxes = np.repeat(rows, stops - firsts), runs(firsts, stops - firsts)
        same = (corners[rows] == self.corners[boxes]).all(axis=1)
        return rows[same], boxes[same]

    def actions_of(self, boxes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs of a place in `boxes` [n] and one of that box's actions."""
        firsts, stops = self.action_offsets[boxes], self.action_offsets[boxes + 1]
        actions = self.actions[runs(firsts, stops - firsts)]
        return np.repeat(np.arange(len(boxes)), stops - firsts), actions


def write_boxes(store: Path, dataset: Dataset, worker: str) -> None:
    """Bring boxes.npz up to date; only a data set of key frames has one."""
    if dataset.key_frames:
        BoxTable.of_boxes(dataset.boxes, dataset.evaluated).write(store, worker)
    else:
        write_arrays(store / NAME, None, worker)

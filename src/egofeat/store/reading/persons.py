"""Persons of key frames for heads: a row a person, with others of its key frame beside it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import StoreError
from egofeat.store.reading.features import Features, Rows
from egofeat.store.reading.stores import PersonStore
from egofeat.store.sidecar.box_table import NAME as BOXES_NPZ
from egofeat.store.sidecar.box_table import BoxTable

if TYPE_CHECKING:
    from egofeat.store.reading.loading import LabelledFeatures

TARGET = "action"
"""Target of the labels of persons."""


class PersonRows(Rows, Features):
    """Features of one tap of a store of persons: one row a person, key frame after key frame.

    The table's ids, splits and groups are those of each person's key frame.

    Args:
        store: whose rows are persons.
        others: how many other persons of the same key frame stand beside each.

    Raises:
        StoreError: annotated persons are damaged, or do what has no class.
    """

    unit = "persons"
    counted = "key frames"
    unlabelled = (
        "has no annotated persons with actions, which a head needs to train: make a store of "
        "them with egofeat roi --boxes annotated (one of detected persons is for evaluation), or "
        "choose splits with `train_split` and `val_split`"
    )

    def __init__(self, store: PersonStore, others: int = 0) -> None:
        self.store = store
        self.row_shape = (1 + others, *store.row_shape)
        """Shape of one row, (1 + others, C) or (1 + others, C, h, w): the person, then the others
        of its key frame, the most confident first; zeros where there are no more."""
        self.dtype = store.dtype
        self.boxes: NDArray[np.float32] = store.boxes
        """[rows, 4] as `egofeat.boxes.Boxes` has them."""
        self.scores: NDArray[np.float32] = store.scores
        """[rows] how sure the detector was."""
        frames = np.repeat(np.arange(len(store)), store.lengths)
        self._numbers = with_neighbours(frames, self.scores, others)
        """[rows, 1 + others] row of each person and of its others; -1 where there is none."""
        self.truth = BoxTable.read(store.path)
        """Annotated persons of all key frames, those without rows too; None without any."""
        self.annotated = np.zeros(len(frames), np.bool_)
        """[rows] whether each row's box is an annotated one of its key frame."""
        labels = np.zeros((len(frames), len(store.classes.get(TARGET, ()))), np.bool_)
        if self.truth:
            rows, boxes = self.truth.same_boxes(store.ids.tolist(), frames, self.boxes)
            self.annotated[rows] = True
            _mark(labels, rows, *self.truth.actions_of(boxes), store.path)
        table = replace(store.table.take(frames), labels={TARGET: labels})
        super().__init__(table, [store], [])

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        """Travel to another process as a path, to be mapped anew there; with other splits whole."""
        if self._divisions:
            return super().__reduce_ex__(protocol)
        return type(self), (self.store, self.row_shape[0] - 1)

    def __repr__(self) -> str:
        shape = f"{len(self)} persons × {self.row_shape} {self.dtype}"
        return f"PersonRows({self.path!r}, {self.store.tap}: {shape})"

    @property
    def parts(self) -> Sequence[Features]:
        """These rows alone: persons are not joined."""
        return (self,)

    @property
    def alone(self) -> "PersonRows":
        """The same persons without others."""
        return PersonRows(self.store)

    def _gather(self, rows: NDArray[np.int64], out: NDArray[Any]) -> None:
        wanted = self._numbers[rows]
        absent = wanted < 0
        # In place of those that are not there the person itself: it is at hand.
        present = np.where(absent, wanted[:, :1], wanted)
        self.store.features.take(present.ravel(), out.reshape(-1, *self.store.row_shape))
        out[absent] = 0

    def advise_random(self, rows: NDArray[np.int64]) -> None:
        """Have rows read ahead of their `take`: for stores larger than the memory."""
        wanted = self._numbers[np.asarray(rows, dtype=np.int64)]
        self.store.features.advise(np.unique(wanted[wanted >= 0]))

    def as_dataset(self, split: str | None = None) -> "LabelledFeatures":
        """Rows of a split, or of all, as a data set for `torch.utils.data.DataLoader`.

        Raises:
            RequestError: the store has no such split.
        """
        from egofeat.store.reading.loading import LabelledFeatures  # noqa: PLC0415

        return LabelledFeatures(self, self.table, self.table.present(split, self.path))

    def teaching(self, targets: Sequence[str]) -> NDArray[np.bool_]:
        """[rows] which can be learnt from: annotated persons, whatever they do."""
        return self.annotated

    def key_frames(self, split: str | None = None) -> list[str]:
        """Ids of the key frames of a split, or all, that the manifest asks for; stored or not."""
        asked = self.asked
        ids: list[str] = [] if asked is None else asked.ids[asked.rows(split)].tolist()
        return ids

    def judged(self, split: str) -> tuple[list[str], NDArray[np.int64]]:
        """Ids of the key frames of a split, sorted, and no rows: the boxes may be others."""
        return sorted(self.key_frames(split)), np.empty(0, np.int64)

    def covered(self, split: str) -> tuple[int, int]:
        """How many key frames with somebody annotated are stored, and how many a split has."""
        counts = np.diff(self.truth.offsets).tolist() if self.truth else []
        ids = self.truth.ids if self.truth else []
        peopled = {id_ for id_, count in zip(ids, counts, strict=True) if count}
        wanted = peopled.intersection(self.key_frames(split))
        return len(wanted.intersection(self.ids[self.rows(split)].tolist())), len(wanted)


def _mark(
    labels: NDArray[np.bool_],
    rows: NDArray[np.int64],
    places: NDArray[np.int64],
    actions: NDArray[np.int64],
    store: Path,
) -> None:
    """Note the actions of annotated boxes, at `places` of `rows`, in labels `[rows, classes]`."""
    if actions.max(initial=-1) >= labels.shape[1]:
        raise StoreError(
            f"{store / BOXES_NPZ} has an action of number {actions.max()} and there "
            f"are {labels.shape[1]} classes: run `egofeat roi` again, which brings both up to date "
            "and extracts nothing twice"
        )
    labels[rows[places], actions] = True


def with_neighbours(
    segments: NDArray[np.int64], scores: NDArray[np.float32], others: int
) -> NDArray[np.int64]:
    """Numbers of each person and of its most confident neighbours, [rows, 1 + others].

    Args:
        segments: [rows] key frame of each person, not falling.
        scores: [rows] its confidence; of equal ones the earlier row comes first.
        others: how many neighbours at most.

    Returns:
        Row numbers, -1 where a key frame has no more persons.
    """
    count = len(segments)
    ranked = np.lexsort((-scores, segments))
    _, firsts, lengths = np.unique(segments, return_index=True, return_counts=True)
    firsts, lengths = np.repeat(firsts, lengths), np.repeat(lengths, lengths)
    ranks = np.empty(count, np.int64)
    ranks[ranked] = np.arange(count) - firsts
    steps = np.arange(others)
    # A person's neighbours are all ranks of its key frame but its own.
    places = steps + (steps >= ranks[:, np.newaxis])
    there = places < lengths[:, np.newaxis]
    numbers = np.where(there, firsts[:, np.newaxis] + places, 0)
    neighbours = np.where(there, ranked[numbers], -1)
    return np.concatenate([np.arange(count)[:, np.newaxis], neighbours], axis=1)

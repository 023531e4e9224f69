"""The rows that a head learns from and is validated on, with their labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from egofeat import console
from egofeat.errors import RequestError
from egofeat.heads.config import TrainerConfig
from egofeat.heads.fusion import AveragedHeads
from egofeat.heads.head import Head
from egofeat.heads.names import HEADS
from egofeat.heads.registry import reads
from egofeat.heads.training.examples import Examples
from egofeat.heads.training.losses import ABSENT, Labels
from egofeat.pipelines.runs.config import RunConfig, Source, Splits, init_of
from egofeat.pipelines.runs.rows import choose_groups, divide
from egofeat.pipelines.runs.run import branches
from egofeat.pipelines.runs.targets import (
    Coverage,
    check_taught,
    choose_targets,
    coverage,
    labelled_rows,
    open_places,
)
from egofeat.pipelines.runs.trained_on import TrainedOn, labels_digest
from egofeat.pipelines.training.gaze import teaching_points
from egofeat.pipelines.training.options import FitConfig
from egofeat.store import Rows
from egofeat.words import quoted


@dataclass(frozen=True)
class TrainingRows:
    """Rows of a store, or of several as one, and how they are divided."""

    store: Rows
    splits: Splits
    labels: Mapping[str, Labels]
    """Target to the labels of all rows."""
    train: NDArray[np.int64]
    val: NDArray[np.int64]

    @classmethod
    def open(cls, config: FitConfig, options: Mapping[str, Any], seed: int) -> Self:
        """Open the stores, choose the targets, divide the rows.

        Args:
            config: what a person asks.
            options: the head's, all of them.
            seed: decides which groups validate, and which part of the rows trains.

        Raises:
            RequestError: no such tap, target or split, nothing to learn from or to validate on, or
                segments for a head of persons.
            StoreError: a store cannot be read.
        """
        store = opened = open_places(config.store, config.tap, int(options.get("others", 0)))
        if reads(config.head, config.preset) == "persons" and store.unit != "persons":
            raise RequestError(
                f"head '{config.head}' reads persons of key frames, and store {store.path} holds "
                "segments: make a store of persons with egofeat roi, or choose another head"
            )
        splits = Splits(
            train=config.train_split,
            val=config.val_split,
            published=config.published_split,
            val_from_train=config.val_from_train,
            where=config.where,
        )
        store = divide(opened, splits, seed)
        targets = choose_targets(store, config.targets)
        if splits.val_from_train:
            groups = _choose_groups(store, splits, targets, seed)
            splits = splits.model_copy(update={"val_groups": groups})
        splits = splits.model_copy(update={"train_fraction": config.train_fraction})
        store = divide(opened, splits, seed)
        train = labelled_rows(store, splits.train, targets)
        val = labelled_rows(store, splits.val, targets)
        check_taught(store, train, splits.train, targets)
        if len(train) < 2:
            raise RequestError(
                f"split '{splits.train}' of store {store.path} has one labelled "
                f"{store.unit.removesuffix('s')}: a head needs at least two"
            )
        return cls(store, splits, {target: store.labels[target] for target in targets}, train, val)

    @property
    def trained_on(self) -> TrainedOn:
        """What a run that learns from them is to remember."""
        return TrainedOn.of(self.store, self.train, self.splits.val, tuple(self.labels))

    @property
    def coverage(self) -> dict[str, Coverage]:
        """How many of the segments of each split have features."""
        splits = dict.fromkeys((self.splits.train, self.splits.val))
        return {split: coverage(self.store, split) for split in splits}

    def tell_missing(self) -> None:
        """Say of which split some segments have no features, and of which target classes lack."""
        for covered in self.coverage.values():
            if covered.missing:
                console.note(f"{covered}")
        for target, labels in self.labels.items():
            known = {*labels[self.train].tolist()} - {ABSENT} if labels.ndim == 1 else set()
            if len(known) == 1:
                only = quoted(self.store.classes[target][known.pop()])
                console.note(
                    f"'{self.splits.train}' has one class of {target}, {only}: heads learn no other"
                )

    def examples(self, head: Head | AveragedHeads, config: TrainerConfig) -> list[Examples]:
        """What each head of a run learns from.

        Raises:
            RequestError: gaze is to teach a head that attends to none, or there is none.
        """
        examples = []
        for member, features in branches(head, self.store):
            gaze = None
            if config.gaze_weight:
                gaze = teaching_points(member, features, self.train, str(self.store.path))
            examples.append(Examples(features, self.labels, self.train, self.val, gaze))
        return examples


def describe(
    config: FitConfig, options: Mapping[str, Any], trainer: TrainerConfig, rows: TrainingRows
) -> RunConfig:
    """What config.yaml of the run says.

    Raises:
        RequestError: a name of the data set cannot stand in it.
    """
    store = rows.store
    try:
        return RunConfig(
            dataset=store.dataset,
            head=config.head,
            package=HEADS.package(config.head),
            preset=config.preset,
            options=dict(options),
            normalize=config.normalize,
            classes={target: tuple(store.classes[target]) for target in rows.labels},
            splits=rows.splits,
            trainer=trainer,
            init=init_of(config.init),
            fuse=config.fuse if len(store.stores) > 1 else "features",
            sources=Source.of(store),
            labels_digest=labels_digest(store, tuple(rows.labels)),
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise RequestError(
            f"store {store.path} cannot be trained on, {place}: {first['msg']}: correct it in the "
            "manifest and run egofeat extract again (features are kept)"
        ) from None


def _choose_groups(
    store: Rows, splits: Splits, targets: tuple[str, ...], seed: int
) -> tuple[str, ...]:
    """Choose the groups that validate."""
    if store.unit == "persons":
        raise RequestError(
            "`val_from_train` divides segments, and persons are judged by all key frames of a "
            f"split that the data set itself has: give {store.dataset} one in the manifest"
        )
    rows = labelled_rows(store, splits.train, targets)
    return tuple(choose_groups(store, rows, splits.val_from_train, seed))

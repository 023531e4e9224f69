"""How many of a split's segments have features: figures of a part are not the split's."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from egofeat.pipelines.training.run import LabelledRows
from egofeat.store.reading.joined import JoinedStore
from egofeat.store.reading.persons import PersonRows
from egofeat.store.sidecar.annotations import Annotations


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Segments of a split, or key frames, and how many of them have features."""

    split: str
    there: int
    """With features."""
    of_split: int
    """All that the data set has, as the manifest last said."""
    unit: str = "segments"

    @property
    def missing(self) -> int:
        """How many have no features."""
        return self.of_split - self.there

    def __str__(self) -> str:
        if not self.missing:
            return f"{self.there:,} {self.unit} of {self.split}"
        have = "has" if self.missing == 1 else "have"
        return (
            f"{self.there:,} of {self.of_split:,} {self.unit} of {self.split}; {self.missing:,} "
            f"{have} no features"
        )


def coverage(store: LabelledRows, split: str, config: Mapping[str, Any]) -> Coverage:
    """Compare the rows of a split with the segments that the data set has of it.

    Of persons, only key frames count in which somebody is annotated: no others need have a row.

    Args:
        store: an open store, or several as one.
        split: as the store has it now, its validation part set aside if the run has one.
        config: of the run; `published_split` is another that it chose, `val_groups` are those that
            were set aside.
    """
    if isinstance(store, PersonRows):
        wanted = set(store.key_frames(split)) & _with_somebody(store)
        there = wanted & {store.ids[row] for row in store.rows(split)}
        return Coverage(split=split, there=len(there), of_split=len(wanted), unit="key frames")
    rows = len(store.rows(split))
    folder = store.stores[0].path if isinstance(store, JoinedStore) else store.path
    annotations = Annotations.read(folder)
    if annotations is None:
        return Coverage(split=split, there=rows, of_split=rows)
    return Coverage(split=split, there=rows, of_split=_segments_of(annotations, split, config))


def _segments_of(annotations: Annotations, split: str, config: Mapping[str, Any]) -> int:
    """Count the segments of a split, as the run divides them."""
    said = annotations.splits
    if "published_split" in config:
        said = annotations.published[config["published_split"]]
    splits = np.array(said, dtype=np.str_)
    if "val_groups" in config:
        videos = np.array(annotations.videos, dtype=np.str_)
        groups = np.array(annotations.groups, dtype=np.str_)
        aside: Collection[str] = config["val_groups"]
        moved = np.isin(np.where(groups == "", videos, groups), list(aside))
        moved &= splits == config["train_split"]
        splits = np.where(moved, config["val_split"], splits)
    return int(np.count_nonzero(splits == split))


def _with_somebody(store: PersonRows) -> set[str]:
    table = store.truth
    if table is None:
        return set()
    counts = np.diff(table.offsets).tolist()
    return {id_ for id_, count in zip(table.ids, counts, strict=True) if count}

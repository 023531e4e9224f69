"""What a head learns from: stores opened as one, the targets, the rows that are labelled.

And how many of a split's segments have features: figures of a part are not the split's.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from egofeat import console
from egofeat.errors import RequestError
from egofeat.heads.training.losses import Labels
from egofeat.pipelines.runs import Places
from egofeat.store import Rows, open_stores
from egofeat.words import counted


def open_places(places: Places, tap: str | None, others: int) -> Rows:
    """Open the store, or the stores as one, and say which segments the join leaves out.

    Args:
        places: where the stores lie.
        tap: of each store, by comma; one for all; None where each has one.
        others: how many stand beside a person, of a store of persons.

    Raises:
        RequestError: no such tap, stores that do not join, or a store of windows.
        StoreError: a store cannot be read, or the stores disagree on their segments.
    """
    taps = [name.strip() for name in tap.split(",")] if tap else []
    opened = open_stores(listed(places), taps, others=others)
    tell_left_out(opened)
    return opened


def listed(places: Places | None) -> list[Path]:
    """Return one place, several or none as a list."""
    if places is None:
        return []
    return [places] if isinstance(places, Path) else list(places)


def tell_left_out(rows: Rows) -> None:
    """Say how many segments of joined stores do not stand in all of them, if any."""
    if any(rows.left_out):
        pairs = zip(rows.left_out, rows.stores, strict=True)
        left_out = ", ".join(f"{count} of {one.path}" for count, one in pairs)
        console.note(f"{len(rows)} segments are in all stores; left out: {left_out}")


def choose_targets(store: Rows, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return the targets to train: those wanted, else those that the data set's benchmark judges.

    Where it has none, verb and noun, else all that are labelled.

    Raises:
        RequestError: a target that the store has no labels for.
    """
    labelled = tuple(t for t, values in store.labels.items() if is_labelled(values).any())
    if not labelled:
        raise RequestError(f"store {store.path} {store.unlabelled}")
    for target in wanted:
        if target not in labelled:
            raise RequestError(
                f"store {store.path} has no labels for target '{target}': "
                f"it has {', '.join(labelled)}"
            )
    if wanted:
        return wanted
    for usual in (store.benchmark, ("verb", "noun")):
        if usual and set(usual) <= set(labelled):
            return usual
    return labelled


def is_labelled(labels: Labels) -> NDArray[np.bool_]:
    """Which rows have a label of a target, or a class where they may have several, `[rows]`."""
    return np.any(labels, axis=1) if labels.ndim == 2 else np.greater_equal(labels, 0)


def split_names(store: Rows) -> str:
    """The splits that the rows of a store have, for a sentence."""
    return ", ".join(sorted(set(map(str, store.splits)))) or "none"


def labelled_rows(store: Rows, split: str, targets: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the rows of a split that have a label for one of the targets at least.

    Of persons, those with an annotated box, whatever they do.

    Raises:
        RequestError: there are none; the message names the splits that there are.
    """
    rows = store.rows(split)
    if any(is_labelled(store.labels[target][rows]).any() for target in targets):
        return rows[store.teaching(targets)[rows]]
    names = split_names(store)
    if store.unit == "persons":
        raise RequestError(
            f"split '{split}' of store {store.path}, whose splits are {names}, {store.unlabelled}"
        )
    if not len(rows):
        raise RequestError(
            f"split '{split}' of store {store.path} has no labelled segments: its splits are "
            f"{names}; choose with `train_split` and `val_split`, or extract that split; where "
            "there is none to validate on, `val_from_train` 0.1 makes one, or `resplit` in the "
            "manifest"
        )
    raise RequestError(
        f"split '{split}' of store {store.path} has no segments with a label for "
        f"{_named(targets)}: its splits are {names}; choose with `train_split` and `val_split`, or "
        "other targets with `targets`"
    )


def check_taught(
    store: Rows, rows: NDArray[np.int64], split: str, targets: tuple[str, ...]
) -> None:
    """Refuse a target that no row to learn from has a label for.

    Raises:
        RequestError: it is named, and those that can be learnt.
    """
    lacking = tuple(t for t in targets if not is_labelled(store.labels[t][rows]).any())
    if lacking:
        taught = [target for target in targets if target not in lacking]
        raise RequestError(
            f"split '{split}' of store {store.path} has no label for {_named(lacking)}, and "
            f"nothing can be learned from it: choose `targets` {','.join(taught)}, or another "
            "split with `train_split`"
        )


def _named(targets: tuple[str, ...]) -> str:
    return f"target{'s' if len(targets) > 1 else ''} {' or '.join(map(repr, targets))}"


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
            return f"{counted(self.there, self.unit)} of {self.split}"
        have = "has" if self.missing == 1 else "have"
        return (
            f"{self.there:,} of {counted(self.of_split, self.unit)} of {self.split}; "
            f"{self.missing:,} {have} no features"
        )


def coverage(rows: Rows, split: str) -> Coverage:
    """Compare the rows of a split with all that the data set has of it."""
    there, of_split = rows.covered(split)
    return Coverage(split=split, there=there, of_split=of_split, unit=rows.counted)

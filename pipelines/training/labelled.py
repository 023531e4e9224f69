"""What a head learns from: stores opened as one, the targets, the rows that are labelled."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import RequestError
from egofeat.heads.training.losses import Labels
from egofeat.pipelines.training.run import LabelledRows, Places, as_rows, listed, tell_left_out
from egofeat.store import FeatureStore
from egofeat.store.reading.joined import open_stores
from egofeat.store.reading.persons import PersonRows


def open_labelled(
    places: Places, tap: str | None, options: Mapping[str, Any] | None = None
) -> LabelledRows:
    """Open the store, or the stores as one, and say which segments the join leaves out.

    A store of persons is opened as rows of persons.

    Args:
        places: where the stores lie.
        tap: of each store, by comma; one for all; None where each has one.
        options: the head's, of which `others` is how many stand beside a person.

    Raises:
        RequestError: no such tap, stores that do not join, or a store of windows.
        StoreError: a store cannot be read, or the stores disagree on their segments.
    """
    taps = [name.strip() for name in tap.split(",")] if tap else []
    opened = open_stores(listed(places), taps)
    for store in [opened] if isinstance(opened, FeatureStore) else opened.stores:
        if store.flat and not store.recipe.of_persons:
            raise RequestError(
                f"{store.path} holds windows over whole videos, and a head learns from labelled "
                "segments: extract those, without --windows"
            )
    tell_left_out(opened)
    return as_rows(opened, {"options": options or {}})


def choose_targets(store: LabelledRows, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return the targets to train: those wanted, else those that the data set's benchmark judges.

    Where it has none, verb and noun, else all that are labelled.

    Raises:
        RequestError: a target that the store has no labels for.
    """
    labelled = tuple(t for t, values in store.labels.items() if is_labelled(values).any())
    if not labelled and isinstance(store, PersonRows):
        raise _no_persons(f"store {store.path}")
    if not labelled:
        raise RequestError(
            f"store {store.path} has no labels: run egofeat extract again with a manifest that "
            "gives them (features are kept)"
        )
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


def split_names(store: LabelledRows) -> str:
    """The splits that the rows of a store have, for a sentence."""
    return ", ".join(sorted(set(map(str, store.splits)))) or "none"


def labelled_rows(store: LabelledRows, split: str, targets: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the rows of a split that have a label for one of the targets at least.

    Of persons, those with an annotated box, whatever they do.

    Raises:
        RequestError: there are none; the message names the splits that there are.
    """
    rows = store.rows(split)
    labelled = np.any([is_labelled(store.labels[target][rows]) for target in targets], axis=0)
    if labelled.any():
        return rows[store.annotated[rows] if isinstance(store, PersonRows) else labelled]
    names = split_names(store)
    if isinstance(store, PersonRows):
        raise _no_persons(f"split '{split}' of store {store.path}, whose splits are {names},")
    if not len(rows):
        raise RequestError(
            f"split '{split}' of store {store.path} has no labelled segments: its splits are "
            f"{names}; choose with --train-split and --val-split, or extract that split; where "
            "there is none to validate on, --val-from-train 0.1 makes one, or `resplit` in the "
            "manifest"
        )
    raise RequestError(
        f"split '{split}' of store {store.path} has no segments with a label for "
        f"{_named(targets)}: its splits are {names}; choose with --train-split and --val-split, or "
        "other targets with --target"
    )


def check_taught(
    store: LabelledRows, rows: NDArray[np.int64], split: str, targets: tuple[str, ...]
) -> None:
    """Refuse a target that no row to learn from has a label for.

    Raises:
        RequestError: it is named, and those that can be learnt.
    """
    taught = [target for target in targets if is_labelled(store.labels[target][rows]).any()]
    lacking = tuple(target for target in targets if target not in taught)
    if lacking:
        raise RequestError(
            f"split '{split}' of store {store.path} has no label for {_named(lacking)}, and "
            f"nothing can be learnt of it: choose --target {','.join(taught)}, or another split "
            "with --train-split"
        )


def _named(targets: tuple[str, ...]) -> str:
    return f"target{'s' if len(targets) > 1 else ''} {' or '.join(map(repr, targets))}"


def _no_persons(where: str) -> RequestError:
    return RequestError(
        f"{where} has no annotated persons that do anything, and heads learn from these: make a "
        "store of them with egofeat roi --boxes annotated (one of detected persons is for "
        "evaluation), or choose splits with --train-split and --val-split"
    )

"""What a head learns from: stores opened as one, the targets, the rows that are labelled."""

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import RequestError
from egofeat.pipelines.run import LabelledStore, Places, listed, tell_left_out
from egofeat.store import FeatureStore
from egofeat.store.joined import open_stores


def open_labelled(places: Places, tap: str | None) -> LabelledStore:
    """Open the store, or the stores as one, and say which segments the join leaves out.

    Args:
        places: where the stores lie.
        tap: of each store, by comma; one for all; None where each has one.

    Raises:
        RequestError: no such tap, stores that do not join, or a store of windows.
        StoreError: a store cannot be read, or the stores disagree on their segments.
    """
    taps = [name.strip() for name in tap.split(",")] if tap else []
    opened = open_stores(listed(places), taps)
    for store in [opened] if isinstance(opened, FeatureStore) else opened.stores:
        if store.flat:
            raise RequestError(
                f"{store.path} holds windows over whole videos, and a head learns from labelled "
                "segments: extract those, without --windows"
            )
    tell_left_out(opened)
    return opened


def choose_targets(store: LabelledStore, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return the targets to train: those wanted, else verb and noun, else all that are labelled.

    Raises:
        RequestError: a target that the store has no labels for.
    """
    labelled = tuple(target for target, values in store.labels.items() if (values >= 0).any())
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
    return ("verb", "noun") if {"verb", "noun"} <= set(labelled) else labelled


def labelled_rows(store: LabelledStore, split: str, targets: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the rows of a split that have a label for one of the targets at least.

    Raises:
        RequestError: there are none; the message names the splits that there are.
    """
    rows = store.rows(split)
    labelled = np.any([store.labels[target][rows] >= 0 for target in targets], axis=0)
    if not labelled.any():
        names = ", ".join(sorted(set(map(str, store.splits)))) or "none"
        raise RequestError(
            f"split '{split}' of store {store.path} has no labelled segments: its splits are "
            f"{names}; choose with --train-split and --val-split, or extract that split"
        )
    return rows[labelled]

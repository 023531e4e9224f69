"""Other splits than the store has, in the open store alone: the folder stays as it is.

Another of the published splits, or a validation part for a data set that has none, which is whole
groups of its training split.
"""

import hashlib
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import RequestError
from egofeat.store import FeatureStore
from egofeat.store.reading.joined import JoinedStore
from egofeat.store.reading.persons import PersonRows


def choose_published(store: FeatureStore | JoinedStore | PersonRows, name: str) -> None:
    """Give every row its split by another of the data set's published splits.

    Raises:
        RequestError: the data set has no published split of that name.
    """
    published = {} if isinstance(store, PersonRows) else store.published
    if name not in published:
        known = f"it has {', '.join(published)}" if published else "it knows one alone"
        raise RequestError(
            f"store {store.path} has no published split '{name}': {known}; where the manifest has "
            "more, run egofeat extract again (features are kept)"
        )
    store.splits = published[name]


def choose_groups(
    store: FeatureStore | JoinedStore, rows: NDArray[np.int64], share: float, seed: int
) -> list[str]:
    """Choose about a fraction of the groups of some rows: round(share·n) of n, one at least.

    Segments of a session share its group; a segment without one goes with those of its video.
    The order is that of the sha256 of seed and name: the same on every machine.

    Args:
        store: whose groups.
        rows: of the split that is divided.
        share: in (0, 1), of the groups.
        seed: another one chooses others.

    Returns:
        Their names, sorted.

    Raises:
        RequestError: there is nothing left to train on.
    """
    names = {str(name) for name in groups_of(store)[rows]}
    count = max(1, round(share * len(names)))
    if count >= len(names):
        raise RequestError(
            f"--val-from-train {share:g} takes {count} of {len(names)} groups of store "
            f"{store.path} and leaves nothing to train on: give a smaller part, or a manifest "
            "whose groups tell more segments apart"
        )
    ranked = sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    return sorted(ranked[:count])


def set_aside(
    store: FeatureStore | JoinedStore, groups: Collection[str], train_split: str, val_split: str
) -> None:
    """Give the segments of some groups the validation split, in the open store alone.

    Args:
        store: whose `splits` change; the folder stays as it is.
        groups: names, of which no segment trains any more.
        train_split: whose segments move.
        val_split: where to.

    Raises:
        RequestError: the store has that split already.
    """
    if len(store.rows(val_split)):
        raise RequestError(
            f"store {store.path} has a split '{val_split}' of its own: leave --val-from-train out, "
            "or name another with --val-split"
        )
    moved = (store.splits == train_split) & np.isin(groups_of(store), sorted(groups))
    store.splits = np.where(moved, val_split, store.splits)


def groups_of(store: FeatureStore | JoinedStore) -> NDArray[np.str_]:
    """Return the group of each row, `[rows]`; its video where it has none."""
    first = store.stores[0] if isinstance(store, JoinedStore) else store
    video_of = dict(zip(first.ids, first.videos, strict=True))
    videos = np.array([video_of[id_] for id_ in store.ids], dtype=np.str_)
    return np.where(store.groups == "", videos, store.groups)

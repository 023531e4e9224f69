"""Other splits than a store's own, for rows in memory: the store stays as it is.

Another of the published splits, or a validation part for a data set that has none: whole groups
of its training split.
"""

import hashlib
from collections.abc import Collection
from functools import partial

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import RequestError
from egofeat.pipelines.training.run_config import Splits
from egofeat.store import Rows, Table


def divide(rows: Rows, splits: Splits) -> Rows:
    """Divide rows as a run does.

    Raises:
        RequestError: the data set has no such published split, or a validation split of its own.
    """
    if splits.published is not None:
        rows = by_published(rows, splits.published)
    if splits.val_groups:
        rows = hold_out(rows, splits.val_groups, splits.train, splits.val)
    return rows


def by_published(rows: Rows, name: str) -> Rows:
    """Split rows by another of the data set's published splits.

    Raises:
        RequestError: the data set has no published split of that name.
    """
    if name not in rows.published:
        known = f"it has {', '.join(rows.published)}" if rows.published else "it knows one alone"
        raise RequestError(
            f"store {rows.path} has no published split '{name}': {known}; where the manifest has "
            "more, run egofeat extract again (features are kept)"
        )
    return rows.divided(partial(_published, name=name))


def _published(table: Table, name: str) -> Table:
    return table.split_by(table.published[name])


def choose_groups(rows: Rows, chosen: NDArray[np.int64], share: float, seed: int) -> list[str]:
    """Choose about a fraction of the groups of some rows: round(share·n) of n, one at least.

    Segments of a session share its group; a segment without one goes with those of its video.
    The order is that of the sha256 of seed and name: the same on every machine.

    Args:
        rows: whose groups.
        chosen: [n] rows of the split that is divided.
        share: in (0, 1), of the groups.
        seed: another one chooses others.

    Returns:
        Their names, sorted.

    Raises:
        RequestError: there is nothing left to train on.
    """
    names = set(rows.table.sessions[chosen].tolist())
    count = max(1, round(share * len(names)))
    if count >= len(names):
        raise RequestError(
            f"`val_from_train` {share:g} takes {count} of {len(names)} groups of store "
            f"{rows.path} and leaves nothing to train on: give a smaller part, or a manifest "
            "that has more groups"
        )
    ranked = sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    return sorted(ranked[:count])


def hold_out(rows: Rows, groups: Collection[str], train_split: str, val_split: str) -> Rows:
    """Give the training segments of some groups the validation split.

    Raises:
        RequestError: the rows have that split already.
    """
    if len(rows.rows(val_split)):
        raise RequestError(
            f"store {rows.path} has a split '{val_split}' of its own: leave `val_from_train` out, "
            "or name another with `val_split`"
        )
    return rows.divided(
        partial(_held_out, groups=sorted(groups), train_split=train_split, val_split=val_split)
    )


def _held_out(table: Table, groups: list[str], train_split: str, val_split: str) -> Table:
    moved = (table.splits == train_split) & np.isin(table.sessions, groups)
    return table.split_by(np.where(moved, val_split, table.splits))

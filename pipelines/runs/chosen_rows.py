"""Fewer rows to train and to validate on: those of some groups, videos or classes, or a part.

Rows that are left out are of no split, here and wherever the run is read again; those of other
splits stay.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import RequestError
from egofeat.pipelines.runs.config import Splits
from egofeat.store import Rows, Table
from egofeat.words import nearest

_COLUMNS = ("group", "video")


def keep_where(rows: Rows, splits: Splits) -> Rows:
    """Keep the training and validation rows that `splits.where` names: each `KEY=VALUE`.

    Several values of one key are alternatives, several keys must all hold.

    Raises:
        RequestError: there is no such key or name, or nothing is left of a split.
    """
    wanted: dict[str, list[str]] = defaultdict(list)
    for condition in splits.where:
        key, pattern = _known(rows, condition)
        wanted[key].append(pattern)

    def kept(table: Table) -> Table:
        fits = np.logical_and.reduce([_fits(table, *one) for one in wanted.items()])
        leaves = np.isin(table.splits, (splits.train, splits.val)) & ~fits
        return table.split_by(np.where(leaves, "", table.splits))

    chosen = rows.divided(kept)
    for split in (splits.train, splits.val):
        if len(rows.rows(split)) and not len(chosen.rows(split)):
            raise RequestError(
                f"`where` {', '.join(splits.where)} leaves nothing of split '{split}' of store "
                f"{rows.path}: choose more, or another split"
            )
    return chosen


def _known(rows: Rows, condition: str) -> tuple[str, str]:
    """`KEY=VALUE` to the two, where the key is known and some name of it fits the value.

    Raises:
        RequestError: there is no such key, or no name.
    """
    key, equals, pattern = condition.partition("=")
    # Persons of a key frame do different things, and a key frame is judged whole.
    keys = [*_COLUMNS, *(() if rows.unit == "persons" else rows.classes)]
    if key not in keys or not equals:
        raise RequestError(
            f"`where` {condition} chooses nothing that store {rows.path} has: give KEY=VALUE, "
            f"where KEY is {' or '.join(keys)}"
        )
    names = _names(rows.table, key)
    if not _fitting(names, [pattern]):
        raise RequestError(
            f"`where` {condition} fits nothing in store {rows.path}: {nearest(pattern, names)}"
        )
    return key, pattern


def _names(table: Table, key: str) -> Sequence[str]:
    if key not in _COLUMNS:
        return table.classes[key]
    return sorted(set(_column(table, key).tolist()))


def _column(table: Table, key: str) -> NDArray[np.str_]:
    return table.groups if key == "group" else table.videos


def _fits(table: Table, key: str, patterns: Collection[str]) -> NDArray[np.bool_]:
    """Which rows have one of some names, or one that a pattern fits, `[rows]`."""
    fitting = _fitting(_names(table, key), patterns)
    if key in _COLUMNS:
        return np.isin(_column(table, key), list(fitting))
    return np.isin(table.labels[key], list(fitting.values()))


def _fitting(names: Sequence[str], patterns: Collection[str]) -> Mapping[str, int]:
    """Name to place of those that are named, or that a shell's pattern fits."""
    return {
        name: place
        for place, name in enumerate(names)
        if any(name == one or fnmatchcase(name, one) for one in patterns)
    }


def thin_out(rows: Rows, splits: Splits, seed: int) -> Rows:
    """Keep `splits.train_fraction` of the training rows: round(f·n) of n, one at least.

    Whole rows, whatever group they are of; of persons, whole key frames. The order is that of the
    sha256 of seed and id, so that a smaller part is of a larger one, on every machine.

    Args:
        rows: divided already.
        splits: how.
        seed: another one keeps others.
    """

    def ranks(ids: NDArray[np.str_]) -> NDArray[np.str_]:
        digests = [hashlib.sha256(f"{seed}:{id_}".encode()).hexdigest() for id_ in ids.tolist()]
        return np.array(digests, "U64")

    ordered = np.sort(ranks(np.unique(rows.ids[rows.rows(splits.train)])))
    if not len(ordered):
        return rows
    last = ordered[max(1, round(splits.train_fraction * len(ordered))) - 1]

    def thinned(table: Table) -> Table:
        leaves = (table.splits == splits.train) & (ranks(table.ids) > last)
        return table.split_by(np.where(leaves, "", table.splits))

    return rows.divided(thinned)

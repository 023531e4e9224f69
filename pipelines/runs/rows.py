"""The rows that a run reads: its stores, where they lie now, divided as the run divides them.

Other splits than a store's own are for rows in memory, and the store stays as it is: another of the
published splits, a validation part for a data set that has none, whole groups of its training
split, or fewer rows.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import RequestError, StoreError
from egofeat.pipelines.runs import Places
from egofeat.pipelines.runs.chosen_rows import keep_where, thin_out
from egofeat.pipelines.runs.config import Source, Splits
from egofeat.pipelines.runs.run import Run
from egofeat.pipelines.runs.targets import listed, tell_left_out
from egofeat.store import FeatureStore, Rows, Table, join, open_store

Check = Callable[[Run, Source, FeatureStore], None]
"""Refuses a store that cannot stand for the one that a run was trained on."""


def open_run_store(run: Run, store: Places | None = None, check: Check | None = None) -> Rows:
    """Open the store of segments that a run was trained on, or another place where it lies now.

    As `open_run_rows`, but of segments alone.

    Raises:
        RequestError: another number of places than the run has stores, or it reads persons.
        StoreError: as `open_run_rows`.
    """
    refuse_persons(run)
    return open_run_rows(run, store, check)


def refuse_persons(run: Run) -> None:
    """Refuse a run on persons where segments, or whole videos, are to be seen.

    Raises:
        RequestError: it reads persons.
    """
    if run.config.of_persons:
        raise RequestError(
            f"run {run.path} reads persons of key frames, and this is for runs on segments: name "
            "one of those, or use egofeat evaluate or annotate"
        )


def open_run_rows(run: Run, store: Places | None = None, check: Check | None = None) -> Rows:
    """Open what a run was trained on, segments or persons, or another place where it lies now.

    The persons may be others than those that it was trained on, as a detector's are: their features
    must be made in the same way.

    Args:
        run: the run.
        store: where the store lies; of a run on several, each in the order of the config.
        check: refuses a store; None takes those of the same features alone.

    Raises:
        RequestError: another number of places than the run has stores, or a store whose features
            were made by another recipe.
        StoreError: it is absent, or its classes are no longer those that the head tells apart.
    """
    sources = run.config.sources
    places = listed(store) or [Path(source.store) for source in sources]
    if len(places) != len(sources):
        raise RequestError(
            f"run {run.path} was trained on {len(sources)} stores and {len(places)} are named: "
            "give `store` once for each, in the order of its config.yaml"
        )
    stores = []
    for source, place in zip(sources, places, strict=True):
        stores.append(open_store(place, source.tap))
        (check or _check_features)(run, source, stores[-1])
    rows = join(stores, others=int(run.config.options.get("others") or 0))
    tell_left_out(rows)
    rows = divide(rows, run.config.splits, run.config.trainer.seed)
    _check_classes(run, rows)
    return rows


def _check_features(run: Run, source: Source, store: FeatureStore) -> None:
    here, own = (recipe.only(source.tap) for recipe in (store.recipe, source.recipe))
    # Of persons, whoever else was looked at, and whatever other taps the store has.
    if store.digest == source.digest or (own.of_persons and here.of_boxes(own.boxes) == own):
        return
    raise RequestError(
        f"store {store.path} ({store.digest[:8]}) holds other features than run {run.path} was "
        f"trained on ({source.digest[:8]}): name the store of those with `store`, or fit the head "
        "again on this one"
    )


def _check_classes(run: Run, rows: Rows) -> None:
    for target, names in run.config.classes.items():
        if tuple(rows.classes.get(target, ())) != names:
            raise StoreError(
                f"the classes of target '{target}' in store {rows.path} are no longer those "
                f"that run {run.path} was trained on: fit the head again, or list the old classes "
                "in the manifest and run egofeat extract (features are kept)"
            )


def divide(rows: Rows, splits: Splits, seed: int) -> Rows:
    """Divide rows as a run does.

    Args:
        rows: as their stores have them.
        splits: of the run.
        seed: of its trainer, which draws a part of the training rows.

    Raises:
        RequestError: the data set has no such published split, or a validation split of its own, or
            nothing of what is to be kept.
    """
    if splits.published is not None:
        rows = _by_published(rows, splits.published)
    if splits.where:
        rows = keep_where(rows, splits)
    if splits.val_groups:
        rows = _hold_out(rows, splits)
    return thin_out(rows, splits, seed) if splits.train_fraction < 1 else rows


def _by_published(rows: Rows, name: str) -> Rows:
    if name not in rows.published:
        known = f"it has {', '.join(rows.published)}" if rows.published else "it knows one alone"
        raise RequestError(
            f"store {rows.path} has no published split '{name}': {known}; where the manifest has "
            "more, run egofeat extract again (features are kept)"
        )
    return rows.divided(lambda table: table.split_by(table.published[name]))


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


def _hold_out(rows: Rows, splits: Splits) -> Rows:
    """Give the training segments of some groups the validation split."""
    if len(rows.rows(splits.val)):
        raise RequestError(
            f"store {rows.path} has a split '{splits.val}' of its own: leave `val_from_train` out, "
            "or name another with `val_split`"
        )

    def held_out(table: Table) -> Table:
        moved = (table.splits == splits.train) & np.isin(table.sessions, splits.val_groups)
        return table.split_by(np.where(moved, splits.val, table.splits))

    return rows.divided(held_out)

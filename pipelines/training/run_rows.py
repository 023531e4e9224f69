"""The rows that a run reads: its stores, where they lie now, divided as the run divides them."""

from collections.abc import Callable
from pathlib import Path

from egofeat.errors import RequestError, StoreError
from egofeat.pipelines.training.options import Places
from egofeat.pipelines.training.run import Run
from egofeat.pipelines.training.run_config import Source
from egofeat.pipelines.training.splits import divide
from egofeat.pipelines.training.targets import listed, tell_left_out
from egofeat.store import FeatureStore, Rows, join, open_store

Check = Callable[[Run, Source, FeatureStore], None]
"""Refuses a store that cannot stand for the one that a run was trained on."""


def open_run_store(run: Run, store: Places | None = None, check: Check | None = None) -> Rows:
    """Open the store of segments that a run was trained on, or another place where it lies now.

    Args:
        run: the run.
        store: where the store lies; of a run on several, each in the order of the config.
        check: refuses a store; None takes those of the same features alone.

    Raises:
        RequestError: another number of places than the run has stores, or it reads persons.
        StoreError: it is absent, its features were made by another recipe, or its classes
            are no longer those that the head tells apart.
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
        RequestError: another number of places than the run has stores.
        StoreError: it is absent, its features were made by another recipe, or its classes
            are no longer those that the head tells apart.
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
    rows = divide(rows, run.config.splits)
    _check_classes(run, rows)
    return rows


def _check_features(run: Run, source: Source, store: FeatureStore) -> None:
    here, own = (recipe.only(source.tap) for recipe in (store.recipe, source.recipe))
    # Of persons, whoever else was looked at, and whatever other taps the store has.
    if store.digest == source.digest or (own.of_persons and here.of_boxes(own.boxes) == own):
        return
    raise StoreError(
        f"store {store.path} ({store.digest[:8]}) holds other features than run {run.path} was "
        f"trained on ({source.digest[:8]}): name that store with `store`, or fit the head again on "
        "this one"
    )


def _check_classes(run: Run, rows: Rows) -> None:
    for target, names in run.config.classes.items():
        if tuple(rows.classes.get(target, ())) != names:
            raise StoreError(
                f"the classes of target '{target}' in store {rows.path} are no longer those "
                f"that run {run.path} was trained on: fit the head again, or list the old classes "
                "in the manifest and run egofeat extract (features are kept)"
            )

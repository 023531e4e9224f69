"""Stores of one data set as one: their segments joined, each store's features as they are."""

from collections.abc import Sequence
from pathlib import Path

from egofeat.errors import RequestError, StoreError
from egofeat.store.reading.features import Aligned, Rows
from egofeat.store.reading.opening import open_store
from egofeat.store.reading.persons import PersonRows
from egofeat.store.reading.stores import FeatureStore, PersonStore, SegmentStore
from egofeat.store.table import intersect


def open_stores(paths: Sequence[Path | str], taps: Sequence[str] = (), *, others: int = 0) -> Rows:
    """Open what heads read: one store, or several of one data set joined by segment.

    Args:
        paths: each a store's folder, or one that holds exactly one store.
        taps: one for all stores, or one a store; none where each store has one tap.
        others: of a store of persons, how many of the same key frame stand beside each.

    Raises:
        StoreError: a store is absent or damaged, or the stores disagree on their segments.
        RequestError: no such tap, a store of windows, or stores that have nothing to join.
    """
    if len(taps) not in (0, 1, len(paths)):
        raise RequestError(
            f"{len(taps)} taps are named for {len(paths)} stores ({', '.join(taps)}): "
            "name one for all, or one a store"
        )
    named: list[str | None] = [*taps] or [None]
    of_each = named * len(paths) if len(named) == 1 else named
    stores = [open_store(path, tap) for path, tap in zip(paths, of_each, strict=True)]
    return join(stores, others=others)


def open_persons(path: Path | str, tap: str | None = None, *, others: int = 0) -> PersonRows:
    """Open one tap of a store of persons for heads.

    Args:
        path: the store's folder, or one that holds exactly one store up to two folders below.
        tap: name of the tap; it may be left out when the store has one.
        others: how many other persons of the same key frame stand beside each.

    Raises:
        StoreError: there is no store, or a damaged one.
        RequestError: there are several stores, or several taps and none named; no such tap; or
            the store's rows are not persons.
    """
    return PersonRows(open_store(path, tap).of_kind(PersonStore), others)


def join(stores: Sequence[FeatureStore], *, others: int = 0) -> Rows:
    """Rows that stand in every store, in the order of the first; of persons, a row a person.

    Raises:
        StoreError: the stores disagree on their segments.
        RequestError: a store holds windows, or the stores have nothing to join.
    """
    persons = [store for store in stores if isinstance(store, PersonStore)]
    if persons and len(stores) == 1:
        return PersonRows(persons[0], others)
    if persons:
        raise RequestError(
            f"{persons[0].path} holds persons of key frames, and these are not joined: name one "
            "store"
        )
    segments = [store.of_kind(SegmentStore) for store in stores]
    first = segments[0]
    if len(segments) == 1:
        return Rows(first.table, segments, segments)
    _refuse_strangers(segments)
    tables = [store.table for store in segments]
    places = intersect(tables)
    common = [table.take(rows) for table, rows in zip(tables, places, strict=True)]
    if not len(common[0]):
        raise RequestError(
            f"no segment is in all of {' + '.join(str(store.path) for store in segments)}: "
            "extract the same splits into each, from the same manifest"
        )
    for store, table in zip(segments, common, strict=True):
        if what := common[0].disagreement(table):
            raise StoreError(
                f"{first.path} and {store.path} disagree on the {what} of their segments: "
                "run `egofeat extract` again for both with one manifest (features are kept)"
            )
    parts = [Aligned(store, rows) for store, rows in zip(segments, places, strict=True)]
    left_out = [len(table) - len(common[0]) for table in tables]
    return Rows(common[0], segments, parts, left_out)


def _refuse_strangers(stores: Sequence[SegmentStore]) -> None:
    """Refuse stores of another data set than the first's, and the same features twice."""
    seen = set()
    for store in stores:
        if store.dataset != stores[0].dataset:
            raise RequestError(
                f"{stores[0].path} is of data set {stores[0].dataset} and {store.path} of "
                f"{store.dataset}: join stores of one data set"
            )
        if (store.digest, store.tap) in seen:
            raise RequestError(
                f"tap {store.tap} of store {store.path} is named twice: name it once"
            )
        seen.add((store.digest, store.tap))

"""Finding a store, and the tap of it that is meant."""

from pathlib import Path

from egofeat.errors import RequestError, StoreError
from egofeat.store.description import Description, find_stores
from egofeat.store.reader import FeatureStore


def open_store(path: Path | str, tap: str | None = None) -> FeatureStore:
    """Open one tap of a feature store for reading.

    Args:
        path: the store's folder, or one that holds exactly one store up to two folders below.
        tap: name of the tap; it may be left out when the store has one.

    Raises:
        StoreError: there is no store, or a damaged one.
        RequestError: there are several stores, or several taps and none named; or no such tap.
    """
    found = find_stores(Path(path))
    if not found:
        raise _no_store(Path(path))
    if len(found) > 1:
        names = ", ".join(str(store) for store in found)
        raise RequestError(f"{path} holds several feature stores, name one of them: {names}")
    description = Description.read(found[0])
    taps = description.recipe.taps
    if tap is None and len(taps) > 1:
        raise RequestError(f"{found[0]} has several taps, name one of them: {', '.join(taps)}")
    chosen = next(iter(taps)) if tap is None else tap
    if chosen not in taps:
        raise RequestError(f"{found[0]} has no tap {chosen!r}, it has {', '.join(taps)}")
    return FeatureStore(found[0], description, chosen)


def _no_store(path: Path) -> StoreError:
    if aside := find_stores(path, superseded=True):
        names = ", ".join(str(store) for store in aside)
        return StoreError(f"{path} holds superseded stores only, name one of them: {names}")
    return StoreError(f"there is no feature store at {path}: make one with `egofeat extract`")

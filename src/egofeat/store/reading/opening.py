"""Finding a store, and the tap of it that is meant."""

from collections.abc import Sequence
from pathlib import Path

from egofeat.errors import NoStoreError, RequestError
from egofeat.recipe import Recipe
from egofeat.store.description import NAME, Description, find_stores
from egofeat.store.reading.stores import FeatureStore, PersonStore, SegmentStore, WindowStore

_DEEPEST = 6
"""Folders below one in which stores are looked for, to say where they are."""
_SHOWN = 10
"""Stores that a sentence names."""


def open_store(path: Path | str, tap: str | None = None) -> FeatureStore:
    """Open one tap of a feature store for reading: segments, windows or persons.

    Args:
        path: the store's folder, or one that holds exactly one store up to two folders below.
        tap: name of the tap; it may be left out when the store has one.

    Raises:
        NoStoreError: there is no store.
        StoreError: it is damaged.
        RequestError: there are several stores, or several taps and none named; or no such tap.
    """
    store = find_store(path)
    description = Description.read(store)
    taps = description.recipe.taps
    if tap is None and len(taps) > 1:
        raise RequestError(f"{store} has several taps, name one of them: {', '.join(taps)}")
    chosen = next(iter(taps)) if tap is None else tap
    if chosen not in taps:
        raise RequestError(f"{store} has no tap {chosen!r}, it has {', '.join(taps)}")
    return _kind_of(description.recipe)(store, description, chosen)


def _kind_of(recipe: Recipe) -> type[FeatureStore]:
    if recipe.of_persons:
        return PersonStore
    return WindowStore if recipe.flat else SegmentStore


def find_store(path: Path | str) -> Path:
    """Find the one store that is meant by a path.

    Args:
        path: the store's folder, or one that holds exactly one up to two folders below.

    Raises:
        NoStoreError: there is none; the message says what there is.
        RequestError: there are several.
    """
    root = Path(path)
    found = find_stores(root)
    if not found:
        raise NoStoreError(_no_store(root))
    if len(found) > 1:
        raise RequestError(f"{path} holds several feature stores, name one of them: {some(found)}")
    return found[0]


def find_deeper(root: Path) -> list[Path]:
    """Stores that lie further below a folder than `find_stores` looks, sorted."""
    patterns = ("*/" * depth + NAME for depth in range(3, _DEEPEST + 1))
    return sorted(path.parent for pattern in patterns for path in root.glob(pattern))


def some(paths: Sequence[Path]) -> str:
    """Name some paths, and how many more there are."""
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(map(str, paths[:_SHOWN])) + more


def _no_store(root: Path) -> str:
    if aside := find_stores(root, superseded=True):
        return f"{root} holds superseded stores only, name one of them: {some(aside)}"
    if deeper := find_deeper(root):
        return (
            f"there is no feature store at {root}; name one of those further below: {some(deeper)}"
        )
    return f"there is no feature store at {root}: make one with `egofeat extract`"

"""Everything that a reader of stores and runs returns, as digests that can be compared."""

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Digests = dict[str, str]


def read_stores(folder: Path) -> Digests:
    """Digest what each store below a folder gives: `<store>/<tap>/<id>` and `<store>/<tap>/…`.

    Raises:
        EgofeatError: a store is refused.
    """
    from egofeat.store.description import find_stores

    found: Digests = {}
    for path in find_stores(folder):
        found |= read_store(path)
    return found


def read_store(path: Path) -> Digests:
    """Digest rows, and each column and annotation by itself."""
    from egofeat.store import open_store
    from egofeat.store.description import Description

    found: Digests = {}
    for tap in Description.read(path).recipe.taps:
        store = open_store(path, tap)
        at = f"{path.name}/{tap}"
        times = _times(store)
        for number, id_ in enumerate(store.ids):
            row = [store[id_], times(number, id_), store.starts[number], store.stops[number]]
            said = [store.videos[number], store.splits[number], store.groups[number]]
            said += [str(store.clipped[number]), *(str(of[number]) for of in store.labels.values())]
            found[f"{at}/{id_}"] = _digest(*row, *said)
        beside: list[Any] = [
            store.dtype,
            store.row_shape,
            dict(store.classes),
            sorted(store.unseen),
        ]
        beside += [{target: sorted(labels) for target, labels in store.tail.items()}]
        if store.recipe.of_persons:
            beside += [store.boxes, store.scores]
        if store.has_gaze:
            beside += [store.gaze_points(store.rows())]
        found[f"{at} beside"] = _digest(*beside)
    return found


def _times(store: Any) -> Callable[[int, str], Any]:
    if not store.flat:
        return lambda number, _: store.times[number]
    return lambda _, id_: store.spans(id_)


def read_run(path: Path) -> Digests:
    """Digest what the files of a run say to who reads them with the usual libraries."""
    found: Digests = {}
    for file in sorted(path.iterdir()):
        if file.suffix in _READ:
            try:
                found[file.name] = _digest(*_READ[file.suffix](file))
            except Exception:  # whatever a library has to say: nothing was read
                found[file.name] = "refused"
    return found


def _arrays(file: Path) -> list[Any]:
    with np.load(file) as arrays:
        return [*arrays.files, *(arrays[name] for name in arrays.files)]


_READ: dict[str, Callable[[Path], list[Any]]] = {
    ".json": lambda file: [json.loads(file.read_text())],
    ".csv": lambda file: list(csv.reader(file.read_text().splitlines())),
    ".npz": _arrays,
}


def _digest(*parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray | np.generic):
            array = np.asarray(part)
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        else:
            digest.update(repr(part).encode())
    return digest.hexdigest()[:16]

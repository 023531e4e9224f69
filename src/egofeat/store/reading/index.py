"""What a store holds, opened: from its shards, or where they are many, from an index of them.

The index, `.index` in the store's folder, can be thrown away at any time. It keeps what the shards
said and what the manifest said of their segments, and by the stamps of their files how much of that
still holds: only shards that are new or changed are opened. Whoever reads a store writes it, if
the folder may be written to; one that does not fit is made anew.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from egofeat.recipe import Recipe
from egofeat.store.damage import MovedError
from egofeat.store.description import Description
from egofeat.store.files import remove_leftovers, temporary_path
from egofeat.store.formats.registry import format_of, is_shard
from egofeat.store.formats.shard import ShardFormat
from egofeat.store.reading.kept import NAME, Index, Kept, read_index, write_index
from egofeat.store.reading.packing import Packed
from egofeat.store.reading.selection import select
from egofeat.store.reading.shards import Opened, Shards
from egofeat.store.reading.stamps import NONE, TIMES, Listed, stamp_at
from egofeat.store.sidecar.segments import NAME as SEGMENTS_JSON
from egofeat.store.sidecar.segments import read_segments
from egofeat.store.table import Table

FEWEST = 64
"""Shards from which on there is an index: fewer are opened as quickly."""
_WORKER = "index"
_HERE = 1 << 62
"""Time of what this process has opened itself: shards are never written to, but replaced."""
_writing = threading.Lock()
"""Held while an index is written: threads of a process have one temporary name."""


def shards_of(store: Path, description: Description) -> Shards:
    """What the shards of a store say.

    Raises:
        StoreError: a shard is damaged.
    """
    form = format_of(store, description)
    listed = _listed(store, form)
    if len(listed.names) < FEWEST:
        return _opened(store, form, description.recipe)
    kept = read_index(store, description, listed, table=False)
    if kept and kept.holds(listed):
        return kept.shards
    kept = read_index(store, description, listed)
    # What was known of the manifest is not forgotten.
    return _anew(store, description, kept, joined=kept is not None and kept.index is not None)[0]


def index_of(store: Path, description: Description) -> Index:
    """What the shards of a store say, and the manifest of their segments.

    Raises:
        StoreError: a shard or segments.json is damaged.
    """
    form = format_of(store, description)
    listed = _listed(store, form)
    if len(listed.names) < FEWEST:
        return _joined(store, description, _opened(store, form, description.recipe))
    kept = read_index(store, description, listed)
    if kept and kept.index and kept.holds(listed) and kept.tells(stamp_at(store / SEGMENTS_JSON)):
        return kept.index
    index = _anew(store, description, kept, joined=True)[1]
    assert index is not None
    return index


def _anew(
    store: Path, description: Description, kept: Kept | None, *, joined: bool
) -> tuple[Shards, Index | None]:
    """Open what is new or changed, and write what is then known as the index."""
    form, recipe = format_of(store, description), description.recipe
    with _begun(store) as file:
        # A file's own time is the disk's, and older than all stamps that follow.
        taken = os.fstat(file.fileno()).st_ctime_ns if file else 0
        segments = stamp_at(store / SEGMENTS_JSON)
        shards = _opened(store, form, recipe, kept)
        index = _joined(store, description, shards) if joined else None
        if file:
            with contextlib.suppress(OSError), file:
                write_index(file, recipe, taken, segments, shards, index)
                file.flush()
                Path(file.name).replace(store / NAME)
    return shards, index


def _listed(store: Path, form: ShardFormat) -> Listed:
    return Listed.of(store / "shards", lambda name: is_shard(name, form), form.head)


def _opened(store: Path, form: ShardFormat, recipe: Recipe, kept: Kept | None = None) -> Shards:
    """Open the shards that there are, but for those of which the index holds.

    Where some are removed or replaced meanwhile, the store is listed again; none is opened twice.
    """
    folder = store / "shards"
    known = Shards.of(folder, form, recipe, ())
    moved: list[MovedError] = []

    def fresh(names: NDArray[np.str_], stamps: NDArray[np.int64]) -> Iterator[Opened]:
        for name, stamp in zip(names.tolist(), stamps, strict=True):
            try:
                yield form.open(folder / name), stamp
            except MovedError as error:
                moved.append(error)

    for _ in range(TIMES):
        moved.clear()
        listed = _listed(store, form)
        if kept:
            known = kept.shards.pick(kept.holding(listed))
        new = ~np.isin(listed.names, known.by_shard["name"])
        opened = Shards.of(folder, form, recipe, fresh(listed.names[new], listed.stamps[new]))
        shards = opened
        if kept:
            both = Shards.joined([known, opened])
            shards = both.pick(np.argsort(both.by_shard["name"], kind="stable"))
        if not moved:
            return shards
        kept = Kept(shards, taken=_HERE, segments=NONE, index=None)
    raise moved[-1]


def _joined(store: Path, description: Description, shards: Shards) -> Index:
    asked = read_segments(store)
    selection = select(shards, asked)
    of = dict(shards.by_segment)
    if len(selection.chosen) < len(of["id"]):  # else they are the same columns, written once
        of = {name: column[selection.chosen] for name, column in of.items()}
    none = np.full(len(of["id"]), "")
    table = Table(
        dataset=description.dataset,
        ids=of["id"],
        videos=of["video"],
        starts=of["start"],
        stops=of["stop"],
        splits=none,
        groups=none,
    )
    if asked is not None:
        known = {name: getattr(table, name) for name in ("ids", "videos", "starts", "stops")}
        table = replace(asked.take(selection.told), dataset=description.dataset, **known)
    order = Packed.of(np.argsort(table.ids, kind="stable"))
    return Index(shards, selection.chosen, len(selection.stale), table, order)


@contextlib.contextmanager
def _begun(store: Path) -> Iterator[BinaryIO | None]:
    """A file for a new index, removed again unless it was renamed.

    None where the folder cannot be written to, or another thread is at it.
    """
    temporary = temporary_path(store / NAME, _WORKER)
    with contextlib.ExitStack() as stack:
        file = None
        if not _writing.acquire(blocking=False):
            yield None
            return
        stack.callback(_writing.release)
        with contextlib.suppress(OSError):
            remove_leftovers(store, _WORKER)
            file = stack.enter_context(temporary.open("xb"))
            stack.callback(_remove, temporary)
        yield file


def _remove(temporary: Path) -> None:
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)

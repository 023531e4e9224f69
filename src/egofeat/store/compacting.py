"""Joining a store's small shards into larger ones; every feature stays as it is, bit for bit.

What is joined is published before what it was joined of is removed, so that a process killed at
any instant leaves each segment in one shard at least. Where it then stands in two, the bits are the
same, and the next time tidies up.
"""

import contextlib
import fcntl
import hashlib
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import RequestError
from egofeat.recipe import Recipe
from egofeat.store.damage import reading, writing
from egofeat.store.description import Description
from egofeat.store.files import remove, remove_leftovers, sync, temporary_path
from egofeat.store.formats.publishing import publish_shard
from egofeat.store.formats.registry import format_of, shard_paths
from egofeat.store.formats.shard import Content, Shard, ShardFormat, read_column
from egofeat.store.formats.soundness import faults_of
from egofeat.store.reading.index import shards_of
from egofeat.store.reading.opening import find_store
from egofeat.store.reading.shards import Shards
from egofeat.store.reading.stamps import stamp_at
from egofeat.store.rows import ShardRows
from egofeat.store.sidecar.segments import read_segments

TARGET = 32 << 20
"""Bytes of features that a joined shard has at most; what has half of them is left alone."""
_WORKER = "compact"


@dataclass
class _Group:
    """Shards that become one."""

    numbers: list[int] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    bytes: int = 0


def compact(path: Path) -> tuple[int, int]:
    """Join the small shards of a store.

    Args:
        path: the store's folder, or one that holds exactly one store up to two folders below.

    Returns:
        How many shards there were, and how many there are.

    Raises:
        RequestError: several stores are meant, another process is at it, or there is no
            segments.json.
        StoreError: the store is damaged, or the disk refuses.
    """
    store = find_store(path)
    description = Description.read(store)
    folder, form = store / "shards", format_of(store, description)
    with _alone(folder):
        remove_leftovers(folder, _WORKER)
        if read_segments(store) is None:
            raise RequestError(
                f"{store} has no segments.json, which says what of it counts: give the command "
                "that made the store again, which keeps the features"
            )
        before = len(shard_paths(store, description))
        shards = shards_of(store, description)
        counting = _counting(shards)
        published: set[Path] = set()
        for group in _groups(shards, counting, description.recipe):
            _join(shards, group, counting, form, description, published)
        return before, len(shard_paths(store, description))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Refuse to begin while another process of this machine compacts the store.

    Where the file system has no locks of folders, as NFS, two may be at it: that takes longer,
    and one may end with an error, but nothing is lost.
    """
    with writing(folder):
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RequestError(
                    f"{folder.parent} is being compacted: wait until that has ended"
                ) from None
        yield
    finally:
        os.close(descriptor)


def _counting(shards: Shards) -> NDArray[np.bool_]:
    """[segments] whether each one is the first of its kind, by the names of the shards."""
    first: dict[Any, int] = {}
    for number, key in enumerate(shards.keys):
        first.setdefault(key, number)
    counts = np.zeros(len(shards.by_segment["id"]), np.bool_)
    counts[list(first.values())] = True
    return counts


def _groups(shards: Shards, counting: NDArray[np.bool_], recipe: Recipe) -> Iterator[_Group]:
    """Small shards that were made alike, together; an id stands in a shard once."""
    row_bytes = sum(map(math.prod, recipe.taps.values())) * np.dtype(recipe.dtype).itemsize
    open_: dict[Any, _Group] = {}
    stops = np.cumsum(shards.by_shard["count"])
    alike = zip(shards.by_shard["made"].tolist(), shards.by_shard["stamps"].tolist(), strict=True)
    for number, (kind, stop) in enumerate(zip(alike, stops.tolist(), strict=True)):
        part = slice(stop - int(shards.by_shard["count"][number]), stop)
        own = counting[part]
        size = int(shards.by_segment["length"][part][own].sum()) * row_bytes
        if size >= TARGET // 2:
            continue
        ids = set(shards.by_segment["id"][part][own].tolist())
        group = open_.setdefault(kind, _Group())
        if group.bytes + size > TARGET or ids & group.ids or len(ids) < own.sum():
            yield group
            group = open_[kind] = _Group()
        group.numbers.append(number)
        group.ids |= ids
        group.bytes += size
    yield from open_.values()


def _join(
    shards: Shards,
    group: _Group,
    counting: NDArray[np.bool_],
    form: ShardFormat,
    description: Description,
    published: set[Path],
) -> None:
    """Publish the shard of a group, and then remove what it was joined of.

    Args:
        shards: all of the store.
        group: some of them.
        counting: [segments] those to keep.
        form: of the store.
        description: of the store.
        published: what was published before, which stays; what is published is added.
    """
    if len(group.numbers) == 1 and group.ids:
        return
    paths = [shards.path(number) for number in group.numbers]
    stamps = [stamp_at(path) for path in paths]
    if group.ids:
        starts = np.cumsum(shards.by_shard["count"]) - shards.by_shard["count"]
        parts = []
        for number, path in zip(group.numbers, paths, strict=True):
            part = slice(starts[number], starts[number] + shards.by_shard["count"][number])
            ids = shards.by_segment["id"][part].tolist()
            if counting[part].any():
                parts.append(_read(form, path, ids, counting[part], description.recipe))
        rows = _one(parts)
        made = int(shards.by_shard["made"][group.numbers[0]])
        content = Content.of(rows, shards.makers[made] if made >= 0 else {})
        joined = shards.folder / f"{_name(rows)}{form.suffix}"
        publish_shard(form, joined, content, description.compress, _WORKER)
        published.add(joined)
    with writing(shards.folder):
        for path, stamp in zip(paths, stamps, strict=True):
            # A time that was killed may have left a shard of the name that was published now. One
            # that was written anew meanwhile is not what was joined.
            if path not in published and stamp_at(path) == stamp:
                # A folder is not removed in one instant, but renamed in one.
                retired = temporary_path(path.with_name(f"old~{path.name}"), _WORKER)
                path.rename(retired)
                remove(retired)
        sync(shards.folder)


def _read(
    form: ShardFormat, path: Path, ids: list[str], counts: NDArray[np.bool_], recipe: Recipe
) -> ShardRows:
    """Read those segments of a shard that count, after comparing all of it with its checksums."""
    shard = form.open(path)
    with reading(path):
        if list(shard.ids) != ids:
            raise ValueError("it was changed while it was read")
        if shard.taps.keys() != recipe.taps.keys():
            raise ValueError(f"its taps are {', '.join(shard.taps)}")
        for tap, row_shape in recipe.taps.items():
            shard.tap(tap, row_shape, recipe.dtype)
        for _, fault in faults_of(shard, form):
            raise ValueError(fault)
    return _chosen(form, shard, counts, recipe)


def _chosen(
    form: ShardFormat, shard: Shard, counts: NDArray[np.bool_], recipe: Recipe
) -> ShardRows:
    lengths = np.ones(len(shard.ids), np.int64)
    if shard.offsets is not None:
        lengths = np.diff(shard.offsets)
    rows = np.repeat(counts, lengths)
    there = np.flatnonzero(counts).tolist()
    persons = {name: read_column(form, shard, name)[rows] for name in shard.person_columns}
    stamps = shard.media_stamps
    return ShardRows(
        ids=[shard.ids[number] for number in there],
        videos=[shard.videos[number] for number in there],
        starts=shard.starts[counts],
        stops=shard.stops[counts],
        clipped=shard.clipped[counts],
        times=read_column(form, shard, "times")[rows],
        taps={tap: form.read(shard.path, f"taps/{tap}", None)[rows] for tap in recipe.taps},
        offsets=None if shard.offsets is None else np.cumsum([0, *lengths[counts]]),
        boxes=persons.get("boxes"),
        scores=persons.get("scores"),
        media_stamps=None if stamps is None else stamps[counts],
    )


def _one(parts: list[ShardRows]) -> ShardRows:
    """Rows of several shards as those of one."""

    def joined(name: str) -> Any:
        columns = [getattr(part, name) for part in parts]
        return None if columns[0] is None else np.concatenate(columns)

    lengths = [np.diff(part.offsets) for part in parts if part.offsets is not None]
    return ShardRows(
        ids=[id_ for part in parts for id_ in part.ids],
        videos=[video for part in parts for video in part.videos],
        **{name: joined(name) for name in ("starts", "stops", "clipped", "times")},
        taps={tap: np.concatenate([part.taps[tap] for part in parts]) for tap in parts[0].taps},
        offsets=np.cumsum(np.concatenate([[0], *lengths])) if lengths else None,
        **{name: joined(name) for name in ("boxes", "scores", "media_stamps")},
    )


def _name(rows: ShardRows) -> str:
    """A name that says what is in a shard, so that the same segments have the same.

    It stands before those that extraction gives (`00000-…`), so that of a time that was killed the
    joined shard counts, whole, and what is left of the others can be removed.
    """
    keys = [list(rows.ids), rows.starts.tolist(), rows.stops.tolist()]
    return f"0-joined-{hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:16]}"

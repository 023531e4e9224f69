"""The file of a store's index: written as columns, and read back so that nothing in it is believed.

Whatever a stranger puts there may at worst say other segments and labels, as the shards may: no
address that is outside of a shard's file, and nothing that runs.
"""

import errno
import math
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from egofeat.recipe import Recipe
from egofeat.store.description import Description
from egofeat.store.formats.registry import format_of
from egofeat.store.formats.shard import ShardFormat
from egofeat.store.reading.columns import ColumnFile, write_columns
from egofeat.store.reading.packing import Packed, PackedColumns, PackedTable
from egofeat.store.reading.shards import UNFIT, Shards
from egofeat.store.reading.stamps import FIELDS, NONE, Listed, settled
from egofeat.store.table import Table

NAME = ".index"
_COLUMNS = ("ids", "videos", "starts", "stops", "splits", "groups")
_APART = ("segment/id",)
"""Of a value a segment in the file, so that there are no more segments than it has bytes."""
_LEAST = -(1 << 62)
_NAME = 255
"""Characters that the name of a file has at most."""
_ALLOWANCE = 1 << 20, 4096
"""Bytes of columns that an index may have, and more for each shard and segment: one id of ten
thousand characters makes each other one as wide."""


@dataclass(frozen=True, eq=False)
class Index:
    """What the shards of a store say, and the manifest of their segments."""

    shards: Shards
    chosen: NDArray[np.int64]
    """[rows] number of each segment that counts among those of the shards, rising."""
    stale: int
    """How many segments the manifest no longer asks for."""
    table: Table
    """What is known of those that count."""
    by_id: Packed
    """[rows] of the table, sorted by id."""

    def place(self, id_: str) -> int:
        """Where an id stands, or would stand, among the sorted ones."""
        ids = self._ids
        word = id_.encode("ascii", "replace") if ids.dtype.kind == "S" else id_
        # Cut to the width of a column, or NumPy widens all of it; what is longer is not there.
        width = ids.dtype.itemsize // (1 if ids.dtype.kind == "S" else 4)
        sought = np.array(word[:width], ids.dtype)
        return int(np.searchsorted(ids, sought, sorter=self.by_id.whole))

    def ids_at(self, first: int, stop: int) -> list[str]:
        """Ids of a stretch `[first, stop)` of the sorted ones."""
        found: list[str] = self._ids[self.by_id.whole[first:stop]].astype(np.str_).tolist()
        return found

    @property
    def _ids(self) -> NDArray[Any]:
        return self.table.narrow_ids if isinstance(self.table, PackedTable) else self.table.ids

    def column(self, name: str) -> NDArray[Any]:
        """A column of the shards' segments, of those that count."""
        whole = self.shards.by_segment[name]
        return whole if len(self.chosen) == len(whole) else whole[self.chosen]


@dataclass(frozen=True, eq=False)
class Kept:
    """What the file says, whether or not it still holds."""

    shards: Shards
    taken: int
    """When their stamps were, in nanoseconds, by the clock of the disk."""
    segments: tuple[int, ...]
    """Stamp of segments.json as it was."""
    index: Index | None

    def holding(self, listed: Listed) -> NDArray[np.int64]:
        """Numbers of the shards that are as they were."""
        mine, stamps = self.shards.by_shard["name"], self.shards.by_shard["stamp"]
        _, there, now = np.intersect1d(mine, listed.names, return_indices=True)
        alike = (stamps[there] == listed.stamps[now]).all(axis=1)
        return np.asarray(there[alike & settled(stamps[there], self.taken)])

    def holds(self, listed: Listed) -> bool:
        """Whether there are exactly the shards that there were, as they were."""
        stamps = self.shards.by_shard["stamp"]
        return (
            np.array_equal(self.shards.by_shard["name"], listed.names)
            and np.array_equal(stamps, listed.stamps)
            and bool(settled(stamps, self.taken).all())
        )

    def tells(self, segments: tuple[int, ...]) -> bool:
        """Whether segments.json, of this stamp now, is as it was."""
        at_rest = segments == NONE or settled(np.array(segments), self.taken)
        return self.index is not None and segments == self.segments and bool(at_rest)


def write_index(
    file: BinaryIO,
    recipe: Recipe,
    taken: int,
    segments: tuple[int, ...],
    shards: Shards,
    index: Index | None,
) -> None:
    """Write what was found to a new file; see `Kept` for the stamps, which are older than it.

    Raises:
        OSError: the disk refuses, or it would be too large.
    """
    columns = {f"shard/{name}": column for name, column in shards.by_shard.items()}
    columns |= {f"segment/{name}": column for name, column in shards.by_segment.items()}
    notes: dict[str, Any] = {
        "recipe": recipe.digest,
        "taken": taken,
        "shards": len(shards),
        "segments": len(shards.by_segment["id"]),
        "makers": [dict(maker) for maker in shards.makers],
        "table": None,
    }
    if index:
        table = index.table
        columns |= {"skipped": index.chosen - np.arange(len(table)), "order": index.by_id.whole}
        columns |= {f"table/{name}": getattr(table, name) for name in _COLUMNS}
        columns |= {f"label/{target}": of for target, of in table.labels.items()}
        columns |= {f"published/{name}": of for name, of in table.published.items()}
        notes["table"] = {
            "classes": dict(table.classes),
            "tail": {target: sorted(labels) for target, labels in table.tail.items()},
            "unseen": sorted(table.unseen),
            "benchmark": table.benchmark,
            "labels": list(table.labels),
            "published": list(table.published),
            "segments": segments,
            "stale": index.stale,
            "rows": len(table),
        }
    base, more = _ALLOWANCE
    if sum(column.nbytes for column in columns.values()) > base + more * (
        len(shards) + notes["segments"]
    ):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    write_columns(file, notes, columns, apart=_APART)


def read_index(
    store: Path, description: Description, listed: Listed, *, table: bool = True
) -> Kept | None:
    """Read the index of a store; None where there is none that can be used.

    Args:
        store: its folder.
        description: of it.
        listed: the shards that there are. What was not made of any of these is not read further:
            it came with a copy, or from a stranger.
        table: whether what it says of the manifest is read too.
    """
    try:
        with ColumnFile(store / NAME) as file:
            form = format_of(store, description)
            return _kept(file, store / "shards", form, description, listed, table)
    except (OSError, ValueError):
        return None


def _kept(
    file: ColumnFile,
    folder: Path,
    form: ShardFormat,
    description: Description,
    listed: Listed,
    table: bool,
) -> Kept:
    notes = file.notes
    if notes.recipe != description.recipe.digest:
        raise ValueError("it is of another recipe")
    if notes.shards > 1000 + 4 * len(listed.names):
        raise ValueError("most of its shards are gone")
    base, more = _ALLOWANCE
    file.room = base + more * (notes.shards + notes.segments)
    if notes.segments > file.size:
        raise ValueError("it is cut short")
    stamps = file.column("shard/stamp", "whole", notes.shards, width=FIELDS, low=_LEAST).whole
    if not np.isin(stamps[:, 2], listed.stamps[:, 2]).any():
        raise ValueError("none of its shards is as it was")
    shards = _shards(file, folder, form, stamps, description.recipe)
    return Kept(
        shards,
        notes.taken,
        notes.table.segments if notes.table else NONE,
        _index(file, shards, description.dataset) if notes.table and table else None,
    )


def _shards(
    file: ColumnFile, folder: Path, form: ShardFormat, stamps: NDArray[np.int64], recipe: Recipe
) -> Shards:
    notes = file.notes
    count, total = notes.shards, notes.segments
    by_shard: dict[str, NDArray[Any]] = {
        "name": file.column("shard/name", "text", count, high=_NAME).whole,
        "stamp": stamps,
        "count": file.column("shard/count", "whole", count, high=total).whole,
        "rows": file.column("shard/rows", "whole", count).whole,
        "made": file.column("shard/made", "whole", count, low=-1, high=len(notes.makers) - 1).whole,
        **{
            name: file.column(f"shard/{name}", "truth", count).whole
            for name in ("flat", "stamps", "persons")
        },
    }
    for tap in recipe.taps:
        offset, place = f"offset/{tap}", f"file/{tap}"
        by_shard[offset] = file.column(f"shard/{offset}", "whole", count, low=UNFIT).whole
        by_shard[place] = file.column(f"shard/{place}", "text", count).whole
        for name in np.unique(by_shard[place]).tolist():
            if ".." in PurePosixPath(name).parts or name.startswith("/"):
                raise ValueError("a file of it is outside of its shard")
    row = max(map(math.prod, recipe.taps.values())) * np.dtype(recipe.dtype).itemsize
    # Of all bytes together, that no sum of them runs over.
    longest = (1 << 62) // (row * max(total, 1)) if by_shard["flat"].any() else 1
    packed = {
        "id": file.column("segment/id", "text", total, apart=True),
        "video": file.column("segment/video", "text", total),
        "start": file.column("segment/start", "second", total),
        "stop": file.column("segment/stop", "second", total),
        "clipped": file.column("segment/clipped", "truth", total),
        "length": file.column("segment/length", "whole", total, low=1, high=longest),
        "stamp": file.column("segment/stamp", "whole", total, width=4, low=_LEAST),
    }
    _check_rows(by_shard["count"], by_shard["rows"], packed["length"], total)
    return Shards(folder, form, by_shard, PackedColumns(packed), notes.makers)


def _check_rows(
    counts: NDArray[np.int64], rows: NDArray[np.int64], lengths: Packed, segments: int
) -> None:
    """Refuse segments that do not fill their shards: a row beyond would be read from elsewhere."""
    ends = np.concatenate([[0], np.cumsum(counts)])
    if ends[-1] != segments:
        raise ValueError("its segments are not those of its shards")
    held = counts
    if (lengths.values > 1).any():
        held = np.diff(np.concatenate([[0], np.cumsum(lengths.whole)])[ends])
    if not np.array_equal(held, rows):
        raise ValueError("its rows are not those of its segments")


def _index(file: ColumnFile, shards: Shards, dataset: str) -> Index:
    said = file.notes.table
    assert said is not None
    rows, last = said.rows, file.notes.segments - 1
    if rows > last + 1:
        raise ValueError("its segments are not those of its shards")
    labels = {
        target: file.column(
            f"label/{target}", "whole", rows, low=-1, high=len(said.classes.get(target, ())) - 1
        )
        for target in said.labels
    }
    published = {name: file.column(f"published/{name}", "text", rows) for name in said.published}
    kinds = ("text", "text", "second", "second", "text", "text")
    packed = {
        name: file.column(f"table/{name}", kind, rows)
        for name, kind in zip(_COLUMNS, kinds, strict=True)
    }
    table = PackedTable.of_columns(
        rows,
        packed | {"labels": labels, "published": published},
        dataset=dataset,
        classes=said.classes,
        tail=said.tail,
        unseen=said.unseen,
        benchmark=said.benchmark,
    )
    chosen = file.column("skipped", "whole", rows, high=last).whole + np.arange(rows)
    if (chosen > last).any():
        raise ValueError("its segments are not those of its shards")
    order = file.column("order", "whole", rows, high=rows - 1)
    return Index(shards, chosen, said.stale, table, order)

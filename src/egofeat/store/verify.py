"""Going through a whole store, every byte of every feature, and saying what is wrong."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import StoreError
from egofeat.store.annotations import Annotations
from egofeat.store.box_table import BoxTable
from egofeat.store.description import Description
from egofeat.store.files import PREFIX
from egofeat.store.flat import offsets_of
from egofeat.store.formats import FORMATS, shard_paths
from egofeat.store.gaze import GazeTable
from egofeat.store.person_columns import check_columns, wrong_rows
from egofeat.store.recipe import Recipe
from egofeat.store.selection import Address, select
from egofeat.store.shards import Shard, ShardFormat, checksums, reading

_BLOCK = 64 << 20
"""Bytes of compressed features that are read at a time."""


@dataclass(frozen=True)
class Problem:
    """Something wrong in a store."""

    shard: str
    """File or folder name; empty where the whole store is meant."""
    id: str | None
    """The segment; None where the whole shard is meant."""
    message: str
    """What is wrong and how to mend it."""


def verify(path: Path | str) -> list[Problem]:
    """Check a store's description, shards and every row's checksum.

    Reads everything once, a block at a time; changes nothing. An empty list is a sound store.
    """
    store = Path(path)
    try:
        description = Description.read(store)
        annotations = Annotations.read(store)
        GazeTable.read(store)
        BoxTable.read(store)
    except StoreError as error:
        return [Problem("", None, str(error))]
    form = FORMATS[description.format]
    problems = list(_leftovers(store))
    shards = []
    for shard_path in shard_paths(store, description):
        try:
            shard = form.open(shard_path)
            problems += _damage(shard, form, description.recipe)
            shards.append(shard)
        except StoreError as error:
            problems.append(Problem(shard_path.name, None, str(error)))
    selection = select(shards, annotations)
    problems += _rows(
        shards,
        selection.duplicates,
        "stands in an earlier row too, and is read from there: harmless, it takes room",
    )
    problems += _rows(
        shards,
        selection.stale,
        "is not what the manifest now asks for, and is not read: delete its shard to have the "
        "room back, what is still needed of it is then extracted again",
    )
    return problems


def _leftovers(store: Path) -> Iterator[Problem]:
    for folder in (store, store / "shards"):
        for path in sorted(folder.glob(f"{PREFIX}*")):
            yield Problem(
                path.name,
                None,
                "is half written: unless an extraction is running, delete it, or run "
                "`egofeat extract` again, which does",
            )


def _damage(shard: Shard, form: ShardFormat, recipe: Recipe) -> Iterator[Problem]:
    count = len(shard.ids)
    lengths = np.diff(offsets_of(shard)) if recipe.flat else 1
    owners = np.repeat(np.arange(count), lengths)
    times = form.read(shard.path, "times", None)
    columns = (shard.videos, shard.starts, shard.stops, shard.clipped)
    if any(len(column) != count for column in columns) or len(times) != len(owners):
        yield Problem(shard.path.name, None, "its columns have different lengths")
    for tap, row_shape in recipe.taps.items():
        array = shard.taps.get(tap)
        shape = (len(owners), *row_shape)
        if array is None or array.shape != shape or array.dtype != recipe.dtype:
            yield Problem(shard.path.name, None, f"its tap {tap} is not {recipe.dtype} {shape}")
        else:
            for segment in np.unique(owners[_altered(shard, form, tap)]).tolist():
                yield Problem(
                    shard.path.name,
                    shard.ids[segment],
                    f"its {tap} was altered after it was written: delete the shard and run "
                    f"`egofeat {'roi' if recipe.of_persons else 'extract'}` again",
                )
    if recipe.of_persons:
        yield from _wrong_persons(shard, form, owners)


def _wrong_persons(shard: Shard, form: ShardFormat, owners: NDArray[np.int64]) -> Iterator[Problem]:
    with reading(shard.path):
        check_columns(shard, len(owners))
    for rows, wrong in wrong_rows(shard, form):
        for segment in np.unique(owners[rows]).tolist():
            mend = "delete the shard and run `egofeat roi` again"
            yield Problem(shard.path.name, shard.ids[segment], f"{wrong}: {mend}")


def _altered(shard: Shard, form: ShardFormat, tap: str) -> NDArray[np.int64]:
    """Numbers of the rows whose bytes are not those of their checksum."""
    expected = form.read(shard.path, f"crc32/{tap}", None)
    found = [checksums(values) for values in _blocks(shard, form, tap)]
    return np.flatnonzero(np.concatenate(found) != expected)


def _blocks(shard: Shard, form: ShardFormat, tap: str) -> Iterator[NDArray[Any]]:
    """Read a tap's rows a part at a time."""
    array = shard.taps[tap]
    if array.place:
        file, offset = array.place.file, array.place.offset
        yield np.memmap(file, array.dtype, "r", offset, array.shape)
        return
    count = max(1, _BLOCK // (math.prod(array.shape[1:]) * array.dtype.itemsize))
    for first in range(0, array.shape[0], count):
        yield form.read(shard.path, f"taps/{tap}", slice(first, first + count))


def _rows(shards: Sequence[Shard], rows: Sequence[Address], message: str) -> Iterator[Problem]:
    for number, row in rows:
        shard = shards[number]
        yield Problem(shard.path.name, shard.ids[row], message)

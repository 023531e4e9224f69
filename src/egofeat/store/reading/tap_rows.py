"""The selected rows of one tap, read in whatever way the shards allow."""

from collections.abc import Sequence

import numpy as np

from egofeat.store.damage import reading
from egofeat.store.formats.person_columns import check_columns
from egofeat.store.formats.shard import Shard, ShardFormat, TapArray
from egofeat.store.reading.flat import FlatRows, offsets_of
from egofeat.store.reading.mapping import MappedRows
from egofeat.store.reading.selection import Addresses, Selection
from egofeat.store.reading.unmapped import LibraryRows
from egofeat.store.recipe import Recipe

Rows = MappedRows | LibraryRows | FlatRows


def open_rows(
    form: ShardFormat, shards: Sequence[Shard], selection: Selection, recipe: Recipe, tap: str
) -> Rows:
    """Map the selected rows of a tap, or have them read through the format's library.

    Raises:
        StoreError: a shard does not hold what the recipe says.
    """
    offsets = [offsets_of(shard) for shard in shards] if recipe.flat else []
    counts = [int(of[-1]) for of in offsets] if recipe.flat else [len(s.ids) for s in shards]
    arrays = [
        _checked(shard, tap, count, recipe) for shard, count in zip(shards, counts, strict=True)
    ]
    addresses = selection.spread(offsets) if recipe.flat else selection
    single = _single(form, shards, arrays, addresses, recipe, tap)
    if not recipe.flat:
        return single
    lengths = selection.column([np.diff(of) for of in offsets], np.dtype(np.int64))
    return FlatRows(single, addresses, lengths)


def _single(
    form: ShardFormat,
    shards: Sequence[Shard],
    arrays: Sequence[TapArray],
    addresses: Addresses,
    recipe: Recipe,
    tap: str,
) -> MappedRows | LibraryRows:
    if all(array.place for array in arrays):
        return MappedRows(arrays, addresses, tuple(recipe.taps[tap]), np.dtype(recipe.dtype))
    return LibraryRows(form, shards, addresses, tap)


def _checked(shard: Shard, tap: str, count: int, recipe: Recipe) -> TapArray:
    """Find a tap's array, which must be what the recipe says, as must be what is beside it."""
    array, shape = shard.taps.get(tap), (count, *recipe.taps[tap])
    with reading(shard.path):
        if shard.offsets is not None and not recipe.flat:
            raise ValueError("it has offsets, and its segments are a row each")
        if array is None or array.shape != shape or array.dtype != recipe.dtype:
            raise ValueError(f"its tap {tap} is not {recipe.dtype} {shape}")
        if recipe.of_persons:
            check_columns(shard, count)
        return array

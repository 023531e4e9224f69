"""The selected rows of one tap over all shards: mapped, or read file by file."""

import math

import numpy as np

from egofeat.recipe import Recipe
from egofeat.store.reading.files import FileRows, pieces_of, refuse_unfit
from egofeat.store.reading.mapping import MappedRows, can_map
from egofeat.store.reading.places import Places
from egofeat.store.reading.selection import Addresses
from egofeat.store.reading.shards import Shards


def open_tap(places: Places, recipe: Recipe, tap: str) -> MappedRows | FileRows:
    """Map rows of a tap, unless a shard is compressed or there are too many.

    Raises:
        StoreError: a shard does not hold what the recipe says.
    """
    row_shape, dtype = tuple(recipe.taps[tap]), np.dtype(recipe.dtype)

    def mapped(shards: Shards, addresses: Addresses) -> MappedRows | FileRows:
        refuse_unfit(shards, recipe, tap)
        compressed = (shards.by_shard[f"offset/{tap}"] < 0).any()
        if compressed or not can_map(len(shards)):
            return FileRows(places, recipe, tap)
        pieces = pieces_of(shards, tap, math.prod(row_shape) * dtype.itemsize)
        return MappedRows(pieces, addresses, row_shape, dtype)

    return places.read(mapped)

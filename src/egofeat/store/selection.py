"""Which rows of the shards count: those that the manifest still asks for, each once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.store.annotations import Annotations
from egofeat.store.rows import keys
from egofeat.store.shards import Shard

Address = tuple[int, int]
"""Number of a shard and of a row in it."""


@dataclass(frozen=True)
class Selection:
    """Rows to read, in the order of the shards, and those passed over."""

    shard_of: NDArray[np.int64]
    """[rows] number of the shard."""
    row_of: NDArray[np.int64]
    """[rows] row in that shard."""
    segment_of: NDArray[np.int64]
    """[rows] place in the annotations' columns; empty without annotations."""
    stale: Sequence[Address]
    """Rows whose segment is no longer in the manifest, or has other times there."""
    duplicates: Sequence[Address]
    """Rows whose segment stands in an earlier row already."""

    def column(self, parts: Sequence[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Pick the selected rows of a column that stands in parts, one a shard."""
        lengths = [len(part) for part in parts]
        firsts = np.cumsum([0, *lengths])[self.shard_of]
        if not parts:
            return np.empty(0, dtype)
        whole = np.concatenate([np.asarray(part, dtype) for part in parts])
        return np.asarray(whole[firsts + self.row_of])


def select(shards: Sequence[Shard], annotations: Annotations | None) -> Selection:
    """Go through the shards by name; the first row of a segment counts."""
    positions = annotations.positions() if annotations else None
    chosen: list[Address] = []
    segments: list[int] = []
    stale: list[Address] = []
    duplicates: list[Address] = []
    seen: set[str] = set()
    for number, shard in enumerate(shards):
        for row, key in enumerate(keys(shard.ids, shard.starts, shard.stops)):
            address = (number, row)
            if positions is not None and key not in positions:
                stale.append(address)
            elif key[0] in seen:
                duplicates.append(address)
            else:
                seen.add(key[0])
                chosen.append(address)
                if positions is not None:
                    segments.append(positions[key])
    table = np.array(chosen, dtype=np.int64).reshape(-1, 2)
    return Selection(
        np.ascontiguousarray(table[:, 0]),
        np.ascontiguousarray(table[:, 1]),
        np.array(segments, dtype=np.int64),
        stale,
        duplicates,
    )

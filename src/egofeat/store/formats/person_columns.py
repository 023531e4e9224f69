"""What stands beside the features of persons: a box and a score a row."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from egofeat.store.formats.shard import PERSON_COLUMNS, Shard, ShardFormat


def check_columns(shard: Shard) -> None:
    """Refuse a shard that has not one box and one score a row.

    Raises:
        ValueError: saying which it is.
    """
    for name, part in PERSON_COLUMNS.items():
        array, shape = shard.person_columns.get(name), (shard.rows, *part)
        if array is None:
            raise ValueError(f"it has no {name}, and its rows are persons")
        if array.shape != shape or array.dtype != np.float32:
            raise ValueError(f"its {name} are not float32 {shape}")


def wrong_rows(shard: Shard, form: ShardFormat) -> Iterator[tuple[NDArray[np.int64], str]]:
    """Numbers of the rows whose box or score cannot be, and what is wrong with them.

    Raises:
        StoreError: the shard is damaged.
    """
    columns = {name: form.read(shard.path, name, None) for name in PERSON_COLUMNS}
    boxes = columns["boxes"]
    inside = (boxes >= 0).all(axis=1) & (boxes <= 1).all(axis=1)
    sound = inside & (boxes[:, :2] < boxes[:, 2:]).all(axis=1)
    yield np.flatnonzero(~sound), "its boxes are not 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1"
    yield np.flatnonzero(~np.isfinite(columns["scores"])), "its scores are not finite"

"""Rows of a store as a data set for torch's loaders."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from egofeat.store.reading.features import Features
from egofeat.store.table import Table

Labelled = tuple[Tensor, dict[str, Tensor]]
"""Features of a row, and target to its label."""


class LabelledFeatures(Dataset[Labelled]):
    """Pairs of features, float32 `row_shape`, and labels, target to a class index or -1 for none.

    A label of persons is `[classes]` bool. Workers of a loader map the store themselves: nothing
    but row numbers and labels is copied to them. A batch is gathered by one call.

    Args:
        features: of the rows.
        table: what is known of them.
        rows: [len] numbers of those that are wanted.
    """

    def __init__(self, features: Features, table: Table, rows: NDArray[np.int64]) -> None:
        self.features = features
        self.rows = rows
        """[len] row of each item in the store."""
        self.labels = {
            target: torch.from_numpy(of[self.rows]) for target, of in table.labels.items()
        }
        """Target to `[len]` class index, or `[len, classes]`."""

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        labels = ", ".join(f"{target} {tuple(of.shape)}" for target, of in self.labels.items())
        shape = f"{len(self)} × {self.features.row_shape} float32"
        return f"LabelledFeatures({shape}; labels {labels or 'none'})"

    def __getitem__(self, item: int) -> Labelled:
        return self.__getitems__([item])[0]

    def __getitems__(self, items: Sequence[int]) -> list[Labelled]:
        """Gather several at once: what a loader asks for its batches."""
        chosen = self.rows[list(items)]
        gathered = np.empty((len(chosen), *self.features.row_shape), np.float32)
        blocks = torch.from_numpy(self.features.take(chosen, gathered))
        return [
            (blocks[place], {target: of[item] for target, of in self.labels.items()})
            for place, item in enumerate(items)
        ]

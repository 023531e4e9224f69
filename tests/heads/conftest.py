"""Features in memory, and tasks whose answer is known."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from egofeat.heads import Examples


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass
class ArrayFeatures:
    """An array that reads as a store does, and remembers what was asked of it."""

    array: NDArray[Any]
    taken: list[list[int]] = field(default_factory=list)
    advised: list[list[int]] = field(default_factory=list)

    @property
    def row_shape(self) -> tuple[int, ...]:
        return self.array.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    @property
    def nbytes(self) -> int:
        return self.array.nbytes

    def take(self, rows: NDArray[np.int64], out: NDArray[Any] | None = None) -> NDArray[Any]:
        self.taken.append(rows.tolist())
        if out is None:
            return self.array[rows]
        out[:] = self.array[rows]
        return out

    def advise_random(self, rows: NDArray[np.int64]) -> None:
        self.advised.append(rows.tolist())


@pytest.fixture
def array_features() -> type[ArrayFeatures]:
    return ArrayFeatures


@pytest.fixture
def order_task() -> Callable[..., Examples]:
    """Two patterns at two random moments; the class is which of them comes first."""

    def make(rows: int = 480, frames: int = 20, space: tuple[int, ...] = ()) -> Examples:
        rng = np.random.default_rng(7)
        channels = 12
        first, second = 3 * np.eye(channels)[:2]
        array = rng.normal(0, 0.3, (rows, frames, channels, *space))
        labels = rng.integers(0, 2, rows)
        for row, label in enumerate(labels):
            moments = np.sort(rng.choice(frames, 2, replace=False))
            for moment, pattern in zip(
                moments, (second, first) if label else (first, second), strict=True
            ):
                array[row, moment] += pattern.reshape(-1, *(1 for _ in space))
        split = rows * 2 // 3
        return Examples(
            ArrayFeatures(array.astype(np.float16)),
            {"order": labels},
            np.arange(split),
            np.arange(split, rows),
        )

    return make

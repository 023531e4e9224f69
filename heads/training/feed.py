"""Batches of features on the device, from a mapped store or from a copy held there."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat.heads.head import merge_steps
from egofeat.heads.training.sampling import cuts

HELD_ON_CPU = 1 << 30
"""Bytes; a store above this is read from its map, which the system caches anyway."""
SHARE_OF_GPU = 0.6
"""Of the free memory, what features may take; the rest is for activations."""
READ_BLOCK = 16 << 20
"""Bytes that one read takes when rows are passed over once."""


class Features(Protocol):
    """What a head is fed from; `egofeat.store.SegmentStore` is one."""

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one segment's features, `(T, C)`, `(T, C, H, W)` or `(V, t, C, H, W)`."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """`float16` or `float32`."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        ...

    def take(self, rows: NDArray[np.int64], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Gather rows; `out` may be wider than the stored type."""
        ...

    def advise_random(self, rows: NDArray[np.int64]) -> None:
        """Tell the system which rows come next."""
        ...


class _Array:
    """An array in memory, as features of a store are read."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self.row_shape: tuple[int, ...] = array.shape[1:]
        self.dtype = array.dtype
        self.nbytes = array.nbytes

    def __len__(self) -> int:
        return len(self._array)

    def take(self, rows: NDArray[np.int64], out: NDArray[Any] | None = None) -> NDArray[Any]:
        if out is None:
            return self._array[rows]
        out[...] = self._array[rows]
        return out

    def advise_random(self, rows: NDArray[np.int64]) -> None:
        """All of it is at hand."""


def as_features(source: Features | NDArray[Any]) -> Features:
    """Features of a store as they are, an array as they are read."""
    return _Array(source) if isinstance(source, np.ndarray) else source


class Feed:
    """Some rows of a store as float32 batches `[B, *row_shape]` on a device.

    One buffer serves all batches: a batch is valid until the next one is asked for.
    Rows of a batch come in ascending order, wherever they are read from, so that a
    copy on the device and the map give the same bits.
    """

    def __init__(
        self,
        source: Features,
        rows: NDArray[np.int64],
        *,
        device: torch.device,
        batch_size: int,
        held: bool,
    ) -> None:
        self.rows = rows
        self._source = source
        self._device = device
        shape = (min(batch_size, len(rows)) + 1, *source.row_shape)
        self._batch_size = batch_size
        self._batch = torch.empty(shape, dtype=torch.float32, device=device)
        self._held = self._hold() if held else None
        if self._held is not None:
            self._stored = torch.empty(shape, dtype=self._held.dtype, device=device)
        elif device.type != "cpu":
            self._host = np.empty(shape, dtype=source.dtype)

    def _hold(self) -> Tensor:
        """Copy all rows to the device as stored, a block at a time."""
        stored = torch.from_numpy(np.empty(0, self._source.dtype))
        shape = (len(self.rows), *self._source.row_shape)
        held = stored.new_empty(shape, device=self._device)
        for start, block in blocks(self._source, self.rows):
            held[start : start + len(block)] = torch.from_numpy(block)
        return held

    def batches(self, order: NDArray[np.int64]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (features, places `[B]` int64 in `rows`) in the order given."""
        return self.gather(np.split(order, cuts(len(order), self._batch_size)))

    def gather(self, parts: Sequence[NDArray[np.int64]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (features, places `[B]` int64 in `rows`) of each part, in ascending order."""
        parts = [np.sort(part) for part in parts]
        for number, places in enumerate(parts):
            if self._held is None and number + 1 < len(parts):
                self._source.advise_random(self.rows[parts[number + 1]])
            index = torch.from_numpy(places).to(self._device)
            yield self._gather(places, index), index

    def _gather(self, places: NDArray[np.int64], index: Tensor) -> Tensor:
        batch = self._batch[: len(places)]
        if self._held is not None:
            stored = self._stored[: len(places)]
            torch.index_select(self._held, 0, index, out=stored)
            return batch.copy_(stored)
        if self._device.type == "cpu":
            self._source.take(self.rows[places], out=batch.numpy())
            return batch
        host = self._host[: len(places)]  # half the bytes over the bus; widened there
        self._source.take(self.rows[places], out=host)
        return batch.copy_(torch.from_numpy(host).to(self._device))


def blocks(source: Features, rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield (place of the first, features as stored) of rows, some megabytes at a time."""
    step = max(1, READ_BLOCK // row_bytes(source))
    for start in range(0, len(rows), step):
        yield start, source.take(rows[start : start + step])


def row_bytes(source: Features) -> int:
    """Return the bytes of one row as stored."""
    return int(np.prod(source.row_shape)) * source.dtype.itemsize


def should_hold(choice: str, device: torch.device, wanted: int) -> bool:
    """Decide whether features stay on the device.

    Args:
        choice: `on`, `off`, or `auto`: when `wanted` fits what may be taken.
        device: where the head is.
        wanted: bytes of all rows of all splits that are read.
    """
    if choice != "auto":
        return choice == "on"
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return wanted <= SHARE_OF_GPU * free
    return wanted <= HELD_ON_CPU


def channel_statistics(
    source: Features, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation `[C]` of each channel over rows, time and space.

    A channel that hardly varies gets 1 for its deviation.
    """
    count = 0
    shape = merge_steps(source.row_shape)
    total = np.zeros(shape[1])
    squares = np.zeros(shape[1])
    for _, block in blocks(source, rows):
        steps = block.reshape(len(block), *shape).astype(np.float64)
        wide = np.moveaxis(steps, 2, -1).reshape(-1, shape[1])
        count += len(wide)
        total += wide.sum(axis=0)
        squares += np.square(wide).sum(axis=0)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return mean, np.where(std > 1e-4, std, 1.0)

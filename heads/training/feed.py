"""Batches of features on the device, from a mapped store or from a copy held there."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat.heads.head import merge_steps
from egofeat.heads.training.ahead import Fill, Ring
from egofeat.heads.training.sampling import cuts

HELD_ON_CPU = 1 << 30
"""Bytes; a store above this is read from its map, which the system caches anyway."""
SHARE_OF_GPU = 0.6
"""Of the free memory, what features may take; the rest is for activations."""
READ_BLOCK = 16 << 20
"""Bytes that one read takes when rows are passed over once."""

Batches = Generator[tuple[Tensor, Tensor], None, None]
"""Features `[B, *row_shape]` float32 and their places `[B]` int64."""


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

    A batch is valid until the next one is asked for. Rows that are not held are read ahead by a
    thread. Rows of a batch come in ascending order, wherever they are read from, so that a copy on
    the device and the map give the same bits.
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
        self.batch_size = batch_size
        size = min(batch_size, len(rows)) + 1
        self._held = self._hold() if held else None
        stored = torch.from_numpy(np.empty(0, source.dtype)).dtype
        if self._held is not None or device.type != "cpu":
            self._batch = torch.empty((size, *source.row_shape), device=device)
        if self._held is not None:
            self._stored = torch.empty((size, *source.row_shape), dtype=stored, device=device)
        else:  # half the bytes over a GPU's bus, and widened there
            read = torch.float32 if device.type == "cpu" else stored
            self._ring = Ring(size, source.row_shape, read, device)

    @property
    def waited(self) -> float:
        """Seconds that training stood still for want of a batch, of all so far."""
        return 0.0 if self._held is not None else self._ring.waited

    def _hold(self) -> Tensor:
        """Copy all rows to the device as stored, a block at a time."""
        stored = torch.from_numpy(np.empty(0, self._source.dtype))
        shape = (len(self.rows), *self._source.row_shape)
        held = stored.new_empty(shape, device=self._device)
        for start, block in blocks(self._source, self.rows):
            held[start : start + len(block)] = torch.from_numpy(block)
        return held

    def batches(self, order: NDArray[np.int64]) -> Batches:
        """Yield (features, places `[B]` int64 in `rows`) in the order given."""
        return self.gather(np.split(order, cuts(len(order), self.batch_size)))

    def gather(self, parts: Sequence[NDArray[np.int64]]) -> Batches:
        """Yield (features, places `[B]` int64 in `rows`) of each part, in ascending order.

        Close it when it is not gone through to its end.
        """
        parts = [np.sort(part) for part in parts]
        # To a GPU in one piece: it is waited for once, and not once a batch.
        order = torch.from_numpy(np.concatenate(parts)).to(self._device)
        indices = torch.split(order, [len(part) for part in parts])
        if self._held is not None:
            for index in indices:
                yield self._from_held(self._held, index), index
            return
        with closing(self._ring.over(parts, self._read(parts))) as read:
            for index, host in zip(indices, read, strict=True):
                yield self._on_device(host), index

    def _from_held(self, held: Tensor, index: Tensor) -> Tensor:
        stored = self._stored[: len(index)]
        torch.index_select(held, 0, index, out=stored)
        return self._batch[: len(index)].copy_(stored)

    def _read(self, parts: Sequence[NDArray[np.int64]]) -> Fill:
        """Read a part after the other, the system told of each before it is the turn of another.

        Of the first too: what it was not told of comes page by page, a hundred times as slowly.
        """
        coming = iter(parts)

        def tell() -> None:
            if (part := next(coming, None)) is not None:
                self._source.advise_random(self.rows[part])

        def fill(places: NDArray[np.int64], buffer: NDArray[Any]) -> None:
            if places is parts[0]:
                tell()
            tell()
            self._source.take(self.rows[places], out=buffer)

        return fill

    def _on_device(self, host: Tensor) -> Tensor:
        if self._device.type == "cpu":
            return host
        sent = host.to(self._device, non_blocking=True)
        return self._batch[: len(host)].copy_(sent)


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

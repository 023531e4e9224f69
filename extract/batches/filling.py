"""Batches of views, which the decoding threads themselves fill, each view in its place.

A batch is of one shape: views `[F, K, H, W, C]` of one size, so many as the network runs at once.
Its memory is where the views are, if that is the network's device, and else the host's.
A view takes the next row when it is whole and is copied there once, by the thread that made it;
so no thread ever waits for another's view, and one that is given up takes none.
"""

import math
import threading
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from egofeat.device import Room, is_out_of_memory
from egofeat.recipe import View

ViewKey = tuple[str, View]
"""Video and frames of a view."""
Frames = list[Tensor]
"""A view's frames, each `[crops, size, size, channels]`, on one device: uint8, or float32 of
motion."""

WAITING_BYTES = 3 * 2**30
"""Of one network's batches that are not full, at most: 40 sizes of 256 pixels take four fifths of
it on a GPU. One batch may be larger."""
LATEST = 256
"""Batches that are handed over before one that was begun earlier, at most: so that what is whole
but for a rare size does not wait until the end."""
BLOCK_BYTES = 2**24
"""Of a GPU's memory, or of what it copies from: taken as a batch grows, and used again for any
size."""
CPU_BLOCK_BYTES = 2**30
"""Of a CPU's batches, which are one block unless they are out of all proportion."""
SPARE_BYTES = 2**27
"""Of memory that is kept to be used again, at most: fresh pages take longer than what is written to
them."""

_HOST = torch.device("cpu")


@dataclass(eq=False)
class Batch:
    """Views of one shape."""

    size: int
    """Rows at most."""
    shape: tuple[int, ...]
    """Of one view, `[F, K, H, W, C]`."""
    dtype: torch.dtype
    device: torch.device
    """Where its memory is: the network's, or the CPU."""
    pinned: bool
    """Whether a GPU copies from its memory."""
    begun: int
    """Batches that were closed before it was begun."""
    keys: list[ViewKey] = field(default_factory=list)
    """Of the views that have rows, in their order."""
    written: int = 0
    """Rows whose views are there."""
    closed: bool = False
    """Whether it takes no more."""
    blocks: list[Tensor] = field(default_factory=list)
    """Its memory, `[rows, F, K, H, W, C]` each, one after the other."""

    def __post_init__(self) -> None:
        row = math.prod(self.shape) * self.dtype.itemsize
        most = BLOCK_BYTES if self.pinned or self.device.type != "cpu" else CPU_BLOCK_BYTES
        self._of_block = min(self.size, max(1, most // row))
        self.block_bytes = self._of_block * row

    @property
    def block_shape(self) -> tuple[int, ...]:
        """`[rows, F, K, H, W, C]` of a block."""
        return (self._of_block, *self.shape)

    @property
    def frames(self) -> int:
        """That it holds, each crop of one counted."""
        return len(self.keys) * math.prod(self.shape[:2])

    @property
    def bytes(self) -> int:
        """Of its memory."""
        return len(self.blocks) * self.block_bytes

    @property
    def grows(self) -> bool:
        """Whether the next row needs another block."""
        return len(self.keys) == len(self.blocks) * self._of_block

    @property
    def is_whole(self) -> bool:
        """Whether it takes no more, and all that it took is there."""
        return self.closed and self.written == len(self.keys)

    def take(self, key: ViewKey) -> Tensor:
        """The next row, `[F, K, H, W, C]`, to be written."""
        block, row = divmod(len(self.keys), self._of_block)
        self.keys.append(key)
        return self.blocks[block][row]

    def on(self, device: torch.device, first: int, size: int) -> Tensor:
        """Rows `[first, first + size)` on a device, zeros where there are no views.

        A GPU copies them while this thread goes on.
        """
        stop, parts = min(first + size, len(self.keys)), []
        for number in range(first // self._of_block, -(-stop // self._of_block)):
            begin = number * self._of_block
            part = self.blocks[number][max(0, first - begin) : stop - begin]
            parts.append(part.to(device, non_blocking=True))
        whole = parts[0] if len(parts) == 1 else torch.cat(parts)
        if len(whole) == size:
            return whole
        return F.pad(whole, [0, 0] * (whole.ndim - 1) + [0, size - len(whole)])


class Filling:
    """One network's batches under way, filled by several threads.

    A batch that is full is handed over. Where more than `WAITING_BYTES` would wait, the fullest of
    the others is, padded; and one that has waited for too long.

    Args:
        room: of the network's device: how many views a batch has.
        pinned: whether a GPU copies from the batches that are on the host.
    """

    def __init__(self, room: Room, *, pinned: bool) -> None:
        self._room = room
        self.device = room.device
        self._pinned = pinned
        self._open: dict[tuple[object, ...], Batch] = {}
        """Shape and kind of a view, and its place, to the batch that takes such."""
        self._closed = 0
        """Batches so far that take no more."""
        self._spare: list[Tensor] = []
        """Memory of batches that were run, the oldest first."""
        self._lock = threading.Lock()

    def place(self, key: ViewKey, frames: Frames) -> list[Batch]:
        """Write a view into its batch; returns the batches that are whole now, each once."""
        one = frames[0]
        shape, dtype = (len(frames), *one.shape), one.dtype
        device = self.device if one.device == self.device else _HOST
        kind = (*shape, dtype, device)
        whole: list[Batch] = []
        with self._lock:
            batch = self._open.get(kind)
            if batch is None:
                whole += self._close_late()
                pinned = self._pinned and device.type == "cpu"
                batch = Batch(self._room.size, shape, dtype, device, pinned, self._closed)
                self._open[kind] = batch
            if batch.grows:
                whole += self._make_room_for(batch)
                batch.blocks.append(self._block_of(batch, one))
            row = batch.take(key)
            if len(batch.keys) == batch.size:
                self._close(kind)
        if row.device == one.device:
            torch.stack(frames, out=row)
        else:
            row.copy_(torch.stack(frames))
        with self._lock:
            batch.written += 1
            return [*whole, batch] if batch.is_whole else whole

    def rest(self) -> list[Batch]:
        """What is left when no thread places any more, in the order in which it was begun."""
        return [self._close(kind) for kind in list(self._open)]

    def release(self, batch: Batch) -> None:
        """Use the memory of a batch that was run again; torch does so with what a GPU reads."""
        if not self._pinned and batch.device.type == "cpu":
            with self._lock:
                self._spare += batch.blocks
                while sum(block.nbytes for block in self._spare) > SPARE_BYTES:
                    del self._spare[0]

    def _block_of(self, batch: Batch, one: Tensor) -> Tensor:
        """Memory for rows of a batch, the next of whose frames is `one`."""
        shape, dtype = batch.block_shape, batch.dtype
        if batch.device.type != "cpu":
            try:
                return one.new_empty(shape)
            except RuntimeError as error:  # what has no room waits on the host
                if not is_out_of_memory(error):
                    raise
        if self._pinned:
            with suppress(RuntimeError):  # what cannot be pinned is copied nevertheless
                return torch.empty(shape, dtype=dtype, pin_memory=True)
        for number, spare in enumerate(self._spare):
            if spare.shape == shape and spare.dtype == dtype:
                return self._spare.pop(number)
        # NumPy's memory is written to in half the time of torch's.
        return torch.from_numpy(np.empty(batch.block_bytes, np.uint8)).view(dtype).view(shape)

    def _close_late(self) -> list[Batch]:
        late = [kind for kind, one in self._open.items() if self._closed - one.begun >= LATEST]
        return [one for one in map(self._close, late) if one.is_whole]

    def _make_room_for(self, growing: Batch) -> list[Batch]:
        """Close the fullest of the others while all would take too much; returns the whole ones."""
        others = {kind: one for kind, one in self._open.items() if one is not growing}
        taken = growing.block_bytes + sum(one.bytes for one in self._open.values())
        whole = []
        while others and taken > WAITING_BYTES:
            fullest = max(others, key=lambda kind: len(others[kind].keys) / others[kind].size)
            taken -= others.pop(fullest).bytes
            whole.append(self._close(fullest))
        return [one for one in whole if one.is_whole]

    def _close(self, kind: tuple[object, ...]) -> Batch:
        batch = self._open.pop(kind)
        batch.closed = True
        self._closed += 1
        return batch

"""Batches read ahead: a thread fills a ring of buffers while the batch before is learnt from."""

import threading
import time
from collections.abc import Callable, Generator, Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

RING = 3
"""Buffers: one is learnt from, one is ready, one is being filled."""

Fill = Callable[[NDArray[np.int64], NDArray[Any]], None]
"""Told the places of a batch `[B]`, and the buffer `[B, *row_shape]` that they go to."""


class Ring:
    """Buffers `[size, *row_shape]` that a thread fills, each for a batch until it is given back.

    Args:
        size: rows of the largest batch.
        row_shape: of a row.
        dtype: what is read into.
        device: where batches go; for a GPU buffers are pinned, so that sending waits for nothing.
    """

    def __init__(
        self, size: int, row_shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
    ) -> None:
        on_gpu = device.type == "cuda"
        shape = (size, *row_shape)
        self._device = device if on_gpu else None
        self._buffers = [torch.empty(shape, dtype=dtype, pin_memory=on_gpu) for _ in range(RING)]
        self.waited = 0.0
        """Seconds that whoever asked for batches stood still, of all so far."""

    def over(self, parts: Sequence[NDArray[np.int64]], fill: Fill) -> Generator[Tensor, None, None]:
        """Yield a buffer `[B, *row_shape]` for each part, valid until the next is asked for.

        Close it when it is not gone through to its end: its thread ends then.

        Raises:
            BaseException: as `fill` raises it in the thread, at the part that it was raised for.
        """
        free: SimpleQueue[tuple[int, torch.cuda.Event | None] | None] = SimpleQueue()
        ready: SimpleQueue[int | BaseException] = SimpleQueue()
        over = threading.Event()

        def read() -> None:
            try:
                for places in parts:
                    given = free.get()
                    if given is None or over.is_set():
                        return
                    number, sent = given
                    if sent:
                        sent.synchronize()
                    fill(places, self._buffers[number][: len(places)].numpy())
                    ready.put(number)
            except BaseException as error:  # raised again by who waits
                ready.put(error)

        for number in range(RING):
            free.put((number, None))
        thread = threading.Thread(target=read, name="reading ahead", daemon=True)
        thread.start()
        try:
            for places in parts:
                number = self._next(ready)
                yield self._buffers[number][: len(places)]
                free.put((number, self._sent()))
        finally:
            over.set()
            free.put(None)
            thread.join()

    def _next(self, ready: "SimpleQueue[int | BaseException]") -> int:
        began = time.monotonic()
        got = ready.get()
        self.waited += time.monotonic() - began
        if isinstance(got, BaseException):
            raise got
        return got

    def _sent(self) -> "torch.cuda.Event | None":
        """What comes to pass when a GPU has all that it was sent so far."""
        if self._device is None:
            return None
        sent = torch.cuda.Event()  # type: ignore[no-untyped-call]
        sent.record(torch.cuda.current_stream(self._device))
        return sent

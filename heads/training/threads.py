"""How many threads a head computes with on a CPU: by its size and the batch's, not by the cores."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from egofeat.heads.head import Head, VectorHead, merge_steps
from egofeat.heads.solved import SolvedHead

WORTH = 1 << 30
"""Multiply-adds of a batch, forwards, from which a thread is worth having: about 20 ms of one.

A thread waits, at full load, for the others at the end of each operation, and small ones take
microseconds; where other jobs have its core, each waits for a slice of the system's time.
"""


def threads_worth(head: Head, row_shape: Sequence[int], rows: int) -> int:
    """How many threads a head is worth, at least 1: its weights times what each of them meets.

    Args:
        head: whichever.
        row_shape: of its features, `(T, C)`, `(T, C, H, W)` or `(V, t, C, H, W)`.
        rows: of a batch.
    """
    steps, _, *space = merge_steps(tuple(row_shape))
    places = steps if isinstance(head, VectorHead) else steps * math.prod(space)
    of_segments = head if isinstance(head, SolvedHead) else head.classifiers
    once = sum(one.numel() for one in (*of_segments.parameters(), *of_segments.buffers()))
    apart = {id(weight) for weight in of_segments.parameters()}
    everywhere = sum(one.numel() for one in head.parameters() if id(one) not in apart)
    return max(1, rows * (everywhere * places + once) // WORTH)


@contextmanager
def threads_for(
    head: Head, row_shape: Sequence[int], rows: int, device: torch.device
) -> Iterator[None]:
    """Compute with the threads that batches are worth, never more than there were; then as before.

    So what is small is computed by one thread on every machine, to the same bits. A GPU's
    computations have no part in it. The arguments are those of `threads_worth`.
    """
    before = torch.get_num_threads()
    wanted = threads_worth(head, row_shape, rows)
    if device.type != "cpu" or wanted >= before:
        yield
        return
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)

"""Batches side by side on a processor, each by one core.

A small network's layers are too short to be shared out: MobileNetV2 is slower by two cores a layer
than by one. So each core has a batch of its own, and no layer waits for another one.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import torch

from egofeat.device import exact
from egofeat.extract.task import Task
from egofeat.host import free_memory

_TENSORS = 4
"""Of the size of the largest, that a batch takes at most: SlowFast 8×8 and I3D peak at three."""

MOST = 16
"""Batches at once, at most: of each some milliseconds are Python's, which runs one at a time."""

T = TypeVar("T")


@dataclass(frozen=True)
class Threads:
    """Those that run batches."""

    pool: ThreadPoolExecutor
    number: int


class InOrder(Generic[T]):
    """Calls by several threads, whose results come in the order in which they were given.

    As many calls wait for a thread as there are threads, at most.
    """

    def __init__(self, threads: Threads) -> None:
        self._pool = threads.pool
        self._most = 2 * threads.number
        self._under_way: deque[Future[T]] = deque()

    def put(self, call: Callable[[], T]) -> Iterator[T]:
        """Have a call made; yields results of earlier ones, waiting where there are too many.

        What a call raises is raised here.
        """
        self._under_way.append(self._pool.submit(call))
        while len(self._under_way) > self._most or self._is_next_done():
            yield self._under_way.popleft().result()

    def rest(self) -> Iterator[T]:
        """All results that have not come."""
        while self._under_way:
            yield self._under_way.popleft().result()

    def _is_next_done(self) -> bool:
        return bool(self._under_way) and self._under_way[0].done()


@contextmanager
def side_by_side(tasks: Sequence[Task]) -> Iterator[Threads | None]:
    """Threads that run batches, for the networks of all tasks; None where this one runs them.

    Leaving it gives up what was not begun, and waits for what was.
    """
    cores = torch.get_num_threads()
    threads = min(cores, *map(_most, tasks))
    if threads == 1:
        yield None
        return
    with ExitStack() as stack:
        # What each forward sets, and sets back, is set already: another's is under way.
        stack.enter_context(exact())
        share = partial(torch.set_num_threads, cores // threads)
        pool = ThreadPoolExecutor(threads, "network", share)
        stack.callback(pool.shutdown, cancel_futures=True)
        for task in tasks:
            task.backbone.runs_abreast(threads)
        yield Threads(pool, threads)


def _most(task: Task) -> int:
    """At once: one where a network may not be, and as many as there is memory for."""
    backbone = task.backbone
    on_cpu = backbone.device.type == "cpu" and torch.get_num_threads() > 1
    if not on_cpu or not backbone.is_reentrant or task.moves_on_device:
        return 1
    return max(1, min(MOST, views_in_memory(task) // task.views_a_batch))


def views_in_memory(task: Task) -> int:
    """Views that free memory of the host holds, with what the network makes of them; at least 1."""
    transform = task.recipe.transform
    largest = 4 * task.backbone.outline(*task.view_sides).largest * transform.crops
    whole = 2 if transform.resize == "whole" else 1  # a frame is as wide as twice its height
    return max(1, free_memory() // (_TENSORS * whole * largest))

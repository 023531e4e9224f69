"""Several threads, each with one task at a time, whose events one consumer takes."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from egofeat.extract.handover import Handover

Task = TypeVar("Task")
Event = TypeVar("Event")


@contextmanager
def in_threads(
    tasks: Iterable[Task],
    work: Callable[[Task], Iterator[Event]],
    *,
    threads: int,
    waiting: int,
    weigh: Callable[[Event], int],
    turns: bool,
) -> Iterator[Iterator[Event]]:
    """Events of many tasks; those of one task stay in order.

    Leaving it stops the threads and waits for them: not before, so that who is interrupted can
    save what there is at once.

    Args:
        tasks: taken in order, each by the next thread that is free.
        work: what a thread does with a task.
        threads: how many.
        waiting: how much waits at most for the consumer, as events are weighed, beside what it
            took in one go.
        weigh: how much an event is.
        turns: whether threads rest while the consumer works.
    """
    handover: Handover[Event | BaseException] = Handover(threads, waiting, turns=turns)
    shared = _Shared(tasks)

    def run() -> None:
        try:
            for task in shared:
                for event in work(task):
                    if not handover.put(event, weigh(event)):
                        return
        except BaseException as error:  # a defect: raised again where the caller can see it
            handover.put(error)
        finally:
            handover.finish()

    def events() -> Iterator[Event]:
        for event in handover:
            if isinstance(event, BaseException):
                raise event
            yield event

    workers = [threading.Thread(target=run, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield events()
    finally:
        handover.close()
        for worker in workers:
            worker.join()


class _Shared(Iterator[Task]):
    """Tasks that several threads take from, each the next one."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = iter(tasks)
        self._lock = threading.Lock()

    def __next__(self) -> Task:
        with self._lock:
            return next(self._tasks)

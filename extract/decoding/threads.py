"""Several threads, each with one task at a time, whose events one consumer takes."""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from egofeat.host import cores

Task = TypeVar("Task")
Event = TypeVar("Event")
Item = TypeVar("Item")

MOST = 16
"""Threads that a disk feeds."""
_FEW = 5
"""Threads, of which one at least begins a task: to open a long video takes seconds."""


def decoding_threads() -> int:
    """One a core, 16 at most."""
    return min(MOST, cores())


@contextmanager
def in_threads(
    tasks: Iterable[Task],
    work: Callable[[Task, Callable[[Iterable[Task]], None]], Iterator[Event | None]],
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
        tasks: taken in order, each by the next thread that is free, when it is free.
        work: what a thread does with a task; it may call its second argument with further tasks,
            for any thread, which come before those that nobody has begun; once, even with none.
            Where it yields None it has no event, and rests as it would with one.
        threads: how many.
        waiting: how much waits at most for the consumer, as events are weighed, beside what it
            took in one go.
        weigh: how much an event is.
        turns: whether threads rest while the consumer works.
    """
    handover: Handover[Event | BaseException] = Handover(threads, waiting, turns=turns)
    agenda = Agenda(tasks, threads)

    def run() -> None:
        try:
            for task in agenda:
                for event in work(task, agenda.add):
                    wanted = handover.rest() if event is None else handover.put(event, weigh(event))
                    if not wanted:
                        return
        except BaseException as error:  # a defect: raised again where the caller can see it
            handover.put(error)
        finally:
            agenda.leave()
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
        agenda.close()
        for worker in workers:
            worker.join()


class Agenda(Generic[Task]):
    """Tasks for several threads, each of which iterates over it.

    A thread that finds none waits as long as another is at work, which may bring up further ones.
    So few are begun at a time: what one machine begins no other can have.

    Args:
        tasks: asked for the next one, by one thread at a time, when there is no further one.
        threads: how many.
    """

    def __init__(self, tasks: Iterable[Task], threads: int) -> None:
        self._tasks = iter(tasks)
        self._openings = Openings(threads)
        self._opening: set[int] = set()
        """Threads whose task may bring up further ones."""
        self._further: deque[Task] = deque()
        self._at_work: set[int] = set()
        """Threads that have a task."""
        self._over = False
        """Whether there is nothing but what may be brought up."""
        self._changed = threading.Condition()

    def add(self, tasks: Iterable[Task]) -> None:
        """Bring up all further tasks that come of one."""
        with self._changed:
            before = len(self._further)
            self._further.extend(tasks)
            self._settle(len(self._further) - before)
            self._changed.notify_all()

    def leave(self) -> None:
        """Say that this thread brings up no further task."""
        with self._changed:
            self._at_work.discard(threading.get_ident())
            self._settle(0)
            self._changed.notify_all()

    def close(self) -> None:
        """Give out no more."""
        with self._changed:
            self._over = True
            self._further.clear()
            self._at_work.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Task]:
        """Tasks for the thread that asks, until there is none left."""
        while True:
            self.leave()
            with self._changed:
                self._changed.wait_for(self._may_go_on)
                if self._begins():
                    self._over = True  # also if the next one cannot be had
                    try:
                        task = next(self._tasks)
                    except StopIteration:
                        continue
                    self._over = False
                    self._opening.add(threading.get_ident())
                elif self._further:
                    task = self._further.popleft()
                else:
                    return
                self._at_work.add(threading.get_ident())
            yield task

    def _begins(self) -> bool:
        return not self._over and self._openings.wants(len(self._opening), len(self._further))

    def _may_go_on(self) -> bool:
        return bool(self._further) or self._begins() or not self._at_work

    def _settle(self, further: int) -> None:
        """The task of the thread that asks has brought up all that comes of it."""
        if threading.get_ident() in self._opening:
            self._opening.remove(threading.get_ident())
            self._openings.tell(further)


class Openings:
    """How many tasks several threads should begin at a time: enough that none is idle.

    That is told by how many further ones came of those that were begun.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._begun, self._all = 1, _FEW  # until more is known

    def tell(self, further: int) -> None:
        """So many further tasks came of one."""
        self._begun += 1
        self._all += 1 + further

    def wants(self, opening: int, waiting: int) -> bool:
        """Whether one should be begun, while so many are, and so many further ones wait.

        One at a time is begun ahead, since to begin takes time.
        """
        ahead = int(waiting < self._threads)
        return opening < (ahead if waiting else self.most)

    @property
    def most(self) -> int:
        """At a time, where no thread has anything else to do."""
        needed = math.ceil(self._threads * self._begun / self._all)
        return max(1, self._threads // _FEW, needed)


class Handover(Generic[Item]):
    """A bounded buffer from `makers` threads to the one that runs the network.

    On a GPU the two sides work at the same time. On a CPU they would fight for the same cores,
    and a network that shares every layer out to all cores waits for the slowest: there they
    take turns, makers until enough is waiting, then the network until all of it is used up.

    Args:
        makers: threads that will each call `finish` once.
        capacity: how much waits at most, as items are weighed, beside what the consumer took in
            one go.
        turns: whether makers rest while the consumer works.
    """

    def __init__(self, makers: int, capacity: int, *, turns: bool) -> None:
        self._making = makers
        self._capacity = capacity
        self._turns = turns
        self._consuming = False
        self._closed = False
        self._items: list[Item] = []
        self._weight = 0
        self._changed = threading.Condition()

    def put(self, item: Item, weight: int = 1) -> bool:
        """Hand one item over, waiting for room; False when nobody wants it any more."""
        with self._changed:
            self._changed.wait_for(self._may_make)
            self._items.append(item)
            self._weight += weight
            self._changed.notify_all()
            return not self._closed

    def rest(self) -> bool:
        """Wait until a maker may go on; False when nobody wants anything any more."""
        if not self._may_make():
            with self._changed:
                self._changed.wait_for(self._may_make)
        return not self._closed

    def finish(self) -> None:
        """Say that one maker is done."""
        with self._changed:
            self._making -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Say that nothing more is wanted."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Item]:
        """Items in the order in which they were put, until every maker is done."""
        while True:
            with self._changed:
                self._consuming = False
                self._changed.notify_all()
                self._changed.wait_for(self._may_consume)
                self._consuming = True
                items, self._items, self._weight = self._items, [], 0
                if not self._turns:
                    self._changed.notify_all()
            if not items:
                return
            yield from items

    def _may_make(self) -> bool:
        resting = self._turns and self._consuming
        return self._closed or (self._weight < self._capacity and not resting)

    def _may_consume(self) -> bool:
        enough = self._capacity if self._turns else 1
        return self._making == 0 or self._weight >= enough

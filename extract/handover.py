"""How decoding threads hand over what they make to the one thread that runs the network.

On a GPU the two sides work at the same time. On a CPU they would fight for the same cores,
and a network that shares every layer out to all cores waits for the slowest: there they
take turns, decoders until enough is waiting, then the network until all of it is used up.
"""

import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Handover(Generic[T]):
    """A bounded buffer from `makers` threads to one consumer.

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
        self._items: list[T] = []
        self._weight = 0
        self._changed = threading.Condition()

    def put(self, item: T, weight: int = 1) -> bool:
        """Hand one item over, waiting for room; False when nobody wants it any more."""
        with self._changed:
            self._changed.wait_for(self._may_make)
            self._items.append(item)
            self._weight += weight
            self._changed.notify_all()
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

    def __iter__(self) -> Iterator[T]:
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

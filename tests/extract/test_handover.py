"""Handing over from decoding threads: order, bounds, turns, and an early end."""

import threading
import time

import pytest

from egofeat.extract.threads import Handover


def make(handover: Handover[int], items: range, made: list[int]) -> threading.Thread:
    def work() -> None:
        try:
            for item in items:
                if not handover.put(item):
                    return
                made.append(item)
        finally:
            handover.finish()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("turns", [False, True])
@pytest.mark.parametrize(("makers", "count"), [(1, 0), (1, 3), (1, 100), (4, 250)])
def test_everything_arrives_once_and_in_each_makers_order(turns, makers, count):
    handover = Handover[int](makers, capacity=8, turns=turns)
    for maker in range(makers):
        make(handover, range(maker, count, makers), [])
    arrived = list(handover)
    assert sorted(arrived) == list(range(count))
    for maker in range(makers):
        assert [item for item in arrived if item % makers == maker] == list(
            range(maker, count, makers)
        )


@pytest.mark.parametrize("turns", [False, True])
def test_no_more_than_the_capacity_waits(turns):
    handover = Handover[int](1, capacity=5, turns=turns)
    made: list[int] = []
    thread = make(handover, range(100), made)
    items = iter(handover)
    for taken in range(1, 21):
        next(items)
        time.sleep(0.002)
        assert len(made) <= taken + 2 * 5
    handover.close()
    thread.join(timeout=5)
    assert not thread.is_alive()


def test_makers_rest_while_the_consumer_works():
    handover = Handover[int](1, capacity=4, turns=True)
    made: list[int] = []
    thread = make(handover, range(12), made)
    items = iter(handover)
    for batch in range(3):
        assert [next(items) for _ in range(4)] == list(range(4 * batch, 4 * batch + 4))
        time.sleep(0.02)
        assert len(made) == 4 * batch + 4
    thread.join(timeout=0.1)
    assert list(items) == []

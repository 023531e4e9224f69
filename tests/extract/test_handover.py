"""Handing over from decoding threads: order, bounds, turns, and an early end."""

import threading
import time

import pytest

from egofeat.extract.decoding.threads import Handover, Openings, in_threads


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


def test_few_threads_begin_a_task_where_each_brings_up_many_and_all_where_none_does():
    """What one machine has begun no other can take; short videos keep every thread busy."""
    assert Openings(16).most == 4
    of_long, of_short, alone = Openings(16), Openings(16), Openings(1)
    for _ in range(100):
        of_long.tell(30)
        of_short.tell(0)
    assert (of_long.most, of_short.most, alone.most) == (3, 16, 1)
    begun: list[int] = []
    at_once = threading.Barrier(4)

    def work(task, further):
        begun.append(task)
        if task in range(4):  # the other threads wait for what these bring up
            at_once.wait(5)
            assert sorted(begun) == [0, 1, 2, 3]
            at_once.wait(5)
        if task < 100:
            further(range(100, 116))
        yield task

    tasks = iter(range(6))
    with in_threads(tasks, work, threads=16, waiting=8, weigh=lambda _: 1, turns=False) as events:
        assert sorted(events) == sorted([*range(6), *list(range(100, 116)) * 6])

"""Batches: the same rows, in the same order, wherever they are read from."""

import threading
import time
from contextlib import closing

import numpy as np
import pytest
import torch

from egofeat.device import choose_device
from egofeat.errors import RequestError, StoreError
from egofeat.heads.training.ahead import RING
from egofeat.heads.training.feed import Feed, channel_statistics, should_hold
from egofeat.heads.training.sampling import balanced_odds, epoch_order

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_held_and_mapped_give_the_same_batches(array_features, dtype):
    source = array_features(np.random.default_rng(0).normal(size=(20, 3, 4)).astype(dtype))
    rows = np.array([17, 2, 9, 4, 5, 11, 19])
    order = np.random.default_rng(1).permutation(7)
    mapped, held = (
        [
            (features.clone(), places.tolist())
            for features, places in Feed(source, rows, device=CPU, batch_size=3, held=hold).batches(
                order
            )
        ]
        for hold in (False, True)
    )
    assert [len(places) for _, places in mapped] == [3, 4]  # the single one left joins
    assert sorted(place for _, places in mapped for place in places) == list(range(7))
    for (features, places), (same, also) in zip(mapped, held, strict=True):
        assert places == also == sorted(places)
        assert torch.equal(features, same)
        assert np.array_equal(features.numpy(), source.array[rows[places]].astype(np.float32))


def test_batches_are_read_while_the_first_is_learnt_from(array_features):
    source = array_features(np.arange(40, dtype=np.float32).reshape(20, 2, 1))
    feed = Feed(source, np.arange(20), device=CPU, batch_size=4, held=False)
    buffers = set()
    with closing(feed.batches(np.arange(20))) as batches:
        for number, (features, places) in enumerate(batches):
            if number == 0:
                wait_until(lambda: len(source.taken) == RING)
                time.sleep(0.05)
            buffers.add(features.data_ptr())
            assert len(source.taken) <= number + RING  # none is written over that is in use
            assert np.array_equal(features.numpy(), source.array[places])
    assert len(buffers) == RING
    assert source.advised == [list(range(first, first + 4)) for first in range(0, 20, 4)]


@pytest.mark.parametrize("rows", [3, 8, 20])
def test_the_system_is_told_of_each_batch_and_of_the_one_after_it_before_it_is_read(
    array_features, rows
):
    source, told = array_features(np.zeros((rows, 2, 1), np.float16)), []
    take = source.take
    source.take = lambda rows, out=None: (told.append(len(source.advised)), take(rows, out))[1]
    feed = Feed(source, np.arange(rows), device=CPU, batch_size=4, held=False)
    batches = len(list(feed.batches(np.arange(rows))))
    assert told == [min(number + 2, batches) for number in range(batches)]


def test_time_without_a_batch_is_counted(array_features):
    source = array_features(np.zeros((8, 2, 1), np.float16))
    take = source.take
    source.take = lambda rows, out=None: (time.sleep(0.1), take(rows, out))[1]
    feed = Feed(source, np.arange(8), device=CPU, batch_size=4, held=False)
    for number, _ in enumerate(feed.batches(np.arange(8))):
        if number == 0:
            first = feed.waited
            wait_until(lambda: len(source.taken) == 2)
    assert first > 0.09
    assert feed.waited - first < 0.05
    assert Feed(source, np.arange(8), device=CPU, batch_size=4, held=True).waited == 0


def test_what_cannot_be_read_is_raised_at_its_batch(array_features):
    source = array_features(np.zeros((12, 2, 1), np.float16))
    take = source.take

    def failing(rows, out):
        if 8 in rows:
            raise StoreError("a shard is damaged")
        return take(rows, out)

    source.take = failing
    feed = Feed(source, np.arange(12), device=CPU, batch_size=4, held=False)
    batches = feed.batches(np.arange(12))
    assert [next(batches)[1].tolist() for _ in range(2)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(StoreError, match="a shard is damaged"):
        next(batches)
    assert not readers()


def test_an_interruption_ends_the_reading(array_features):
    source = array_features(np.zeros((40, 2, 1), np.float16))
    feed = Feed(source, np.arange(40), device=CPU, batch_size=4, held=False)

    def interrupted():
        with closing(feed.batches(np.arange(40))) as batches:
            for _ in batches:
                assert readers()
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not readers()
    assert len(source.taken) <= RING + 1


def readers():
    return [thread for thread in threading.enumerate() if thread.name == "reading ahead"]


def wait_until(true):
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.mark.gpu
def test_a_gpu_reads_what_a_cpu_reads(gpu, array_features):
    source = array_features(np.random.default_rng(0).normal(size=(9, 3, 4)).astype(np.float16))
    for held in (False, True):
        feed = Feed(source, np.arange(9), device=gpu, batch_size=4, held=held)
        for features, places in feed.batches(np.arange(9)):
            expected = source.array[places.cpu().numpy()].astype(np.float32)
            assert np.array_equal(features.cpu().numpy(), expected)


def test_holding_is_chosen_by_size_unless_said():
    assert should_hold("auto", CPU, 1 << 20)
    assert not should_hold("auto", CPU, 1 << 40)
    assert should_hold("on", CPU, 1 << 40)
    assert not should_hold("off", CPU, 1)


@pytest.mark.parametrize("shape", [(30, 4, 5), (30, 4, 5, 2, 3)])
def test_channel_statistics_are_of_the_given_rows(array_features, shape):
    array = np.random.default_rng(0).normal(3, 2, shape).astype(np.float32)
    array[:, :, 1] = 7
    mean, std = channel_statistics(array_features(array), np.arange(10))
    wide = np.moveaxis(array[:10], 2, -1).reshape(-1, 5)
    assert np.allclose(mean, wide.mean(0))
    assert np.allclose(np.delete(std, 1), np.delete(wide.std(0), 1), rtol=1e-4)
    assert std[1] == 1


def test_shuffle_is_a_fresh_permutation_and_balance_levels_the_classes():
    labels = {"verb": np.array([0] * 90 + [1] * 9 + [2])}
    first, again, second = (
        epoch_order("shuffle", labels, np.random.default_rng([0, epoch])) for epoch in (1, 1, 2)
    )
    assert sorted(first) == list(range(100))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    odds = balanced_odds(labels)
    assert [odds[labels["verb"] == c].sum() for c in range(3)] == pytest.approx([1 / 3] * 3)
    drawn = epoch_order("balanced", labels, np.random.default_rng(0))
    assert np.all(np.bincount(labels["verb"][drawn], minlength=3) > 15)


def test_balance_over_targets_is_the_mean_and_skips_absent_labels():
    labels = {"verb": np.array([0, 0, 1, -1]), "noun": np.array([-1, -1, -1, -1])}
    assert balanced_odds(labels).tolist() == pytest.approx([0.25, 0.25, 0.5, 0])


def test_devices():
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type in ("cpu", "cuda")
    for name in ("gpu", "cuda:99"):
        with pytest.raises(RequestError, match=f"'{name}' is not available: this machine has auto"):
            choose_device(name)

"""Batches that several threads fill: every view in one, once, of one shape, in bounded memory."""

import random
import threading
import time

import pytest
import torch

from egofeat.device import Room
from egofeat.extract.batches import filling
from egofeat.extract.batches.filling import Batch, Filling

CPU = torch.device("cpu")


def size_of(number: int) -> tuple[int, int]:
    """Of a frame, such that all have nearly as many bytes."""
    return 60 + number, round(6000 / (60 + number))


def view(number: int, size: int, frames: int = 1) -> list[torch.Tensor]:
    frame = torch.full((1, *size_of(size), 3), number % 251, dtype=torch.uint8)
    return [frame] * frames


def started(size: int) -> Filling:
    return Filling(Room(CPU, size), pinned=False)


def waiting(batches: Filling) -> int:
    return sum(batch.bytes for batch in batches._open.values())


def check(batches: list[Batch], views: int) -> None:
    """Every view is in one of them, whole, with its own frames."""
    numbers = [view[0] for batch in batches for _, view in batch.keys]
    assert sorted(numbers) == list(range(views))
    for batch in batches:
        rows = batch.on(CPU, 0, batch.size)
        assert rows.shape == (batch.size, *batch.shape)
        marks = [number % 251 for _, (number,) in batch.keys]
        assert rows[: len(marks), 0, 0, 0, 0, 0].tolist() == marks
        assert all(row.unique().numel() == 1 for row in rows[: len(marks)])
        assert not rows[len(marks) :].any()


def order_of(kind: str, views: int, sizes: int) -> list[int]:
    luck = random.Random(0)
    if kind == "even":
        return [luck.randrange(sizes) for _ in range(views)]
    if kind == "few are frequent":
        return luck.choices(range(sizes), [1 / (1 + n) for n in range(sizes)], k=views)
    films = [[n % sizes] * (views // 50) for n in range(50)]  # eight at a time
    return [films[8 * (k // 8 // len(films[0]) % 6) + k % 8][0] for k in range(views)]


@pytest.mark.parametrize("kind", ["even", "few are frequent", "films"])
def test_batches_of_forty_sizes_are_nine_tenths_full_in_bounded_memory(kind, monkeypatch):
    """As on a GPU at 256 pixels: a batch takes a fortieth of nine tenths of the bound."""
    views, size = 12_000, 32
    a_batch = size * 3 * 6000
    monkeypatch.setattr(filling, "WAITING_BYTES", 36 * a_batch)
    monkeypatch.setattr(filling, "BLOCK_BYTES", a_batch // 5)
    memory = torch.empty
    monkeypatch.setattr(torch, "empty", lambda shape, dtype, pin_memory: memory(shape, dtype=dtype))
    batches, made, most = Filling(Room(CPU, size), pinned=True), [], 0
    for number, size_ in enumerate(order_of(kind, views, 40)):
        made += batches.place(("v", (number,)), view(number, size_))
        most = max(most, waiting(batches))
    made += batches.rest()
    assert most <= 36 * a_batch
    assert sum(len(batch.keys) for batch in made) == views
    assert views / sum(batch.size for batch in made) >= 0.9


def test_several_threads_fill_the_same_batches(monkeypatch):
    monkeypatch.setattr(filling, "WAITING_BYTES", 3 * 5 * 3 * 6000)
    batches, made, each = started(5), [], 60

    def work(thread: int) -> None:
        for number in range(thread, 4 * each, 4):
            frames = view(number, number % 7)
            made.extend(batches.place(("v", (number,)), frames))

    stack = torch.stack
    monkeypatch.setattr(
        torch, "stack", lambda *views, out: time.sleep(0.0005) or stack(*views, out=out)
    )
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(made + batches.rest(), 4 * each)


def test_memory_is_used_again_and_nothing_of_what_was_there_is_seen():
    batches = started(3)
    made = [b for n in range(3) for b in batches.place(("v", (n,)), view(n + 100, 0))]
    (first,) = made
    before = first.blocks[0].data_ptr()
    batches.release(first)
    batches.place(("w", (0,)), view(0, 1))
    batches.place(("w", (1,)), view(7, 0))
    other, again = batches.rest()
    assert other.blocks[0].data_ptr() != before
    assert again.blocks[0].data_ptr() == before
    rows = again.on(CPU, 0, 3)
    assert rows[0].unique().tolist() == [7]
    assert not rows[1:].any()


def test_a_rare_size_does_not_wait_until_the_end(monkeypatch):
    monkeypatch.setattr(filling, "LATEST", 4)
    batches = started(2)
    assert batches.place(("rare", (0,)), view(0, 1)) == []
    made = [b for n in range(20) for b in batches.place(("v", (n,)), view(n, 0))]
    assert [batch.keys[0][0] for batch in made[:6]] == ["v"] * 4 + ["rare", "v"]


def test_rows_of_a_batch_that_is_run_in_parts():
    batches = started(5)
    made = [b for n in range(5) for b in batches.place(("v", (n,)), view(n, 0))]
    parts = [made[0].on(CPU, first, 2) for first in range(0, 5, 2)]
    assert [part[:, 0, 0, 0, 0, 0].tolist() for part in parts] == [[0, 1], [2, 3], [4, 0]]

"""What several seeds at once cost: an epoch of one head, and of eight on the same batches.

    python bench/seeds.py                                # all heads of vectors, batch 32 and 256
    python bench/seeds.py --seeds 4 --heads lstm --batch 64

Both train in turn (A B A B …) in one process on the same store of rows [20, 1280] float16, read
from its map. An epoch is training and validation; the first of two is not measured. Medians of
seconds and of CPU seconds: on a loaded machine read the latter, with OMP_NUM_THREADS=1. "In turn"
is what the seeds would cost one after the other, "least" the CPU ratio if all seeds' products ran
as one large product does and their weights were one tensor to Adam, and nothing else took time.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from made import CLASSES, SHAPE, write_rows
from ratios import machine, options
from torch.utils.flop_counter import FlopCounterMode

from egofeat.heads.config import TrainerConfig
from egofeat.heads.registry import build_head
from egofeat.heads.training.examples import Examples
from egofeat.heads.training.replicas import Replica
from egofeat.heads.training.trainer import train_together
from egofeat.store import SegmentStore, open_store

HEADS = "conv1d:seed,linear,attention_pool,conv1d,lstm,transformer"


def epoch(task: Examples, name: str, batch: int, seeds: int) -> tuple[float, float]:
    """Seconds and CPU seconds of the second epoch of a head with so many seeds."""
    kind, _, preset = name.partition(":")
    marks: list[tuple[float, float]] = []
    replicas = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        replicas.append(Replica(build_head(kind, SHAPE, CLASSES, preset or None), seed))
    replicas[-1].on_epoch = lambda record: marks.append((time.perf_counter(), time.process_time()))
    config = TrainerConfig(epochs=2, batch_size=batch, device="cpu", device_cache="off")
    train_together(replicas, task, config)
    (wall, cpu), (wall_after, cpu_after) = marks
    return wall_after - wall, cpu_after - cpu


def least(task: Examples, name: str, batch: int, seeds: int) -> float:
    """CPU seconds of the products and of Adam alone, in an epoch of so many seeds."""
    kind, _, preset = name.partition(":")
    head = build_head(kind, SHAPE, CLASSES, preset or None)
    weights = torch.randn(seeds * sum(one.numel() for one in head.parameters()), requires_grad=True)
    weights.grad = torch.randn_like(weights)
    adam = torch.optim.Adam([weights], fused=True)
    a, b = torch.randn(640, 1280), torch.randn(1280, 512)
    product = processor_seconds(lambda: torch.mm(a, b)) / (2 * a.numel() * b.shape[1])
    with FlopCounterMode(display=False) as learnt:
        row = head.condense(head.prepare(torch.randn(batch, *SHAPE)))
        logits = head.conclude(row)
        torch.autograd.backward(torch.stack([one.sum() for one in logits.values()]).sum())
    with FlopCounterMode(display=False) as judged, torch.no_grad():
        head.conclude(row)
    train, validate = len(task.train) / batch, len(task.validation) / batch
    operations: float = train * learnt.get_total_flops() + validate * judged.get_total_flops()
    return seeds * operations * product + train * processor_seconds(adam.step)


def processor_seconds(call: Callable[[], object]) -> float:
    """Median of some calls; the first two are not measured."""
    taken = []
    for _ in range(12):
        began = time.process_time()
        call()
        taken.append(time.process_time() - began)
    return statistics.median(taken[2:])


def main() -> None:
    asked = options(
        __doc__, rows=2048, validation=256, heads=HEADS, batch="32,256", seeds=8, repeats=3
    )
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = asked.rows + asked.validation
        store = open_store(write_rows(Path(folder), rows)).of_kind(SegmentStore)
        labels = {target: rng.integers(0, count, rows) for target, count in CLASSES.items()}
        task = Examples(store, labels, *np.split(np.arange(rows), [asked.rows]))
        print(f"{machine()}, {asked.rows} + {asked.validation} rows, load {os.getloadavg()[0]:.1f}")
        print(f"\n| head | batch | one | {asked.seeds} at once | ratio | in turn | CPU | least |")
        print("|---|--:|--:|--:|--:|--:|--:|--:|")
        for name in asked.heads.split(","):
            for batch in map(int, asked.batch.split(",")):
                taken = [
                    epoch(task, name, batch, 1)
                    + epoch(task, name, batch, asked.seeds)
                    + (least(task, name, batch, asked.seeds),)
                    for _ in range(asked.repeats)
                ]
                one, cpu, all_, cpus, alone = map(statistics.median, zip(*taken, strict=True))
                print(
                    f"| `{name}` | {batch} | {one:.2f} s | {all_:.2f} s | **{all_ / one:.2f}** | "
                    f"{asked.seeds * one:.2f} s | {cpus / cpu:.2f} | {alone / cpu:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()

"""A head's training before and after: an epoch by the code of another checkout and by this one.

    git worktree add /tmp/before 2f4ae9e
    python bench/heads.py --of /tmp/before                                # all heads of vectors
    python bench/heads.py --of /tmp/before --rows 67217 --validation 9668 --heads conv1d:seed

Each checkout has a process of its own, and both train in turn (A B A B …) on the same store: rows
[20, 1280] float16 with labels of 97 verbs and 300 nouns, held in memory, or with `--cache off` read
from its map; `stam` on maps [8, 96, 8, 8]. An epoch is training and validation; the first of two
is not measured, nor what is done once before it.
Medians of seconds and of CPU seconds: on a loaded machine read the latter, with OMP_NUM_THREADS=1.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

import numpy as np
import torch
from made import CLASSES, SHAPE, write_rows
from ratios import machine, options

from egofeat.heads import Examples, train
from egofeat.heads.config import TrainerConfig
from egofeat.heads.registry import build_head
from egofeat.store import SegmentStore, open_store

HEADS = "conv1d:seed,linear,attention_pool,conv1d,lstm,transformer,stam"
MAPS, OF_MAPS = (8, 96, 8, 8), 8
"""Of `stam`, which gets one row of so many."""


def epoch(
    store: SegmentStore, validation: int, name: str, batch: int, cache: str
) -> tuple[float, float]:
    """Seconds and CPU seconds of the second epoch of a head, named as `head` or `head:preset`."""
    kind, _, preset = name.partition(":")
    rng, rows = np.random.default_rng(1), len(store)
    shape: tuple[int, ...] = SHAPE
    features: object = store
    if kind == "stam":
        rows, shape, validation = rows // OF_MAPS, MAPS, validation // OF_MAPS
        features = np.maximum(rng.standard_normal((rows, *MAPS), np.float32), 0).astype(np.float16)
    labels = {target: rng.integers(0, count, rows) for target, count in CLASSES.items()}
    train_rows, val_rows = np.split(np.arange(rows), [rows - validation])
    torch.manual_seed(0)
    head = build_head(kind, shape, CLASSES, preset or None)
    marks: list[tuple[float, float]] = []
    train(
        head,
        Examples(features, labels, train_rows, val_rows),  # type: ignore[arg-type]
        TrainerConfig(epochs=2, batch_size=batch, device="cpu", device_cache=cache),
        on_epoch=lambda record: marks.append((time.perf_counter(), time.process_time())),
    )
    (wall, cpu), (wall_after, cpu_after) = marks
    return wall_after - wall, cpu_after - cpu


def work(place: str, validation: int, cache: str) -> None:
    """Train what each line of the input names; answer with the seconds."""
    store = open_store(Path(place)).of_kind(SegmentStore)
    for line in sys.stdin:
        name, batch = line.split()
        print(*epoch(store, validation, name, int(batch), cache), flush=True)


def started(checkout: Path, place: Path, validation: int, cache: str) -> tuple[IO[str], IO[str]]:
    """Start a process of a checkout's code; returns its input and its output."""
    words = ["--work", str(place), "--validation", str(validation), "--cache", cache]
    process = subprocess.Popen(
        [sys.executable, __file__, *words],
        env=os.environ | {"PYTHONPATH": str(checkout / "src")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def main() -> None:
    sizes = {"rows": 4096, "validation": 512, "batch": "32,256", "repeats": 3}
    asked = options(__doc__, of="", work="", heads=HEADS, cache="auto", **sizes)
    if asked.work:
        work(asked.work, asked.validation, asked.cache)
        return
    if not asked.of:
        raise SystemExit("--of is missing: name a checkout of the code of before")
    checkouts = (Path(asked.of).resolve(), Path(__file__).resolve().parents[1])
    with tempfile.TemporaryDirectory() as folder:
        place = write_rows(Path(folder), asked.rows + asked.validation)
        workers = [
            started(checkout, place, asked.validation, asked.cache) for checkout in checkouts
        ]
        print(f"{machine()}, {asked.rows} + {asked.validation} rows, load {os.getloadavg()[0]:.1f}")
        print("\n| head | batch | before | after | ratio | CPU before | CPU after | ratio |")
        print("|---|--:|--:|--:|--:|--:|--:|--:|")
        for name in asked.heads.split(","):
            for batch in asked.batch.split(","):
                compare(workers, name, batch, asked.repeats)
        for to, _ in workers:
            to.close()


def compare(workers: list[tuple[IO[str], IO[str]]], name: str, batch: str, repeats: int) -> None:
    """Train a head by each in turn; print one line of the table."""
    taken: list[list[tuple[float, ...]]] = [[] for _ in workers]
    for _ in range(repeats):
        for (to, back), times in zip(workers, taken, strict=True):
            to.write(f"{name} {batch}\n")
            to.flush()
            times.append(tuple(map(float, back.readline().split())))
    walls, cpus = zip(
        *(map(statistics.median, zip(*times, strict=True)) for times in taken), strict=True
    )
    cells = [
        f"{before:.2f} s | {after:.2f} s | **{before / after:.2f}**"
        for before, after in (walls, cpus)
    ]
    print(f"| `{name}` | {batch} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

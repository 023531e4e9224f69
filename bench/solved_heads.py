"""What the heads that are computed, knn and logistic, take at the size of EPIC-KITCHENS-100.

python bench/solved_heads.py [--heads knn,logistic] [--rows 67217]: made averages, 67,217 + 9,668 ×
1,280 float32, of 97 verbs and 300 nouns that are as frequent as 1/rank; with `--alike` the channels
correlate, as those of a network do. Prints seconds, CPU seconds and peak memory.
"""

import resource
import time

import numpy as np
import torch
from numpy.typing import NDArray
from ratios import options

from egofeat.heads import build_head
from egofeat.heads.config import TrainerConfig
from egofeat.heads.solved import SolvedHead
from egofeat.heads.training.examples import Examples
from egofeat.heads.training.passes import predict
from egofeat.heads.training.solving import solve

ROWS, VALIDATION, WIDTH = 67_217, 9_668, 1_280
CLASSES = {"verb": 97, "noun": 300}


def made(rows: int, validation: int, *, alike: bool) -> Examples:
    rng = np.random.default_rng(0)
    count = rows + validation
    features: NDArray[np.float32] = rng.standard_normal((count, 1, WIDTH), np.float32)
    labels = {}
    for target, classes in CLASSES.items():
        frequency = 1 / np.arange(1, classes + 1)
        labels[target] = rng.choice(classes, count, p=frequency / frequency.sum())
        centres = rng.standard_normal((classes, WIDTH), np.float32)
        for start in range(0, count, 4096):
            stop = start + 4096
            features[start:stop, 0] += 0.15 * centres[labels[target][start:stop]]
    if alike:
        falling = (1 / np.sqrt(np.arange(1, WIDTH + 1))).astype(np.float32)
        mixed = rng.standard_normal((WIDTH, WIDTH), np.float32)
        features = ((features * falling) @ mixed).astype(np.float32)
    return Examples(features, labels, np.arange(rows), np.arange(rows, count))


def memory() -> str:
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB"


def main() -> None:
    asked = options(__doc__, heads="knn,logistic", rows=ROWS, alike=False)
    validation = round(asked.rows * VALIDATION / ROWS)
    examples = made(asked.rows, validation, alike=asked.alike)
    print(f"rows made, peak {memory()}, {torch.get_num_threads()} threads")
    for name in asked.heads.split(","):
        head = build_head(name, (1, WIDTH), CLASSES)
        assert isinstance(head, SolvedHead)
        began, busy = time.monotonic(), time.process_time()
        _, chosen = solve([head], examples, TrainerConfig(device="cpu"))
        solved = time.monotonic() - began
        logits = predict(head, examples.features, examples.validation)
        seconds, busy = time.monotonic() - began, time.process_time() - busy
        right = {
            target: float((of.argmax(1).numpy() == examples.labels[target][asked.rows :]).mean())
            for target, of in logits.items()
        }
        print(
            f"{name}: solved in {solved:.0f} s, {validation:,} rows judged in "
            f"{seconds - solved:.0f} s (CPU {busy:.0f} s together), peak {memory()}; "
            f"top-1 {right} {chosen}"
        )


if __name__ == "__main__":
    main()

"""CPU milliseconds a frame by the number of frames at once, random weights.

    python bench/batches.py [--backbone mobilenetv2] [--engine torch] [--precision float32]
        [--sizes 32,64,112,224,256] [--threads 1] [--repeats 3]

Each thread has batches of its own, as in extraction. Batches whose largest activation takes more
than 200 MB are left out.
"""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import torch
from ratios import machine, options

from egofeat.device import exact
from egofeat.extract.backbones import load

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
FRAMES = 64
"""Of a thread that are timed at once, or a batch."""


def main() -> None:
    asked = options(
        __doc__,
        backbone="mobilenetv2",
        engine="torch",
        precision="float32",
        sizes="32,64,112,224,256",
        threads=1,
        repeats=3,
    )
    torch.set_num_threads(1)
    backbone = load(asked.backbone, "random", precision=asked.precision, engine=asked.engine)
    backbone.runs_abreast(asked.threads)
    print(machine())
    with exact(), ThreadPoolExecutor(asked.threads) as pool:
        for size in map(int, asked.sizes.split(",")):
            a_frame = 4 * backbone.outline(size).largest
            frames = {n: torch.randn(n, 3, size, size) for n in BATCHES if n * a_frame <= 2e8}
            taken: dict[int, list[float]] = {n: [] for n in frames}
            for number in range(-1, asked.repeats):
                for n, batch in frames.items():
                    batches = [batch] * (asked.threads * -(-FRAMES // n))
                    began = time.process_time()
                    list(pool.map(backbone, batches))
                    if number >= 0:
                        taken[n].append(1e3 * (time.process_time() - began) / n / len(batches))
            row = "  ".join(f"{n}: {statistics.median(times):.2f}" for n, times in taken.items())
            print(f"{size} pixels, largest activation {a_frame / 1e6:.2f} MB a frame, ms  {row}")


if __name__ == "__main__":
    main()

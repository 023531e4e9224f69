"""What `fit-head --seeds 8` takes against one seed: whole commands, from start to metrics.

    python bench/whole_seeds.py                         # all heads of vectors
    python bench/whole_seeds.py --heads linear --rows 8192 --epochs 10

Each in turn (A B C A B C …) on a store of rows [20, 1280] float16 with 97 verbs and 300 nouns: one
seed with one thread, one seed with all, eight seeds with all. Medians. "Busiest" is the CPU seconds
of the command's first process and of that of its workers with the most: what the command waits for
where each has a core. On a loaded machine read that, against the CPU seconds of one seed with one
thread; seconds of the clock are for a quiet one.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from epic_size import write_store
from ratios import machine, options

HEADS = "linear,attention_pool,conv1d:seed,conv1d,lstm,transformer"
_TICKS = os.sysconf("SC_CLK_TCK")


def command(words: list[str], threads: int) -> tuple[float, float]:
    """Seconds of a command, and CPU seconds of its first process and its busiest worker."""
    env = os.environ | {"OMP_NUM_THREADS": str(threads)}
    began, spent = time.perf_counter(), dict[int, float]()
    with subprocess.Popen(
        [sys.executable, "-m", "egofeat", *words], env=env, stdout=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            with suppress(OSError):
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
                for pid in (process.pid, *map(int, children.split())):
                    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                    spent[pid] = (int(fields[11]) + int(fields[12])) / _TICKS
            time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"egofeat {' '.join(words)} ended with {process.returncode}")
    first = spent.pop(process.pid)
    return time.perf_counter() - began, first + max(spent.values(), default=0.0)


def main() -> None:
    asked = options(
        __doc__, rows=2048, validation=256, heads=HEADS, epochs=4, seeds=8, repeats=3, threads=2
    )
    print(
        f"{machine()}, {asked.rows} + {asked.validation} rows, {asked.epochs} epochs, "
        f"load {os.getloadavg()[0]:.1f}\n"
    )
    print(
        f"| head | one seed | {asked.threads} threads | {asked.seeds} seeds | ratio | "
        "one seed, CPU | busiest | ratio | load |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        store = write_store(Path(folder) / "store", asked.rows, asked.validation)
        for head in asked.heads.split(","):
            name, _, preset = head.partition(":")
            base = ["fit-head", name, *(["--preset", preset] if preset else [])]
            base += ["--store", str(store), "--epochs", str(asked.epochs), "--patience", "0"]
            taken = []
            for repeat in range(asked.repeats):
                outs = [f"{folder}/{head}-{repeat}-{of}" for of in ("one", "all", "seeds")]
                taken.append(
                    command([*base, "--out", outs[0]], 1)
                    + command([*base, "--out", outs[1]], asked.threads)[:1]
                    + command([*base, "--out", outs[2], "--seeds", str(asked.seeds)], asked.threads)
                )
            one, cpu, threaded, all_, busiest = map(statistics.median, zip(*taken, strict=True))
            print(
                f"| `{head}` | {one:.1f} s | {threaded:.1f} s | {all_:.1f} s | "
                f"**{all_ / min(one, threaded):.2f}** | {cpu:.1f} s | {busiest:.1f} s | "
                f"**{busiest / cpu:.2f}** | {os.getloadavg()[0]:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

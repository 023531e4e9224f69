"""What a store costs when it is large: opening, listing, one id, a batch, what is done, verify.

    python bench/scale.py [--rows 1000000] [--a-shard 100] [--folder DIR] [--of CHECKOUT]

Makes stores of a hundredth, a tenth and all of the rows, a hundred rows a shard and fifty a video,
written as extraction does but for `fsync`, and measures each step in a process of its own:
seconds of the wall and the peak of its memory. The first opening makes the index that readers keep;
the other steps have it. The steps of the three stand in one line, so that what does
not grow in a straight line is seen. `--of` measures the code of another checkout.
A million rows are 0.9 GB of disk, and 10 minutes of two cores.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
from ratios import whole

from egofeat.recipe import Recipe, Transform, Uniform
from egofeat.segments import Dataset, Segment
from egofeat.store import ShardRows, StoreWriter

SHAPE = (1, 64)
A_VIDEO = 50
STEPS = {
    "open_store": "s = open_store(path); len(s)",
    "random batch of 256": "import torch; s = open_store(path); i = rng.integers(0, len(s), 256); "
    "t = clock(); s.take(i)",
    "one id": "s = open_store(path); i = str(s.ids[len(s) // 3]); t = clock(); s[i]",
    "one missing id": "s = open_store(path); t = clock(); missing(s)",
    "list_stores": "list_stores(path)",
    "what is done": "len(progress_of(path).done)",
    "verify": "verify(path)",
}
"""Python of each step; what it prepares stands before `t = clock()`."""
PROBE = """
import time
from pathlib import Path
import numpy as np
from egofeat.errors import StoreError
from egofeat.store import list_stores, open_store, progress_of, verify
def missing(store):
    try:
        store["P07_12345x"]
    except StoreError:
        pass
clock, rng, path = time.perf_counter, np.random.default_rng(0), Path({path!r})
t = clock()
{step}
seconds = clock() - t
(peak,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(seconds, int(peak.split()[1]) / 1024)
"""


def make_store(folder: Path, rows: int, a_shard: int) -> Path:
    """Write a store of made-up features."""
    segments = tuple(
        Segment(
            id=f"P{number // A_VIDEO % 37:02}_{number}",
            video=f"P{number // A_VIDEO % 37:02}_{number // A_VIDEO:05}",
            start=2.0 * (number % A_VIDEO),
            stop=2.0 * (number % A_VIDEO) + 3,
            split=("train", "validation")[number % 8 == 0],
            labels={"verb": number % 97, "noun": number % 300},
            group=f"P{number // A_VIDEO % 37:02}",
        )
        for number in range(rows)
    )
    classes = {"verb": tuple(map(str, range(97))), "noun": tuple(map(str, range(300)))}
    recipe = Recipe(
        backbone="made-up",
        weights="random:0",
        transform=Transform("squash", 256, 256),
        plan=Uniform(1),
        taps={"gap": SHAPE},
        dtype="float16",
    )
    rng = np.random.default_rng(0)
    with mock.patch.object(os, "fsync"):
        writer = StoreWriter.open(
            folder, Dataset("scale", {}, segments, classes), recipe, made_with={}
        )
        for first in range(0, rows, a_shard):
            part = segments[first : first + a_shard]
            count = len(part)
            starts = np.array([segment.start for segment in part])
            rows_of = ShardRows(
                ids=[segment.id for segment in part],
                videos=[segment.video for segment in part],
                starts=starts,
                stops=starts + 3,
                clipped=np.zeros(count, np.bool_),
                times=starts[:, np.newaxis] + 1.5,
                taps={"gap": rng.standard_normal((count, *SHAPE)).astype(np.float16)},
                media_stamps=np.full((count, 4), -1),
            )
            writer.write_shard(f"{first:08}", rows_of)
    return writer.path


def measure(path: Path, step: str, source: Path) -> tuple[float, float]:
    """Seconds of a step, and MiB of the peak of its process."""
    code = PROBE.format(path=str(path), step="\n".join(step.split("; ")))
    environment = os.environ | {"PYTHONPATH": str(source / "src")}
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    seconds, peak = map(float, found.stdout.split())
    return seconds, peak


def command(path: Path, source: Path) -> tuple[float, float]:
    """Seconds of `egofeat ls`, with the start of the program, and MiB of its peak."""
    _, (_, wall, peak) = whole([sys.executable, "-m", "egofeat", "ls", str(path)], source)
    return wall, peak


def report(stores: list[Path], source: Path) -> None:
    """Print a line a step."""
    time.sleep(3)  # what was written just now is not yet taken for settled
    for path in stores:
        (path / ".index").unlink(missing_ok=True)
    show("open_store, first", [measure(path, STEPS["open_store"], source) for path in stores])
    for name, step in STEPS.items():
        show(name, [measure(path, step, source) for path in stores])
    show("egofeat ls, whole", [command(path, source) for path in stores])


def show(name: str, cells: list[tuple[float, float]]) -> None:
    """Print one line."""
    print(f"{name:24}", *(f"{of:9.4f} s {peak:6.0f} MiB" for of, peak in cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--a-shard", type=int, default=100, help="rows of a shard")
    parser.add_argument("--folder", type=Path, help="keep the stores here, or use those that are")
    parser.add_argument("--of", type=Path, default=Path(__file__).parents[1], help="a checkout")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        stores = []
        for rows in (options.rows // 100, options.rows // 10, options.rows):
            there = list((folder / str(rows)).glob("scale/*/store.json"))
            stores.append(
                there[0].parent if there else make_store(folder / str(rows), rows, options.a_shard)
            )
        print("rows:", *(f"{path.parents[1].name:>20}" for path in stores))
        report(stores, options.of.resolve())


if __name__ == "__main__":
    main()

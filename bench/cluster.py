"""Whether workers that are killed cost anything: stores against what one process makes, by bits.

    python bench/cluster.py [--films 6] [--kills 20] [--every 20] [--no-ray]

Ray: three nodes on this machine, of which one is killed as soon as the first shard is there, and a
film that ends whichever worker opens it. Processes: `--devices cpu,cpu`, whose workers are killed
(SIGKILL) at random moments, `--every` so many seconds on average, data set after data set, until
there were so many kills; a worker needs several seconds to start, and kills that come faster end
the extraction, as they should. What is left is then made by one process (`--retry-failed`).
A worker that is asked to end publishes what it has whole, in a shard of its own: so rows are
compared.
"""

import multiprocessing
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from made import film
from ratios import machine, options

from egofeat.errors import EgofeatError
from egofeat.pipelines.extraction import extract
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import SegmentStore, open_store, progress_of, verify

DEADLY = """
import os, sys
def die(event, args):
    if event == "open" and str(args[0]).endswith("deadly.mp4"):
        os._exit(3)
sys.addaudithook(die)
"""
A_FILM = 70
"""Segments: two films do not fit a shard."""


@dataclass
class Outcome:
    """What became of one extraction."""

    extracted: int = 0
    failed: int = 0
    kills: int = 0
    wrong: int = 0
    """Rows that are not what one process makes, before anything is made again."""
    alike: bool = False
    """Whether all rows are, when what failed was made again, and the store is undamaged."""
    seconds: float = 0.0
    said: str = ""
    """What ended it."""

    def show(self, name: str) -> None:
        """Print a row."""
        print(
            f"{name:12}  {self.extracted:9}  {self.failed:6}  {self.kills:5}  {self.wrong:5}  "
            f"{'yes' if self.alike else 'NO':5}  {self.seconds:7.1f}  {self.said}",
            flush=True,
        )


def made_films(folder: Path, count: int) -> Dataset:
    """So many films, and the deadly one; a shard each."""
    paths = [film(folder / f"{name}.mp4") for name in [*map(str, range(count)), "deadly"]]
    segments = tuple(
        Segment(f"{path.stem}-{k}", path.stem, k * 0.1, k * 0.1 + 2.0)
        for path in paths
        for k in range(A_FILM)
    )
    return Dataset("bench", {path.stem: Media(path) for path in paths}, segments, {})


def rows_of(store: Path) -> dict[str, bytes]:
    """Id of each segment to its features."""
    found = open_store(store).of_kind(SegmentStore)
    return {id_: found[id_].tobytes() for id_ in found.ids}


def compared(
    config: ExtractConfig, dataset: Dataset, alone: dict[str, bytes], kills: Callable[[], int]
) -> Outcome:
    """Extract by workers while something kills them, then what is left by one process."""
    outcome, began = Outcome(), time.perf_counter()
    try:
        report = extract.run(config, dataset)
        outcome.extracted, outcome.failed = report.extracted, report.failed
    except EgofeatError as error:
        outcome.said = str(error)
    outcome.kills, outcome.seconds = kills(), time.perf_counter() - began
    (store,) = config.out.glob("*/*")
    if progress_of(store).done:
        outcome.wrong = sum(alone[id_] != row for id_, row in rows_of(store).items())
    causes = {one.reason for one in progress_of(store).failures if "workers died" not in one.reason}
    outcome.said += "; ".join(sorted(causes))
    plain = replace(config, devices=(), ray=None, device="cpu", retry_failed=True)
    extract.run(plain, dataset)
    outcome.alike = rows_of(store) == alone and not verify(store)
    return outcome


@contextmanager
def killing(most: int, every: float, chance: random.Random) -> Iterator[Callable[[], int]]:
    """Kill workers of this process at random moments, so many at most; tells how many."""
    over, killed = threading.Event(), 0

    def kill() -> None:
        nonlocal killed
        while killed < most and not over.wait(chance.uniform(0, 2 * every)):
            if workers := multiprocessing.active_children():
                chance.choice(workers).kill()
                killed += 1

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield lambda: killed
    finally:
        over.set()
        killer.join()


def by_processes(
    config: ExtractConfig, dataset: Dataset, alone: dict[str, bytes], kills: int, every: float
) -> None:
    """Rows of extractions by two processes."""
    chance, number = random.Random(0), 0
    while kills > 0:
        out = config.out / f"processes{number}"
        with killing(kills, every, chance) as told:
            two = replace(config, out=out, devices=("cpu", "cpu"))
            outcome = compared(two, dataset, alone, told)
        outcome.show(f"processes {number}")
        number, kills = number + 1, kills - max(1, outcome.kills)


def by_ray(config: ExtractConfig, dataset: Dataset, alone: dict[str, bytes], root: Path) -> None:
    """A row of an extraction on three nodes, of which one dies."""
    import ray  # noqa: PLC0415
    from ray.cluster_utils import Cluster  # noqa: PLC0415

    (root / "sitecustomize.py").write_text(DEADLY)
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(root), *sys.path])
    node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
    cluster: Any = Cluster(
        initialize_head=True, head_node_args={**node, "include_dashboard": False}
    )
    nodes = [cluster.add_node(**node) for _ in range(2)]
    out, over, killed = config.out / "ray", threading.Event(), 0

    def kill() -> None:
        nonlocal killed
        while not over.wait(0.2):
            if list(out.glob("*/*/shards/*")):
                cluster.remove_node(nodes[-1], allow_graceful=False)
                killed = 1
                return

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        asked = replace(config, out=out, ray=f"{cluster.address},workers=3,cpus=1")
        outcome = compared(asked, dataset, alone, lambda: killed)
    finally:
        over.set()
        killer.join()
        ray.shutdown()
        cluster.shutdown()
        os.environ["PYTHONPATH"] = before
    outcome.show("ray")


def main() -> None:
    asked = options(__doc__, films=6, kills=20, every=20.0, no_ray=False)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        dataset = made_films(root, asked.films)
        config = ExtractConfig(
            out=root / "out", weights="random", frames=2, size=32, batch_size=8, workers=1
        )
        report = extract.run(replace(config, out=root / "alone", device="cpu"), dataset)
        alone = rows_of(Path(report.store))
        print(machine())
        print(f"{report.extracted} segments, one process: {report.seconds:.1f} s")
        print("workers       extracted  failed  kills  wrong  alike  seconds")
        if not asked.no_ray:
            by_ray(config, dataset, alone, root)
        by_processes(config, dataset, alone, asked.kills, asked.every)


if __name__ == "__main__":
    main()

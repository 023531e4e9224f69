"""Random batches of features, widened to float32: the store against plain alternatives.

    python bench/gather.py [--rows 12800] [--shards 100] [--repeats 15] [--folder DIR]

Makes a store of made-up features [20, 1280] float16 and the same bytes as one flat file,
then gathers random batches of 256 rows, in turn, in each way. Everything is in
the system's cache. Each line is the store's throughput as a multiple of another way's,
from the medians of one run; 2 cores take about a minute, 1.3 GB of disk.
"""

import argparse
import functools
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from egofeat.recipe import Recipe, Transform, Uniform
from egofeat.segments import Dataset as SegmentDataset
from egofeat.segments import Segment
from egofeat.store import SegmentStore, ShardRows, StoreWriter, open_store

ROW = (20, 1280)
BATCH = 256
Gather = Callable[[NDArray[np.int64]], None]


def make_store(folder: Path, rows: int, shards: int, form: str) -> Path:
    """Write a store of `rows` made-up segments and, once, the same bytes as one flat file."""
    names = [f"{row:06}" for row in range(rows)]
    segments = tuple(Segment(name, name, 0.0, 1.0) for name in names)
    recipe = Recipe(
        backbone="made-up",
        weights="random:0",
        transform=Transform("squash", 256, 256),
        plan=Uniform(ROW[0]),
        taps={"gap": ROW},
        dtype="float16",
    )
    writer = StoreWriter.open(
        folder / form, SegmentDataset("bench", {}, segments, {}), recipe, format=form, made_with={}
    )
    rng = np.random.default_rng(0)
    with (folder / "flat.bin").open("wb") as flat:
        for number, part in enumerate(np.array_split(np.arange(rows), shards)):
            values = rng.standard_normal((len(part), *ROW), np.float32).astype(np.float16)
            values.tofile(flat)
            own = [names[row] for row in part]
            zeros = np.zeros(len(part))
            writer.write_shard(
                f"{number:04}",
                ShardRows(own, own, zeros, zeros + 1, zeros > 0, np.zeros((len(part), 20)),
                          {"gap": values}),
            )  # fmt: skip
    writer.close()
    return writer.path


class Items(Dataset[torch.Tensor]):
    """One item a row, as a DataLoader has it."""

    def __init__(self, flat: Path, rows: int, order: NDArray[np.int64]) -> None:
        self.values = np.memmap(flat, np.float16, "r", shape=(rows, *ROW))
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, item: int) -> torch.Tensor:
        return torch.from_numpy(self.values[self.order[item]].astype(np.float32))


def ways(stores: dict[str, SegmentStore], flat: Path, rows: int) -> Iterator[tuple[str, Gather]]:
    """Name and function of each way to gather a batch from mapped files."""
    plain = np.memmap(flat, np.float16, "r", shape=(rows, *ROW))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch: the array is not writable
        tensor = torch.from_numpy(plain)
    half = torch.empty((BATCH, *ROW), dtype=torch.float16)
    wide = torch.empty((BATCH, *ROW))
    out, out_half = wide.numpy(), half.numpy()

    def indexed(batch: NDArray[np.int64]) -> None:
        plain[batch].astype(np.float32)

    def reused_numpy(batch: NDArray[np.int64]) -> None:
        np.take(plain, batch, axis=0, out=out_half, mode="clip")
        np.copyto(out, out_half)

    def reused_torch(batch: NDArray[np.int64]) -> None:
        torch.index_select(tensor, 0, torch.from_numpy(batch), out=half)
        wide.copy_(half)

    for form, store in stores.items():
        yield f"store, {form}", functools.partial(_take, store, out)
    yield "memmap: mm[rows].astype(float32)", indexed
    yield "memmap: np.take and copyto, reused buffers", reused_numpy
    yield "memmap: torch.index_select and copy_, reused buffers", reused_torch


def _take(store: SegmentStore, out: NDArray[np.float32], batch: NDArray[np.int64]) -> None:
    store.take(batch, out)


def seconds_a_batch(gathers: dict[str, Gather], rows: int, repeats: int) -> dict[str, list[float]]:
    """Time each way in turn on random batches, four a turn."""
    rng = np.random.default_rng(1)
    for gather in gathers.values():
        for batch in np.array_split(rng.permutation(rows), rows // BATCH):
            gather(np.resize(batch, BATCH))
    spent: dict[str, list[float]] = {name: [] for name in gathers}
    for _ in range(repeats):
        for name, gather in gathers.items():
            # Rows of its own: else the second to read a file finds it in the processor's cache.
            batches = rng.integers(0, rows, (4, BATCH))
            started = time.perf_counter()
            for batch in batches:
                gather(batch)
            spent[name].append((time.perf_counter() - started) / 4)
    return spent


def seconds_of_loader(flat: Path, rows: int, workers: int, batches: int = 12) -> float:
    """Seconds a batch of a DataLoader over items, its start left out."""
    order = np.random.default_rng(2).integers(0, rows, (batches + 4) * BATCH)
    loader = iter(DataLoader(Items(flat, rows, order), BATCH, num_workers=workers))
    for _ in range(4):
        next(loader)
    started = time.perf_counter()
    for _ in range(batches):
        next(loader)
    return (time.perf_counter() - started) / batches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=12800)
    parser.add_argument("--shards", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--folder", type=Path, help="where to make the stores; temporary")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        stores = {
            form: open_store(make_store(folder, options.rows, options.shards, form)).of_kind(
                SegmentStore
            )
            for form in ("hdf5", "zarr")
        }
        flat = folder / "flat.bin"
        gathers = dict(ways(stores, flat, options.rows))
        spent = {
            way: statistics.median(times)
            for way, times in seconds_a_batch(gathers, options.rows, options.repeats).items()
        }
        for workers in (0, 2):
            way = f"DataLoader over items, {workers} workers"
            spent[way] = statistics.median(
                seconds_of_loader(flat, options.rows, workers) for _ in range(3)
            )
    print(f"batches of {BATCH} × {ROW} float16 to float32, torch threads {torch.get_num_threads()}")
    for way, seconds in spent.items():
        ratio = seconds / spent["store, hdf5"]
        gigabytes = BATCH * ROW[0] * ROW[1] * 2 / seconds / 1e9
        print(f"{way:55} {seconds * 1e3:8.2f} ms {gigabytes:6.2f} GB/s  store is {ratio:6.2f} x")


if __name__ == "__main__":
    main()

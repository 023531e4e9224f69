"""Random batches of features, widened to float32: the store against plain alternatives.

    python bench/gather.py [--rows 12800] [--shards 100] [--repeats 15] [--folder DIR]

Makes a store of made-up features [20, 1280] float16 and the same bytes as one flat file,
then gathers random batches of 256 rows, in turn, in each way. Everything is in
the system's cache. Each line is the store's throughput as a multiple of another way's,
from the medians of one run; 2 cores take about a minute, 1.3 GB of disk.
"""

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from made import SHAPE, write_store
from numpy.typing import NDArray
from ratios import options, seconds
from torch.utils.data import DataLoader, Dataset

from egofeat.segments import Dataset as SegmentDataset
from egofeat.segments import Segment
from egofeat.store import SegmentStore, open_store

BATCH = 256
Gather = Callable[[NDArray[np.int64]], None]


def make_store(folder: Path, rows: int, shards: int, form: str) -> Path:
    """Write a store of `rows` made-up segments and, once, the same bytes as one flat file."""
    names = [f"{row:06}" for row in range(rows)]
    segments = tuple(Segment(name, name, 0.0, 1.0) for name in names)
    rng = np.random.default_rng(0)

    def parts() -> Iterator[tuple[list[Segment], NDArray[np.float16]]]:
        with (folder / "flat.bin").open("wb") as flat:
            for part in np.array_split(np.arange(rows), shards):
                values = rng.standard_normal((len(part), *SHAPE), np.float32).astype(np.float16)
                values.tofile(flat)
                yield [segments[row] for row in part], values

    return write_store(folder / form, SegmentDataset("bench", {}, segments, {}), parts(), form)


class Items(Dataset[torch.Tensor]):
    """One item a row, as a DataLoader has it."""

    def __init__(self, flat: Path, rows: int, order: NDArray[np.int64]) -> None:
        self.values = np.memmap(flat, np.float16, "r", shape=(rows, *SHAPE))
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, item: int) -> torch.Tensor:
        return torch.from_numpy(self.values[self.order[item]].astype(np.float32))


def ways(stores: dict[str, SegmentStore], flat: Path, rows: int) -> Iterator[tuple[str, Gather]]:
    """Name and function of each way to gather a batch from mapped files."""
    plain = np.memmap(flat, np.float16, "r", shape=(rows, *SHAPE))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch: the array is not writable
        tensor = torch.from_numpy(plain)
    half = torch.empty((BATCH, *SHAPE), dtype=torch.float16)
    wide = torch.empty((BATCH, *SHAPE))
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
        yield f"store, {form}", partial(_take, store, out)
    yield "memmap: mm[rows].astype(float32)", indexed
    yield "memmap: np.take and copyto, reused buffers", reused_numpy
    yield "memmap: torch.index_select and copy_, reused buffers", reused_torch


def _take(store: SegmentStore, out: NDArray[np.float32], batch: NDArray[np.int64]) -> None:
    store.take(batch, out)


def seconds_a_batch(gathers: dict[str, Gather], rows: int, repeats: int) -> dict[str, float]:
    """Time each way in turn on random batches, four a turn."""
    rng = np.random.default_rng(1)
    for gather in gathers.values():
        for batch in np.array_split(rng.permutation(rows), rows // BATCH):
            gather(np.resize(batch, BATCH))

    def four(gather: Gather) -> None:
        # Rows of its own: else the second to read a file finds it in the processor's cache.
        for batch in rng.integers(0, rows, (4, BATCH)):
            gather(batch)

    variants = {name: partial(four, gather) for name, gather in gathers.items()}
    return {name: spent / 4 for name, spent in seconds(variants, repeats).items()}


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
    asked = options(__doc__, rows=12800, shards=100, repeats=15, folder="")
    with tempfile.TemporaryDirectory(dir=asked.folder or None) as name:
        folder = Path(name)
        stores = {
            form: open_store(make_store(folder, asked.rows, asked.shards, form)).of_kind(
                SegmentStore
            )
            for form in ("hdf5", "zarr")
        }
        flat = folder / "flat.bin"
        spent = seconds_a_batch(dict(ways(stores, flat, asked.rows)), asked.rows, asked.repeats)
        for workers in (0, 2):
            spent[f"DataLoader over items, {workers} workers"] = statistics.median(
                seconds_of_loader(flat, asked.rows, workers) for _ in range(3)
            )
    print(f"batches of {BATCH} × {SHAPE} float16 to float32, {torch.get_num_threads()} threads")
    for way, taken in spent.items():
        ratio = taken / spent["store, hdf5"]
        gigabytes = BATCH * SHAPE[0] * SHAPE[1] * 2 / taken / 1e9
        print(f"{way:55} {taken * 1e3:8.2f} ms {gigabytes:6.2f} GB/s  store is {ratio:6.2f} x")


if __name__ == "__main__":
    main()

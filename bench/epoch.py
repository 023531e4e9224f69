"""One epoch of `conv1d` from the mapped store against the seed's loop over .npz groups.

Both read the same float16 features `[rows,20,1280]` and train the same head (preset
`seed`, 97 verbs and 300 nouns, batch 32). The baseline is the seed's way: one .npz a
video, as many videos as a group holds read whole and stacked, shuffled within the
group, trained on before the next group is read. Runs are interleaved; medians.

Then the store on a disk that answers late, so many milliseconds a batch (`--late`): read ahead by
a thread, as training reads, against read in turn; and the share of the time that training waits.
And the store from the disk that it is on, dropped from the system's cache before each epoch.

    python bench/epoch.py                   # 8,192 rows, 0.4 GB twice
    python bench/epoch.py --rows 67217      # EPIC-KITCHENS-100, 3.4 GB twice
"""

import mmap
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from made import SHAPE, write_store
from numpy.typing import NDArray
from ratios import options, seconds
from torch import Tensor

from egofeat.device import choose_device
from egofeat.heads.config import TrainerConfig
from egofeat.heads.registry import build_head
from egofeat.heads.training.feed import Feed
from egofeat.heads.training.losses import Criterion, class_counts
from egofeat.heads.training.optim import make_optimizer
from egofeat.heads.training.sampling import cuts
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import SegmentStore, open_store
from egofeat.store.reading.mapping import MappedRows

CLASSES = {"verb": 97, "noun": 300}
A_VIDEO = 136
"""Segments a video: EPIC-KITCHENS-100's mean over its training videos."""
Batches = Iterator[tuple[Tensor, NDArray[np.int64]]]


def write_both(folder: Path, rows: int) -> SegmentStore:
    """Write a store, and the same features as an .npz a video."""
    rng = np.random.default_rng(0)
    firsts = {f"video_{first // A_VIDEO:04d}": first for first in range(0, rows, A_VIDEO)}
    of_videos = {
        video: [
            Segment(id=f"{video}_{k}", video=video, start=float(k), stop=k + 1.0, split="train")
            for k in range(min(A_VIDEO, rows - first))
        ]
        for video, first in firsts.items()
    }
    media = {video: Media(folder / f"{video}.mp4") for video in of_videos}

    def shards() -> Iterator[tuple[list[Segment], NDArray[np.float16]]]:
        for video, segments in of_videos.items():
            # Shaped like the features after ReLU6: half of them zero.
            some = rng.standard_normal((len(segments), *SHAPE), dtype=np.float32)
            half = np.maximum(some, 0).astype(np.float16)
            np.savez(folder / f"{video}.npz", features=half)
            yield segments, half

    dataset = Dataset("bench", media, tuple(chain(*of_videos.values())), classes={})
    return open_store(write_store(folder, dataset, shards())).of_kind(SegmentStore)


def from_store(store: SegmentStore, device: torch.device, cache: bool) -> Callable[[int], Batches]:
    feed = Feed(store, np.arange(len(store)), device=device, batch_size=32, held=cache)

    def epoch(seed: int) -> Batches:
        order = np.random.default_rng(seed).permutation(len(store))
        for features, places in feed.batches(order):
            yield features, places.cpu().numpy()

    return epoch


class Late:
    """A store on a disk that answers late."""

    def __init__(self, store: SegmentStore, late: float) -> None:
        self.row_shape, self.dtype, self.nbytes = store.row_shape, store.dtype, store.nbytes
        self.advise_random = store.advise_random
        self._store, self._late = store, late

    def __len__(self) -> int:
        return len(self._store)

    def take(self, rows: NDArray[np.int64], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Gather rows, late."""
        time.sleep(self._late)
        return self._store.take(rows, out)


def forget(store: SegmentStore) -> None:
    """Drop a store's files from the system's cache, so that they are read from the disk again."""
    assert isinstance(store.features, MappedRows)
    store.features.range.advise(mmap.MADV_DONTNEED)  # what is mapped is not dropped
    for path in filter(Path.is_file, store.path.rglob("*")):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def compare_ahead(
    what: str,
    sources: tuple[Any, Any],
    batch: int,
    repeats: int,
    before: Callable[[Any], None] = lambda source: None,
) -> None:
    """Train an epoch with batches that are read ahead, and in turn, of a source each; print both.

    A store that was told of rows once reads no others, so that both have one that was not.
    """
    cpu, rows = torch.device("cpu"), len(sources[0])
    buffer = np.empty((batch + 1, *sources[0].row_shape), np.float32)
    shares: list[float] = []

    def ahead(seed: int) -> Batches:
        feed = Feed(sources[0], np.arange(rows), device=cpu, batch_size=batch, held=False)
        before(sources[0])
        began = time.perf_counter()
        order = np.random.default_rng(seed).permutation(rows)
        yield from ((features, places.numpy()) for features, places in feed.batches(order))
        shares.append(feed.waited / (time.perf_counter() - began))

    def in_turn(seed: int) -> Batches:
        before(sources[1])
        order = np.random.default_rng(seed).permutation(rows)
        for places in np.split(order, cuts(rows, batch)):
            yield torch.from_numpy(sources[1].take(places, buffer[: len(places)])), places

    ways = {"ahead": ahead, "in turn": in_turn}
    trainings = {way: partial(train, of, rows, cpu) for way, of in ways.items()}
    first, second = seconds(trainings, repeats).values()
    print(
        f"{what}, batch {batch}: ahead {first:.2f} s, waiting "
        f"{100 * statistics.median(shares):.1f} % of it, in turn {second:.2f} s, "
        f"ratio {second / first:.2f}, load {os.getloadavg()[0]:.1f}"
    )


def from_groups(folder: Path, device: torch.device, videos: int) -> Callable[[int], Batches]:
    files = sorted(folder.glob("*.npz"))

    def epoch(seed: int) -> Batches:
        first = 0
        for start in range(0, len(files), videos):
            group = np.concatenate([np.load(f)["features"] for f in files[start : start + videos]])
            order = np.random.default_rng(seed).permutation(len(group))
            for place in range(0, len(order), 32):
                rows = order[place : place + 32]
                if len(rows) == 1:
                    continue  # batch norm cannot train on one
                yield torch.from_numpy(group[rows].astype(np.float32)).to(device), first + rows
            first += len(group)

    return epoch


def train(batches: Callable[[int], Batches], rows: int, device: torch.device) -> None:
    """Train one epoch."""
    rng = np.random.default_rng(1)
    labels = {t: torch.from_numpy(rng.integers(0, n, rows)).to(device) for t, n in CLASSES.items()}
    head = build_head("conv1d", SHAPE, CLASSES, "seed").to(device)
    config = TrainerConfig()
    optimizer = make_optimizer("adam", head, lr=config.lr, weight_decay=0, l2=config.l2)
    counts = {t: class_counts(labels[t].cpu().numpy(), n) for t, n in CLASSES.items()}
    criterion = Criterion(counts).to(device)
    for features, places in batches(0):
        index = torch.from_numpy(places).to(device)
        loss = criterion(head(features), {t: of[index] for t, of in labels.items()})
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(head.parameters(), config.clip_norm)
        optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize()


def read(batches: Callable[[int], Batches]) -> None:
    """Read one epoch, and no more."""
    for features, _ in batches(0):
        features.sum()


def main() -> None:
    asked = options(__doc__, rows=8192, group=50, repeats=5, late=10.0, device="auto", cache=False)
    device = choose_device(asked.device)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = write_both(folder, asked.rows)
        ways = {
            "store": from_store(store, device, asked.cache),
            "groups": from_groups(folder, device, asked.group),
        }
        print(f"{asked.rows} rows × {SHAPE}, {store.nbytes / 1e9:.2f} GB, {device}, {sys.platform}")
        trainings = {way: partial(train, of, asked.rows, device) for way, of in ways.items()}
        readings = {way: partial(read, of) for way, of in ways.items()}
        for what, variants in (("train", trainings), ("read", readings)):
            of_store, of_groups = seconds(variants, asked.repeats, warm=False).values()
            print(
                f"{what}: store {of_store:.2f} s, groups {of_groups:.2f} s, "
                f"ratio {of_groups / of_store:.2f}"
            )
        late = Late(store, asked.late / 1000)
        compare_ahead(f"{asked.late:g} ms late a batch", (late, late), 32, asked.repeats)
        for batch in (32, 256):
            first, second = (open_store(store.path).of_kind(SegmentStore) for _ in range(2))
            compare_ahead("from the disk", (first, second), batch, asked.repeats, forget)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak resident memory {peak:.2f} GB (mapped pages and both ways together)")


if __name__ == "__main__":
    main()

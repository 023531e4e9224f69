"""One epoch of `conv1d` from the mapped store against the seed's loop over .npz groups.

Both read the same float16 features `[rows,20,1280]` and train the same head (preset
`seed`, 97 verbs and 300 nouns, batch 32). The baseline is the seed's way: one .npz a
video, as many videos as a group holds read whole and stacked, shuffled within the
group, trained on before the next group is read. Runs are interleaved; medians.

    python bench/epoch.py                   # 8,192 rows, 0.4 GB twice
    python bench/epoch.py --rows 67217      # EPIC-KITCHENS-100, 3.4 GB twice
"""

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat.device import choose_device
from egofeat.heads.config import TrainerConfig
from egofeat.heads.registry import build_head
from egofeat.heads.training.feed import Feed
from egofeat.heads.training.losses import Criterion, class_counts
from egofeat.heads.training.optim import make_optimizer
from egofeat.recipe import Recipe, Transform, Uniform
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import SegmentStore, ShardRows, StoreWriter, open_store

CLASSES = {"verb": 97, "noun": 300}
SHAPE = (20, 1280)
A_VIDEO = 136
"""Segments a video: EPIC-KITCHENS-100's mean over its training videos."""
Batches = Iterator[tuple[Tensor, NDArray[np.int64]]]


def write_both(folder: Path, rows: int) -> SegmentStore:
    rng = np.random.default_rng(0)
    videos = {f"video_{start // A_VIDEO:04d}": start for start in range(0, rows, A_VIDEO)}
    segments = tuple(
        Segment(id=f"{video}_{k}", video=video, start=float(k), stop=k + 1.0, split="train")
        for video, start in videos.items()
        for k in range(min(A_VIDEO, rows - start))
    )
    media = {video: Media(folder / f"{video}.mp4") for video in videos}
    recipe = Recipe(
        backbone="bench",
        weights="random:0",
        transform=Transform("squash", 256, 256),
        plan=Uniform(SHAPE[0]),
        taps={"gap": SHAPE},
        dtype="float16",
    )
    dataset = Dataset("bench", media, segments, classes={})
    writer = StoreWriter.open(folder, dataset, recipe, made_with={})
    for video, start in videos.items():
        count = min(A_VIDEO, rows - start)
        # Shaped like the features after ReLU6: half of them zero.
        features = np.maximum(rng.standard_normal((count, *SHAPE), dtype=np.float32), 0)
        half = features.astype(np.float16)
        np.savez(folder / f"{video}.npz", features=half)
        numbers = np.arange(count, dtype=np.float64)
        writer.write_shard(
            video,
            ShardRows(
                ids=[f"{video}_{k}" for k in range(count)],
                videos=[video] * count,
                starts=numbers,
                stops=numbers + 1,
                clipped=np.zeros(count, dtype=np.bool_),
                times=np.zeros((count, SHAPE[0])),
                taps={"gap": half},
            ),
        )
    writer.close()
    return open_store(writer.path).of_kind(SegmentStore)


def from_store(store: SegmentStore, device: torch.device, cache: bool) -> Callable[[int], Batches]:
    feed = Feed(store, np.arange(len(store)), device=device, batch_size=32, held=cache)

    def epoch(seed: int) -> Batches:
        order = np.random.default_rng(seed).permutation(len(store))
        for features, places in feed.batches(order):
            yield features, places.cpu().numpy()

    return epoch


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


def trained(batches: Callable[[int], Batches], rows: int, device: torch.device) -> float:
    """Seconds of one epoch of training."""
    rng = np.random.default_rng(1)
    labels = {t: torch.from_numpy(rng.integers(0, n, rows)).to(device) for t, n in CLASSES.items()}
    head = build_head("conv1d", SHAPE, CLASSES, "seed").to(device)
    config = TrainerConfig()
    optimizer = make_optimizer("adam", head, lr=config.lr, weight_decay=0, l2=config.l2)
    counts = {t: class_counts(labels[t].cpu().numpy(), n) for t, n in CLASSES.items()}
    criterion = Criterion(counts).to(device)
    start = time.perf_counter()
    for features, places in batches(0):
        index = torch.from_numpy(places).to(device)
        loss = criterion(head(features), {t: of[index] for t, of in labels.items()})
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(head.parameters(), config.clip_norm)
        optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def fed(batches: Callable[[int], Batches]) -> float:
    """Seconds of one epoch of reading alone."""
    start = time.perf_counter()
    for features, _ in batches(0):
        features.sum()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--group", type=int, default=50, help="videos a group of the baseline")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--cache", action="store_true", help="hold the features on the device")
    options = parser.parse_args()
    device = choose_device(options.device)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = write_both(folder, options.rows)
        ways = {
            "store": from_store(store, device, options.cache),
            "groups": from_groups(folder, device, options.group),
        }
        print(
            f"{options.rows} rows × {SHAPE}, {store.nbytes / 1e9:.2f} GB, {device}, {sys.platform}"
        )
        measures: dict[str, Callable[[Callable[[int], Batches]], float]] = {
            "train": lambda way: trained(way, options.rows, device),
            "read": fed,
        }
        for what, measure in measures.items():
            seconds: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(options.repeats):
                for way, batches in ways.items():
                    seconds[way].append(measure(batches))
            store_s, groups_s = (statistics.median(seconds[way]) for way in ways)
            print(
                f"{what}: store {store_s:.2f} s, groups {groups_s:.2f} s, "
                f"ratio {groups_s / store_s:.2f}"
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak resident memory {peak:.2f} GB (mapped pages and both ways together)")


if __name__ == "__main__":
    main()

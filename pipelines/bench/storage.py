"""`egofeat bench storage`: disk, memory and time to load what a head is trained on.

The storage study of the MobileNetV2 report (its Figure 19), which compares frames as uint8 and as
float32, compressed or not; beside them what this project keeps in their place, features. Files are
shards as a store has them: HDF5, a chunk a segment where they are compressed.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from egofeat import console
from egofeat.device import choose_device
from egofeat.errors import EgofeatError, RequestError
from egofeat.extract.backbones import load
from egofeat.extract.transforms import normalise, prepare
from egofeat.extract.video import open_video
from egofeat.interruption import scratch_folder
from egofeat.pipelines.bench.options import StorageBench
from egofeat.pipelines.bench.pictures import storage_over_segments
from egofeat.pipelines.bench.tables import BenchReport, figure, machine, tables
from egofeat.pipelines.drawn.clips import encoded, plan_sessions
from egofeat.pipelines.figures import style
from egofeat.recipe.transform import Transform, squash
from egofeat.segments import Media
from egofeat.store.files import replace_file
from egofeat.store.formats.hdf5 import Hdf5Format
from egofeat.store.formats.shard import Content

FRAMES, SIDE = 20, 256
"""Of a segment, as the report has them."""
_KINDS = (
    "frames uint8",
    "frames float32",
    "map float16",
    "map float32",
    "gap float16",
    "gap float32",
)
"""What is kept of segments, and as which numbers."""
_SEEN = squash(SIDE, mean=Transform.mean, std=Transform.std)
_DRAWN = 240
"""Clips of the demo, of which the first film is drawn: some 500 frames."""


@dataclass(frozen=True, kw_only=True)
class StorageRow:
    """One kind of array of so many segments."""

    kind: str
    """What and as which numbers: `frames uint8`, `map float16`."""
    compressed: str
    """How; empty if not."""
    segments: int
    disk_bytes: int
    memory_bytes: int
    """Of the array, read whole."""
    load_ms: float
    """To read it whole."""
    cache: str
    """`cold`: the file was not in the system's cache before it was read; `warm`: it was."""

    @property
    def name(self) -> str:
        """Kind and compression."""
        return f"{self.kind}, {self.compressed}" if self.compressed else self.kind


class StorageReport(BenchReport[StorageRow]):
    """Disk, memory and time of all kinds."""

    def lines(self) -> list[str | Table]:
        """The table for people: a line a kind, of the most segments."""
        most = max(row.segments for row in self.rows)
        lines = [
            [
                row.name,
                console.size(row.disk_bytes),
                console.size(row.memory_bytes),
                figure(row.load_ms),
                row.cache,
            ]
            for row in self.rows
            if row.segments == most
        ]
        title = f"{most} segments of {FRAMES} frames: {self.machine}"
        return [
            title,
            *tables(["kept", "disk", "memory", "ms", "cache"], lines),
            *self.files,
        ]


def bench_storage(config: StorageBench) -> StorageReport:
    """Write and read every kind at every number of segments; leave tables and a picture.

    Raises:
        RequestError: an option out of range, a film that is too short, or no room on the disk.
        MediaError: the film cannot be read.
        EgofeatError: the disk refuses.
    """
    device = choose_device(config.device)
    numbers = sorted(set(config.segments))
    config.out.mkdir(parents=True, exist_ok=True)
    _refuse_without_room(config.out, numbers[-1])
    with scratch_folder(config.out, ".storage-") as scratch:
        frames = _frames(config.film or _drawn(scratch), numbers[-1])
        kept: dict[str, NDArray[Any]] = {"frames": frames}
        kept |= _features(frames, config.weights, device)
        rows: list[StorageRow] = []
        with console.progress("measuring", 2 * len(_KINDS) * len(numbers), "files") as progress:
            for kind in _KINDS:
                what, dtype = kind.split()
                for compressed in ("", config.compress):
                    for number in numbers:
                        array = kept[what][:number].astype(dtype, copy=False)
                        path = scratch / "segments.h5"
                        rows.append(_row(kind, compressed, array, path, config.seconds))
                        progress(1)
    with style.also(config.figures):
        curves = {name: list(of) for name, of in groupby(rows, lambda row: row.name)}
        picture = storage_over_segments(
            {
                name: [(r.segments, r.disk_bytes, r.memory_bytes, r.load_ms) for r in of]
                for name, of in curves.items()
            },
            config.out / "storage.png",
        )
    report = StorageReport(machine=machine(torch.device("cpu")), rows=tuple(rows))
    return report.written(config.out / "storage", [picture])


def _refuse_without_room(out: Path, number: int) -> None:
    needed = number * FRAMES * SIDE * SIDE * 3 * 4
    if (free := shutil.disk_usage(out).free) < 1.2 * needed:
        raise RequestError(
            f"{out} has {console.size(free)} free, and {number} segments as float32 take "
            f"{console.size(needed)}: give fewer `segments`, or another `out`"
        )


def _drawn(folder: Path) -> Path:
    """Draw the demo's first film."""
    path = folder / "drawn.mp4"
    replace_file(path, encoded(plan_sessions(_DRAWN)[0]))
    return path


def _frames(video: Path, number: int) -> NDArray[np.uint8]:
    """Frames of as many equal parts of a film, `[number, 20, 256, 256, 3]`, squashed.

    Raises:
        RequestError: the film has fewer frames.
    """
    with open_video(Media(video), "pyav") as source:
        count, wanted = len(source.times), number * FRAMES
        if count < wanted:
            raise RequestError(
                f"{video} has {count} frames, and {number} segments of {FRAMES} need {wanted}: "
                "give fewer `segments` or a longer `film`"
            )
        places = ((np.arange(wanted) + 0.5) * count / wanted).astype(np.int64)
        shown = [prepare(_SEEN, frame)[0] for _, frame in source.tensors(places.tolist())]
    return torch.stack(shown).reshape(number, FRAMES, SIDE, SIDE, 3).numpy()


def _features(
    frames: NDArray[np.uint8], weights: str, device: torch.device
) -> dict[str, NDArray[np.float32]]:
    """MobileNetV2's of all frames: `map [N, 20, 1280, 8, 8]` and `gap [N, 20, 1280]`."""
    backbone = load("mobilenetv2", weights, ("map", "gap"), device)
    made: dict[str, list[NDArray[np.float32]]] = {"map": [], "gap": []}
    for segment in frames:
        seen = normalise(_SEEN, torch.from_numpy(segment).to(device))
        for tap, values in backbone(seen).items():
            made[tap].append(values.cpu().numpy())
    return {tap: np.stack(rows) for tap, rows in made.items()}


def _row(
    kind: str, compressed: str, array: NDArray[np.generic], path: Path, least: float
) -> StorageRow:
    """Write an array, and read it until `least` seconds have passed, once at least."""
    path.unlink(missing_ok=True)
    content = Content({}, {}, {kind: array}, {}, {})
    try:
        Hdf5Format().write(path, content, compressed or None)
    except OSError as error:
        why = os.strerror(error.errno or errno.EIO)
        raise EgofeatError(
            f"{path.parent.parent} cannot be written ({why}): give fewer `segments`, or another "
            "`out`"
        ) from None
    seconds, cold = [], True
    for took, was_cold in _readings(path, kind):
        seconds.append(took)
        cold &= was_cold
        if sum(seconds) >= least:
            break
    return StorageRow(
        kind=kind,
        compressed=compressed,
        segments=len(array),
        disk_bytes=path.stat().st_size,
        memory_bytes=array.nbytes,
        load_ms=1000 * median(seconds),
        cache="cold" if cold else "warm",
    )


def _readings(path: Path, name: str) -> Iterator[tuple[float, bool]]:
    """Read a file whole, again and again: seconds, and whether none of it was in the cache."""
    while True:
        cold = _dropped(path)
        begun = perf_counter()
        with Hdf5Format().opened(path) as file:
            file.read(f"taps/{name}")
        yield perf_counter() - begun, cold


def _dropped(path: Path) -> bool:
    """Ask the system to forget a file; whether it has, as far as a system tells."""
    if not hasattr(os, "posix_fadvise") or not hasattr(os, "RWF_NOWAIT"):
        return False
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        middle = os.fstat(file).st_size // 2
        try:
            os.preadv(file, [bytearray(1)], middle, os.RWF_NOWAIT)
        except BlockingIOError:
            return True
        except OSError:  # a file system that cannot tell
            return False
        return False
    finally:
        os.close(file)

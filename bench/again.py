"""What `egofeat extract` costs when nothing is left to do: the whole command, by the rows.

    python bench/again.py [--rows 1000000] [--folder DIR]

Makes a `csv` data set of a hundredth, a tenth and all of the rows, fifty a video, and stores in
which all of it is: as extraction writes them, but of zeros and without `fsync`. Then the same
`egofeat extract` is run twice on each: CPU seconds, seconds of the wall and the peak of its memory,
of one row (what the start of the program and of the network takes), and of each size less that.
A million rows are 3.5 GB of disk, and 15 minutes.
"""

import argparse
import os
import sys
import tempfile
from datetime import date
from pathlib import Path
from unittest import mock

import numpy as np
from planning import make
from ratios import whole

from egofeat.extract.shards import Shard, cut, shards_in
from egofeat.manifest import load_manifest
from egofeat.pipelines.extraction.job import Job, plan_job
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.store import ShardRows, StoreWriter


def fill(folder: Path) -> None:
    """Write the store in which all of a data set is."""
    config = ExtractConfig(
        manifest=folder / "m.yaml", out=folder / "out", weights="random", frames=1, device="cpu"
    )
    job = plan_job(config, load_manifest(config.manifest).dataset("csv"))
    with mock.patch.object(os, "fsync"):
        writer = StoreWriter.open(job.storage.out, job.dataset, job.recipe, made_with={})
        for shard in shards_in(cut(job.segments, job.segment_bytes)):
            writer.write_shard(shard.name, rows_of(job, shard))
        writer.close()


def rows_of(job: Job, shard: Shard) -> ShardRows:
    """Zeros, at the times of the segments."""
    segments, count = list(shard.segments), len(shard.segments)
    starts = np.array([one.start for one in segments])
    return ShardRows(
        ids=[one.id for one in segments],
        videos=[one.video for one in segments],
        starts=starts,
        stops=np.array([one.stop for one in segments]),
        clipped=np.zeros(count, np.bool_),
        times=starts[:, np.newaxis],
        taps={tap: np.zeros((count, *shape), np.float16) for tap, shape in job.recipe.taps.items()},
        media_stamps=np.full((count, 4), -1),
    )


def again(folder: Path) -> tuple[float, float, float]:
    """CPU seconds, seconds and MiB of the command."""
    words = f"extract --dataset csv --manifest {folder / 'm.yaml'} --out {folder / 'out'} "
    words += "--weights random --frames 1 --device cpu --json"
    said, found = whole([sys.executable, "-m", "egofeat", *words.split()])
    if '"extracted": 0' not in said:
        raise SystemExit(f"it did not find all done: {said}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="keep the stores here, or use those that are")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        print(f"{date.today()}, Python {sys.version.split()[0]}", flush=True)
        least = (0.0, 0.0, 0.0)
        for size in (1, asked.rows // 100, asked.rows // 10, asked.rows):
            folder = (asked.folder or Path(name)) / f"again{size}"
            if not (folder / "done").exists():
                make(folder, size)
                fill(folder)
                (folder / "done").touch()
            again(folder)  # which makes the index that readers keep
            found = again(folder)
            least = least if size > 1 else found
            more = [one - other for one, other in zip(found, least, strict=True)]
            for what, (cpu, wall, peak) in (("whole", found), ("more than of 1", more)):
                print(
                    f"{size:9,} {what:15}{cpu:7.2f} s CPU{wall:7.2f} s{peak:6.0f} MiB", flush=True
                )


if __name__ == "__main__":
    main()

"""Whether the disk has room for what an extraction will write."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from egofeat import console
from egofeat.errors import MediaError, RequestError
from egofeat.extract import rooms
from egofeat.extract.pieces.cut import seconds_said
from egofeat.extract.video import open_video
from egofeat.pipelines.extraction.share import Share
from egofeat.pipelines.extraction.wanted import Wanted
from egofeat.recipe import Windows


def refuse_full_disk(shares: Sequence[Share[Wanted]]) -> None:
    """Refuse what does not fit, before anything is written; what is compressed may still fit.

    Raises:
        RequestError: naming the folder that has too little room.
    """
    for out in dict.fromkeys(share.job.storage.out for share in shares):
        own = [s for s in shares if s.job.storage.out == out and s.compress is None]
        free = free_bytes(out)
        needed = sum(map(bytes_said, own))
        if needed > free:  # lengths that headers say are not always true
            needed = sum(map(bytes_left, own))
        if needed > free:
            raise RequestError(
                f"the features take {console.size(needed)} while they are written and {out} has "
                f"{console.size(free)} free: make room or give another `out`"
            )


def bytes_left(share: Share[Wanted]) -> int:
    """Bytes of what is left to extract, uncompressed."""
    job = share.job
    if isinstance(job.recipe.plan, Windows):
        return bytes_at_most([count for count, _ in windows_of(job, share)], job.recipe.row_bytes)
    return job.rows_of(share.to_extract) * job.recipe.row_bytes


def bytes_at_most(windows: Sequence[int], row_bytes: int) -> int:
    """Bytes of videos of so many windows: a long one stands there thrice while it is published.

    In pieces, joined, and as the shard that is being written.
    """
    longest = max(windows, default=0) * row_bytes
    return sum(windows) * row_bytes + (2 * longest if longest > rooms.MEMORY else 0)


def bytes_said(share: Share[Wanted]) -> int:
    """The same, of dense windows by the lengths that the videos' headers say: no index is read."""
    job = share.job
    if not isinstance(job.recipe.plan, Windows):
        return bytes_left(share)
    a_second = job.recipe.plan.fps / job.recipe.plan.stride
    seconds = (seconds_said(job.dataset.media[one.video]) for one in share.to_extract)
    return bytes_at_most([math.ceil(of * a_second) for of in seconds], job.recipe.row_bytes)


def windows_of(job: Wanted, share: Share[Wanted]) -> list[tuple[int, int]]:
    """Windows and frames of each video that is left: its index is read, nothing is decoded."""
    assert isinstance(job.recipe.plan, Windows)
    counts = []
    for segment in share.to_extract:
        try:
            with open_video(job.dataset.media[segment.video]) as source:
                plan = job.recipe.plan.plan(
                    0.0,
                    math.inf,
                    source.times,
                    source.stop,
                    job.recipe.transform.neighbours,
                    source.lasting,
                )
        except MediaError:
            continue
        counts.append((len(plan.indices), len(np.unique(plan.indices))))
    return counts


def free_bytes(folder: Path) -> int:
    """Bytes that are free where a folder is, or will be."""
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    return shutil.disk_usage(existing).free

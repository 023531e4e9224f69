"""`egofeat extract --dry-run`: what an extraction would do. Nothing is decoded, nothing written."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from egofeat.extract.shards import key_of
from egofeat.pipelines.extraction.disk_room import free_bytes, windows_of
from egofeat.pipelines.extraction.job import Job, plan_job, together
from egofeat.pipelines.extraction.machine import decoding_threads, device_name
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.pipelines.extraction.rates import find_rate
from egofeat.pipelines.extraction.reports import Forecast, JointForecast
from egofeat.pipelines.extraction.share import Share, shares_of
from egofeat.pipelines.options import Compute
from egofeat.recipe import Windows
from egofeat.segments import Dataset


def forecast(config: ExtractConfig, dataset: Dataset | None = None) -> Forecast:
    """What `run` would do; see `plan_job`."""
    return forecast_jobs([plan_job(config, dataset)], config).stores[0]


def forecast_jobs(jobs: Sequence[Job], compute: Compute) -> JointForecast:
    """What `run_jobs` would do, and refuse: but for room on the disk, which is said."""
    of_store: dict[int, Forecast] = {}
    needed: Counter[Path] = Counter()
    for places in together(jobs):
        shares = shares_of([jobs[place] for place in places], compute)
        company = sorted(share.job.recipe.backbone for share in shares if share.left)
        of_store |= {
            place: _forecast(share, company, compute.workers or decoding_threads())
            for place, share in zip(places, shares, strict=True)
        }
        for place, share in zip(places, shares, strict=True):
            if share.compress is None:  # what is compressed may still fit
                needed[share.job.storage.out] += of_store[place].bytes_to_write
    stores = (
        replace(of_store[place], fits=needed[job.storage.out] <= of_store[place].bytes_free)
        for place, job in enumerate(jobs)
    )
    return JointForecast(stores=tuple(stores))


@dataclass(frozen=True)
class _Amount:
    """How much there is to do."""

    rows: int
    frames: int
    views: int
    memory: int = 0
    """Bytes of the rows that wait until their video is whole."""


def _forecast(share: Share, company: Sequence[str], threads: int) -> Forecast:
    job, row_bytes = share.job, share.job.recipe.row_bytes
    amount = _amount(share, threads)
    there = [segment for segment in share.wanted if key_of(segment) in share.progress.done]
    missing = {one.key for one in share.missing}
    if isinstance(job.recipe.plan, Windows):
        bytes_present, bytes_missing = _bytes_of_shards(job.store), None
    else:
        bytes_present = job.rows_of(there) * row_bytes
        of_missing = [segment for segment in share.wanted if key_of(segment) in missing]
        bytes_missing = job.rows_of(of_missing) * row_bytes
    device = device_name(job.backbone.device)
    backbone = job.recipe.backbone
    rate = find_rate(job.storage.out, job.recipe.store_name, backbone, device, list(company))
    to_extract, wanted = share.to_extract, {key_of(segment) for segment in share.wanted}
    return Forecast(
        store=str(job.store),
        segments=len(wanted),
        splits=share.splits,
        present=len(there),
        failed=len(wanted - share.progress.done - missing - {key_of(s) for s in to_extract}),
        to_extract=len(to_extract),
        videos=len({segment.video for segment in to_extract}),
        missing_segments=len(missing),
        missing_videos=len({one.video for one in share.missing}),
        frames=amount.frames,
        bytes_to_write=amount.rows * row_bytes,
        bytes_missing=bytes_missing,
        bytes_present=bytes_present,
        bytes_free=free_bytes(job.storage.out),
        fits=True,
        memory=amount.memory,
        seconds=round(amount.views * rate.seconds / rate.views, 1) if rate else None,
        changed_videos=share.changed,
        renewed_by=share.renewed_by,
        unit=job.unit,
        idle=share.idle,
    )


def _amount(share: Share, threads: int) -> _Amount:
    job, left = share.job, share.to_extract
    if isinstance(job.recipe.plan, Windows):
        counts = windows_of(job, share)
        rows = [count for count, _ in counts]
        at_once = sorted(rows)[-threads:]
        memory = sum(at_once) * job.recipe.row_bytes
        return _Amount(sum(rows), sum(frames for _, frames in counts), sum(rows), memory)
    a_view = job.recipe.plan.view_frames + sum(job.recipe.transform.neighbours)
    views = len(left) * job.recipe.plan.views
    return _Amount(job.rows_of(left), views * a_view, views * job.recipe.transform.crops)


def _bytes_of_shards(store: Path) -> int:
    return sum(path.stat().st_size for path in store.glob("shards/**/*") if path.is_file())

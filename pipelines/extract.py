"""`egofeat extract`: a data set's segments through frozen backbones, into stores."""

import math
import os
import platform
import shutil
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import torch

from egofeat import console
from egofeat.errors import MediaError, RequestError
from egofeat.extract.decoding import passes_over
from egofeat.extract.extractor import Tally, Task, extract
from egofeat.extract.moments import Beside
from egofeat.extract.sampling import Plan, Windows
from egofeat.extract.shards import MAX_BYTES, Batch, cut, key_of, part, without
from egofeat.extract.transforms import Transform
from egofeat.extract.video import decoder_version, open_video
from egofeat.pipelines.choices import ExtractConfig
from egofeat.pipelines.extract_reports import (
    ExtractReport,
    Forecast,
    JointForecast,
    JointReport,
)
from egofeat.pipelines.job import Job, plan_job
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import StoreWriter, standing, versions
from egofeat.store.standing import packing

CPU_BATCH = 4
"""glibc gives blocks over 32 MB back to the kernel whenever they are freed, and fresh pages
cost more than the arithmetic: at 256 pixels, MobileNetV2's largest activation of four frames
takes 25 MB, and batches of 4 run more than twice as fast as batches of 32."""
GPU_BATCH = 256
"""Frames a batch; a clip counts all of its own."""


def run(config: ExtractConfig, dataset: Dataset | None = None) -> ExtractReport:
    """Extract what is missing from the store; see `plan_job`."""
    return run_jobs([plan_job(config, dataset)]).stores[0]


def run_jobs(jobs: Sequence[Job]) -> JointReport:
    """Extract what is missing from the stores of several jobs, in one decode of each video.

    Args:
        jobs: of one data set, one device and one part; all dense windows, or none.
    """
    if not jobs:
        return JointReport(stores=(), decoded=0, seconds=0.0)
    shares = _shares(jobs)
    left = [_missing(job, batches) for job, batches in zip(jobs, shares, strict=True)]
    _refuse_full_disk(jobs, left)
    with ExitStack() as stack:
        writers = [stack.enter_context(closing(_writer(job))) for job in jobs]
        for job, writer, batches in zip(jobs, writers, shares, strict=True):
            if job.config.retry_failed:
                writer.clear_failures({key_of(segment) for segment in _segments(batches)})
        tally = _extract(jobs, left, writers)
        stores = []
        for job, writer, batches, done in zip(jobs, writers, shares, tally.tasks, strict=True):
            wanted = {key_of(s) for s in _segments(batches)}
            failed = len(wanted & {f.key for f in writer.failures()})
            rate = done.frames / tally.seconds if done.frames else 0.0
            stores.append(
                ExtractReport(
                    store=str(writer.path),
                    segments=len(wanted),
                    extracted=done.extracted,
                    skipped=len(wanted) - done.extracted - failed,
                    failed=failed,
                    frames=done.frames,
                    views=done.views,
                    seconds=round(tally.seconds, 3),
                    frames_per_second=round(rate, 2),
                    unit=job.unit,
                )
            )
    return JointReport(stores=tuple(stores), decoded=tally.decoded, seconds=round(tally.seconds, 3))


def forecast(config: ExtractConfig, dataset: Dataset | None = None) -> Forecast:
    """What `run` would do; nothing is decoded and nothing written. See `plan_job`."""
    return forecast_jobs([plan_job(config, dataset)]).stores[0]


def forecast_jobs(jobs: Sequence[Job]) -> JointForecast:
    """What `run_jobs` would do."""
    shares = _shares(jobs) if jobs else []
    return JointForecast(
        stores=tuple(_forecast(job, batches) for job, batches in zip(jobs, shares, strict=True))
    )


def _forecast(job: Job, batches: Sequence[Batch]) -> Forecast:
    config = job.config
    _packing(job)  # refuses what `run` would
    done, failures = standing(job.store)
    failed = set() if config.retry_failed else {f.key for f in failures}
    wanted = _segments(batches)
    left = _segments(without(batches, done, failed))
    videos = {segment.video for segment in left}
    there = [segment for segment in wanted if key_of(segment) in done]
    present = len(there)
    row_bytes = job.recipe.row_bytes
    if job.persons:
        rows, bytes_present = job.rows_of(left), job.rows_of(there) * row_bytes
        frames = len(left) * (job.plan.view_frames + sum(job.transform.beside))
    elif isinstance(job.plan, Windows):
        media = [job.dataset.media[segment.video] for segment in left]
        rows, frames = _windows_of(job.plan, media, job.transform.beside)
        bytes_present = _bytes_of_shards(job.store)
    else:
        rows, bytes_present = len(left), present * row_bytes
        frames = rows * job.plan.views * (job.plan.view_frames + sum(job.transform.beside))
    return Forecast(
        store=str(job.store),
        segments=len(wanted),
        present=present,
        failed=len(wanted) - present - len(left),
        to_extract=len(left),
        videos=len(videos),
        missing_videos=sum(not job.dataset.media[video].path.exists() for video in videos),
        frames=frames,
        bytes_to_write=rows * row_bytes,
        bytes_present=bytes_present,
        bytes_free=_free_bytes(config.out),
        unit=job.unit,
    )


def _windows_of(plan: Windows, media: Sequence[Media], beside: Beside) -> tuple[int, int]:
    """Windows and frames of whole videos: only their indices are read, nothing is decoded."""
    windows = frames = 0
    for one in media:
        try:
            with open_video(one) as source:
                indices = plan.plan(
                    0.0, math.inf, source.times, source.stop, beside, source.lasting
                ).indices
        except MediaError:
            continue
        windows += len(indices)
        frames += len(np.unique(indices))
    return windows, frames


def _bytes_of_shards(store: Path) -> int:
    return sum(path.stat().st_size for path in store.glob("shards/**/*") if path.is_file())


def suiting_batch(device: torch.device, plan: Plan, transform: Transform) -> int:
    """Views a batch that suit a device."""
    frames = GPU_BATCH if device.type == "cuda" else CPU_BATCH
    return max(1, frames // (plan.view_frames * transform.crops))


def decoding_threads() -> int:
    """One a core, and no more than a disk feeds."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(16, cores or 1)


def _writer(job: Job) -> StoreWriter:
    config = job.config
    official = job.backbone.official
    made_with = versions()
    made_with["decoder"] = decoder_version(config.decoder)
    made_with["device"] = _device_name(job.backbone.device)
    named = official.name if official and config.weights == "default" else config.weights
    made_with["weights"] = named
    if job.transform.motion and (library := job.transform.motion.library):
        made_with["motion"] = library
    if config.roi:
        made_with["boxes"] = config.roi.said
    return StoreWriter.open(
        config.out,
        job.dataset,
        job.recipe,
        format=config.format,
        compress=config.compress,
        made_with=made_with,
        worker=worker_name(config.part, config.splits),
    )


def worker_name(part: tuple[int, int], splits: Sequence[str]) -> str:
    """What tells apart those who may write to a store at a time; part of file names."""
    plain = ("".join(c if c.isalnum() else "_" for c in split) for split in splits)
    return "-".join([f"{part[0]}of{part[1]}", *sorted(plain)])


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({platform.machine()})"


def _shares(jobs: Sequence[Job]) -> list[list[Batch]]:
    """The share of each job's cut that is this part's.

    Jobs that share a decode share the cut, so that each part has whole videos of all.
    """
    if isinstance(jobs[0].plan, Windows):
        row_bytes = MAX_BYTES  # a shard a video
    else:
        row_bytes = max(job.segment_bytes for job in jobs)
    return [part(cut(job.segments, row_bytes), *job.config.part) for job in jobs]


def _segments(batches: Sequence[Batch]) -> list[Segment]:
    return [s for batch in batches for shard in batch.shards for s in shard.segments]


def _extract(
    jobs: Sequence[Job], left: Sequence[Sequence[Batch]], writers: Sequence[StoreWriter]
) -> Tally:
    segments = [_segments(batches) for batches in left]
    config, media = jobs[0].config, jobs[0].dataset.media
    tasks = [
        Task(
            backbone=job.backbone,
            plan=job.plan,
            transform=job.transform,
            shards=[shard for batch in batches for shard in batch.shards],
            dtype=job.config.dtype,
            sink=writer,
            batch_size=config.batch_size
            or suiting_batch(job.backbone.device, job.plan, job.transform),
            persons=job.persons,
        )
        for job, batches, writer in zip(jobs, left, writers, strict=True)
    ]
    with console.progress("extracting", sum(map(len, segments)), jobs[0].unit) as progress:
        return extract(
            passes_over(segments, media),
            tasks,
            decoder=config.decoder,
            workers=config.workers or decoding_threads(),
            progress=progress,
        )


def _missing(job: Job, batches: Sequence[Batch]) -> list[Batch]:
    done, failures = standing(job.store)
    failed = set() if job.config.retry_failed else {failure.key for failure in failures}
    return without(batches, done, failed)


def _refuse_full_disk(jobs: Sequence[Job], left: Sequence[Sequence[Batch]]) -> None:
    """Of what is neither compressed nor of windows: how much they take is not known before."""
    needed = sum(
        job.rows_of(_segments(batches)) * job.recipe.row_bytes
        for job, batches in zip(jobs, left, strict=True)
        if _packing(job)[1] is None and not isinstance(job.plan, Windows)
    )
    free = _free_bytes(jobs[0].config.out)
    if needed > free:
        raise RequestError(
            f"the features take {console.size(needed)} and {jobs[0].config.out} has "
            f"{console.size(free)} free: make room or give another --out"
        )


def _packing(job: Job) -> tuple[str, str | None]:
    return packing(job.store, job.config.format, job.config.compress)


def _free_bytes(folder: Path) -> int:
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    return shutil.disk_usage(existing).free

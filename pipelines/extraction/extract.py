"""`egofeat extract`: a data set's segments through frozen backbones, into stores."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

from egofeat import console
from egofeat.device import device_name
from egofeat.extract.extractor import Tally, TaskTally, extract
from egofeat.extract.flow import library_of
from egofeat.extract.shards import key_of, shards_in
from egofeat.extract.task import Task
from egofeat.extract.threads import decoding_threads
from egofeat.extract.units import units_of
from egofeat.extract.video import decoder_version
from egofeat.extract.video.files import stamp_of
from egofeat.pipelines.extraction.disk_room import refuse_full_disk
from egofeat.pipelines.extraction.failure_sums import sum_up
from egofeat.pipelines.extraction.forecast import forecast, forecast_jobs, keep_rates
from egofeat.pipelines.extraction.job import Job, plan_job, together
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.pipelines.extraction.reports import ExtractReport, JointReport
from egofeat.pipelines.extraction.share import Share, shares_of
from egofeat.pipelines.options import Compute
from egofeat.recipe import Windows
from egofeat.segments import Dataset, Media
from egofeat.store import Failure, ShardRows, StoreWriter, versions

__all__ = ["forecast", "forecast_jobs", "run", "run_jobs", "worker_name"]


def run(config: ExtractConfig, dataset: Dataset | None = None) -> ExtractReport:
    """Extract what is missing from the store; see `plan_job`."""
    return run_jobs([plan_job(config, dataset)], config).stores[0]


def run_jobs(jobs: Sequence[Job], compute: Compute) -> JointReport:
    """Extract what is missing from the stores of several jobs.

    Those that can share it have one decode of each video: `together` says which.

    Args:
        jobs: planned; the device is that of their backbones.
        compute: how the pass is done, for all of them.

    Raises:
        RequestError: the disk has no room, or a store is of another format than is asked for.
        StoreError: a store is damaged.
    """
    groups = [[jobs[place] for place in places] for places in together(jobs)]
    shares = [shares_of(group, compute) for group in groups]
    refuse_full_disk([share for group in shares for share in group])
    of_store: dict[int, ExtractReport] = {}
    decoded, seconds = 0, 0.0
    for places, group in zip(together(jobs), shares, strict=True):
        tally, reports = _run_together(group, compute)
        of_store |= dict(zip(places, reports, strict=True))
        decoded += tally.decoded
        seconds += tally.seconds
    return JointReport(
        stores=tuple(of_store[place] for place in range(len(jobs))),
        decoded=decoded,
        seconds=round(seconds, 3),
    )


def _run_together(shares: Sequence[Share], compute: Compute) -> tuple[Tally, list[ExtractReport]]:
    """Extract what is left of shares that have one decode."""
    with ExitStack() as stack:
        writers = [stack.enter_context(closing(_writer(share.job, compute))) for share in shares]
        for share, writer in zip(shares, writers, strict=True):
            if compute.retry_failed:
                writer.clear_failures({key_of(segment) for segment in share.wanted})
            known = set() if compute.retry_failed else set(share.progress.failures)
            if fresh := [failure for failure in share.missing if failure not in known]:
                writer.record_failures(fresh)
        tally = _extract(shares, writers, compute)
        reports = [
            _report(share, writer, done, tally.seconds)
            for share, writer, done in zip(shares, writers, tally.tasks, strict=True)
        ]
    keep_rates(shares, tally)
    return tally, reports


def _report(share: Share, writer: StoreWriter, done: TaskTally, seconds: float) -> ExtractReport:
    wanted = {key_of(segment) for segment in share.wanted}
    ids = {id_ for id_, _, _ in wanted}
    failures = [f for f in writer.failures() if (f.id in ids if f.windows else f.key in wanted)]
    failed = sum(not failure.windows for failure in failures)
    return ExtractReport(
        store=str(writer.path),
        segments=len(wanted),
        splits=share.splits,
        extracted=done.extracted,
        skipped=len(wanted) - done.extracted - failed,
        failed=failed,
        lost_windows=sum(failure.windows for failure in failures),
        failures=sum_up(failures, share.job.dataset.media),
        changed_videos=share.changed,
        renewed_by=share.renewed_by,
        frames=done.frames,
        views=done.views,
        seconds=round(seconds, 3),
        frames_per_second=round(done.frames / seconds, 2) if done.frames else 0.0,
        unit=share.job.unit,
        idle=share.idle,
    )


def _writer(job: Job, compute: Compute) -> StoreWriter:
    made_with = {**versions(), **job.made_with}
    made_with["decoder"] = decoder_version(job.recipe.decoder)
    made_with["device"] = device_name(job.backbone.device)
    motion = job.recipe.transform.motion
    if motion and (library := library_of(motion)):
        made_with["motion"] = library
    storage = job.storage
    return StoreWriter.open(
        storage.out,
        job.dataset,
        job.recipe,
        format=storage.format,
        compress=storage.compress,
        made_with=made_with,
        worker=worker_name(compute.part, job.splits),
    )


def worker_name(part: tuple[int, int], splits: Sequence[str]) -> str:
    """What tells apart those who may write to a store at a time; part of file names."""
    plain = ("".join(c if c.isalnum() else "_" for c in split) for split in splits)
    return "-".join([f"{part[0]}of{part[1]}", *sorted(plain)])


@dataclass(frozen=True)
class _Sink:
    """A store that is also told of which file a failure was."""

    writer: StoreWriter
    media: Mapping[str, Media]

    def write_shard(self, name: str, rows: ShardRows) -> object:
        """Publish the rows of one shard."""
        return self.writer.write_shard(name, rows)

    def record_failures(self, failures: list[Failure]) -> None:
        """Note what cannot be read, as it stands there now."""
        files = {one.video: stamp_of(self.media[one.video].path) for one in failures}
        self.writer.record_failures([replace(one, file=files[one.video]) for one in failures])


def _extract(shares: Sequence[Share], writers: Sequence[StoreWriter], compute: Compute) -> Tally:
    """Extract what is left; with nothing left, nothing is begun."""
    left = [share.to_extract for share in shares]
    if not any(left):
        return Tally(0, 0.0, (TaskTally(0, 0, 0),) * len(shares))
    first = shares[0].job
    tasks = [
        Task(
            backbone=job.backbone,
            recipe=job.recipe,
            sink=_Sink(writer, job.dataset.media),
            batch_size=compute.batch_size,
            persons=job.persons,
        )
        for share, writer in zip(shares, writers, strict=True)
        for job in (share.job,)
    ]
    total, unit, step = sum(map(len, left)), first.unit, ""
    if isinstance(first.recipe.plan, Windows):
        unit, step = "videos", "windows"
    with console.progress("extracting", total, unit, step) as progress:
        return extract(
            units_of(
                [shards_in(share.batches) for share in shares],
                [shards_in(share.left) for share in shares],
                first.dataset.media,
            ),
            tasks,
            decoder=first.recipe.decoder,
            workers=compute.workers or decoding_threads(),
            progress=progress,
        )

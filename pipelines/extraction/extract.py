"""`egofeat extract`: a data set's segments through frozen backbones, into stores."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial

from egofeat import console
from egofeat.device import choose_device, device_name
from egofeat.engines.board import Board, tidy
from egofeat.engines.presence import LEASE_S
from egofeat.extract.decoding.threads import decoding_threads
from egofeat.extract.extractor import Tally, TaskTally
from egofeat.extract.pieces.cut import pieces_of, seconds_of_piece
from egofeat.extract.pieces.sink import StoreSink
from egofeat.extract.shards import shards_in
from egofeat.extract.task import Task
from egofeat.extract.units import Unit, in_pieces, units_of
from egofeat.pipelines.crew import engine_of, settled
from egofeat.pipelines.extraction.by_workers import work_together
from egofeat.pipelines.extraction.disk_room import refuse_full_disk
from egofeat.pipelines.extraction.forecast import forecast, forecast_jobs, keep_rates
from egofeat.pipelines.extraction.job import Job, plan_job, together
from egofeat.pipelines.extraction.made_with import made_with
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.pipelines.extraction.outcome import failures_of, outcome
from egofeat.pipelines.extraction.reports import ExtractReport, JointReport
from egofeat.pipelines.extraction.session import Session, both, no_tally
from egofeat.pipelines.extraction.share import Share, shares_of
from egofeat.pipelines.options import Compute
from egofeat.recipe import Windows
from egofeat.segments import Dataset, Media
from egofeat.store import Failure, Key, StoreWriter
from egofeat.store.files import WORK, Strangers, remove_leftovers

__all__ = ["forecast", "forecast_jobs", "run", "run_jobs", "worker_name"]


def run(config: ExtractConfig, dataset: Dataset | None = None) -> ExtractReport:
    """Extract what is missing from the store; see `plan_job`."""
    config = settled(config)
    return run_jobs([plan_job(config, dataset)], config).stores[0]


def run_jobs(jobs: Sequence[Job], compute: Compute) -> JointReport:
    """Extract what is missing from the stores of several jobs.

    Those that can share it have one decode of each video: `together` says which.

    Args:
        jobs: planned; the device is that of their backbones.
        compute: how the pass is done, for all of them; settled.

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


def _run_together(
    shares: Sequence[Share[Job]], compute: Compute
) -> tuple[Tally, list[ExtractReport]]:
    """Extract what is left of shares that have one decode."""
    jobs = [share.job for share in shares]
    worker = worker_name(compute.part, jobs[0].splits)
    tally = no_tally(len(shares))
    folder = min(job.store for job in jobs) / WORK
    with ExitStack() as stack:
        board, left = None, any(share.left for share in shares)
        if left or (compute.part[1] > 1 and folder.is_dir()):
            board = stack.enter_context(Board(folder, worker))
            worker = board.worker
        else:
            tidy(folder)
        writers = [stack.enter_context(closing(_writer(job, worker, compute))) for job in jobs]
        for share, writer in zip(shares, writers, strict=True):
            _note_failures(share, writer, compute)
        if board:
            folders = [job.store / name for job in jobs for name in ("", "shards")]
            strangers = Strangers(folders)
            if left:
                tally = _extract(shares, writers, board, compute)
            _take_over(shares, writers, board, compute)
            strangers.remove(LEASE_S, [(one.machine, one.pid) for one in board.others()[0]])
            for folder in folders:
                remove_leftovers(folder, worker)
        reports = [
            _report(share, writer, done, tally.seconds)
            for share, writer, done in zip(shares, writers, tally.tasks, strict=True)
        ]
    return tally, reports


def _note_failures(share: Share[Job], writer: StoreWriter, compute: Compute) -> None:
    """Forget what is tried again, and note what is not there to be tried."""
    if compute.retry_failed:
        writer.clear_failures(set(share.wanted.keys))
    known = set() if compute.retry_failed else set(share.progress.failures)
    if fresh := [failure for failure in share.missing if failure not in known]:
        writer.record_failures(fresh)


def _extract(
    shares: Sequence[Share[Job]], writers: Sequence[StoreWriter], board: Board, compute: Compute
) -> Tally:
    """Extract what is left, by this process or by others."""
    again: set[Key] = set()
    for share in shares:
        again |= {key for key in share.to_extract.keys if key in share.progress.done}
    units = units_of(
        [shards_in(share.batches) for share in shares],
        [shards_in(share.left) for share in shares],
        shares[0].job.dataset.media,
        again,
    )
    if isinstance(shares[0].job.recipe.plan, Windows):
        units = _in_pieces(units, min(seconds_of_piece(share.job.recipe) for share in shares))
    # Of this very moment, something is left of them: who said that they are done was wrong.
    board.reopen(unit.name for unit in units)
    board.free(unit.name for unit in units)
    engine = engine_of(compute, board.folder / "logs")
    total = sum(len(share.to_extract) for share in shares)
    unit, step = shares[0].job.unit, ""
    if isinstance(shares[0].job.recipe.plan, Windows):
        unit, step = "videos", "windows"
    show = partial(console.progress, "extracting", total, unit, step)
    if engine:
        tally = work_together(shares, writers, units, board, engine, compute, show)
    else:
        with show() as progress:
            tally = _work_alone(shares, writers, units, board, compute, progress)
    keep_rates(shares, tally, compute)
    return tally


def _work_alone(
    shares: Sequence[Share[Job]],
    writers: Sequence[StoreWriter],
    units: Sequence[Unit],
    board: Board,
    compute: Compute,
    progress: console.Advance,
) -> Tally:
    sinks = [StoreSink(writer, board.folder) for writer in writers]
    tasks = [
        Task(
            backbone=share.job.backbone,
            recipe=share.job.recipe,
            sink=sink,
            batch_size=compute.batch_size,
            persons=share.job.persons,
        )
        for share, sink in zip(shares, sinks, strict=True)
    ]
    threads = compute.workers or decoding_threads()
    session = Session(board, tasks, sinks, shares[0].job.recipe.decoder, threads)
    tally = no_tally(len(shares))
    for done in session.work({unit.name: partial(_itself, unit) for unit in units}, progress):
        tally = both(tally, done)
    return tally


def _in_pieces(units: Sequence[Unit], seconds: int) -> list[Unit]:
    """Units of whole videos, of which long ones are divided; the longest first."""
    found: list[Unit] = []
    for unit in units:
        media, *others = unit.media.values()
        # What takes the place of something is made as a whole; short ones that share a shard, too.
        if isinstance(media, Media) and not (others or unit.again):
            found += in_pieces(unit, pieces_of(media, seconds))
        else:
            found.append(unit)
    return sorted(found, key=lambda unit: unit.cost, reverse=True)


def _itself(unit: Unit) -> Unit:
    return unit


def _take_over(
    shares: Sequence[Share[Job]], writers: Sequence[StoreWriter], board: Board, compute: Compute
) -> None:
    """Extract what other parts have left whose workers died, or were ended."""
    own, parts = compute.part
    names = [worker_name((n, parts), shares[0].job.splits) for n in range(1, parts + 1)]
    others = {name: n for n, name in enumerate(names, 1) if n != own}
    for name in board.died(others):
        part = replace(compute, part=(others[name], parts))
        theirs = shares_of([share.job for share in shares], part)
        if any(share.left for share in theirs):
            console.note(f"part {others[name]}/{parts} has ended early: it is done here")
            _extract(theirs, writers, board, part)
        board.bury(name)  # only now: should this process die too, another part goes on


def _report(
    share: Share[Job], writer: StoreWriter, done: TaskTally, seconds: float
) -> ExtractReport:
    failures, missing = _lacking(share, writer)
    return outcome(share, writer.path, failures, missing, **vars(done), seconds=seconds)


def _lacking(share: Share[Job], writer: StoreWriter) -> tuple[list[Failure], int]:
    """What of a share failed, and how many of its segments are not there."""
    if share.complete:
        return [], 0
    there = writer.done() if share.left else share.progress.done
    failures = failures_of(share, writer.failures(there))
    return failures, sum(key not in there for key in share.wanted.keys)


def _writer(job: Job, worker: str, compute: Compute) -> StoreWriter:
    made = made_with(job.recipe, job.backbone.device, job.made_with)
    if compute.devices:
        made["device"] = device_name(choose_device(compute.devices[0]))
    elif compute.ray or compute.slurm:
        del made["device"]  # each shard says its own
    storage = job.storage
    return StoreWriter.open(
        storage.out,
        job.dataset,
        job.recipe,
        format=storage.format,
        compress=storage.compress,
        made_with=made,
        worker=worker,
        stage=storage.stage,
    )


def worker_name(part: tuple[int, int], splits: Sequence[str]) -> str:
    """What tells apart those who may write to a store at a time; part of file names."""
    plain = ("".join(c if c.isalnum() else "_" for c in split) for split in splits)
    return "-".join([f"{part[0]}of{part[1]}", *sorted(plain)])

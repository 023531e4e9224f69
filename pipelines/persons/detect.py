"""`egofeat persons`: a detector over the key frames of a data set, to boxes in CSV files."""

import time
from functools import partial

from egofeat import console
from egofeat.engines.board import Board, tidy
from egofeat.engines.far import keep_showing
from egofeat.extract.video import decoder_version
from egofeat.pipelines.crew import engine_of
from egofeat.pipelines.extraction.failure_sums import sum_up
from egofeat.pipelines.persons.detecting import Detecting, unit_name
from egofeat.pipelines.persons.job import PersonsJob
from egofeat.pipelines.persons.order import DetectionOrder
from egofeat.pipelines.persons.reports import PersonsForecast, PersonsReport
from egofeat.store import versions
from egofeat.store.files import WORK


def forecast(job: PersonsJob) -> PersonsForecast:
    """What `run` would do; nothing is decoded and nothing written."""
    return PersonsForecast(
        folder=str(job.folder.path),
        videos=len(job.videos),
        present=len(job.done),
        to_open=len(job.left),
        missing_videos=sum(not wanted.media.path.exists() for wanted in job.left),
        key_frames=sum(one.units for one in job.left) if job.config.every is None else None,
    )


def run(job: PersonsJob) -> PersonsReport:
    """Look at what has not been looked at, a video at a time."""
    began = time.perf_counter()
    made_with = versions() | {"decoder": decoder_version(job.config.decoder)}
    job.folder.begin(job.detection, made_with)
    if job.left:
        _share_out(job)
    else:
        tidy(job.folder.path / WORK)
    job.folder.write_failures()
    seconds = time.perf_counter() - began
    found = {wanted.video: job.folder.looked(wanted.video) for wanted in job.left}
    fresh = [one for one in found.values() if one]
    looked = [*job.done, *fresh]
    frames = sum(len(one.key_frames) for one in fresh)
    return PersonsReport(
        folder=str(job.folder.path),
        videos=len(job.videos),
        skipped=len(job.done),
        key_frames=sum(len(one.key_frames) for one in looked),
        empty=sum(one.empty for one in looked),
        boxes=sum(one.boxes for one in looked),
        failed=sum(len(one.failures) for one in looked),
        failures=sum_up(
            (failure for one in looked for failure in one.failures),
            {wanted.video: wanted.media for wanted in job.videos},
        ),
        seconds=round(seconds, 3),
        frames_per_second=round(frames / seconds, 2),
    )


def _share_out(job: PersonsJob) -> None:
    """Have what is left done, by this process or by others."""
    of_moments = job.config.every is None
    total, unit = sum(one.units for one in job.left), "key frames" if of_moments else "videos"
    show = partial(console.progress, "detecting", total, unit)
    with Board(job.folder.path / WORK, job.worker) as board:
        # Of this very moment they are to be looked at: who said that they are done was wrong.
        board.reopen(unit_name(wanted.video) for wanted in job.left)
        board.free(unit_name(wanted.video) for wanted in job.left)
        if engine := engine_of(job.config, board.folder / "logs"):
            order = DetectionOrder.of(job, board)
            sizes = {unit_name(one.video): one.units for one in job.left}
            keep_showing(engine, order, board, sizes, show)
        else:
            with show() as progress:
                Detecting(job.config, job.detector, job.folder, job.left).work(board, progress)

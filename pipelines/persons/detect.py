"""`egofeat persons`: a detector over the key frames of a data set, to boxes in CSV files."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from egofeat import console
from egofeat.boxes import Boxes, stamp_of
from egofeat.extract.stills import Finished, Stills, Unread, Wanted, read_all
from egofeat.extract.threads import decoding_threads
from egofeat.extract.video import decoder_version
from egofeat.pipelines.extraction.failure_sums import sum_up
from egofeat.pipelines.persons.box_folder import BoxFolder, Looked
from egofeat.pipelines.persons.job import PersonsJob
from egofeat.pipelines.persons.reports import PersonsForecast, PersonsReport
from egofeat.store import Failure, versions

CPU_BATCH = 1
GPU_BATCH = 8
"""Frames a batch; the network makes each 800 × 1333 pixels."""


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
    fresh = _look(job)
    job.folder.write_failures()
    seconds = time.perf_counter() - began
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


@dataclass
class _UnderWay:
    """What has been found in a video that is being read."""

    wanted: Wanted
    boxes: dict[str, Boxes] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


def _look(job: PersonsJob) -> list[Looked]:
    config, device = job.config, job.detector.device
    reading = read_all(
        job.left,
        decoder=config.decoder,
        batch_size=config.batch_size or (GPU_BATCH if device.type == "cuda" else CPU_BATCH),
        threads=max(1, min(config.workers or decoding_threads(), len(job.left))),
        turns=device.type == "cpu",
    )
    of_moments = config.every is None
    total, unit = sum(one.units for one in job.left), "key frames" if of_moments else "videos"
    under_way = {wanted.video: _UnderWay(wanted) for wanted in job.left}
    fresh = []
    with console.progress("detecting", total, unit) as progress, reading as events:
        for event in events:
            of_video = under_way[event.video]
            match event:
                case Stills(_, ids, frames_HWC):
                    for same, boxes in zip(ids, job.detector(frames_HWC), strict=True):
                        of_video.boxes |= dict.fromkeys(same, boxes)
                        progress(len(same) if of_moments else 0)
                case Unread(video):
                    of_video.failures += _failures(event)
                case Finished(video):
                    fresh.append(_publish(job.folder, under_way.pop(video)))
                    told = len(of_video.boxes) if of_moments else 0
                    progress(of_video.wanted.units - told)
    return fresh


def _failures(unread: Unread) -> list[Failure]:
    video, moments = unread.video, unread.moments
    spans = {video: (0.0, math.inf)}  # the whole video
    if moments is not None:
        spans = {id_: (start, start + 1) for id_, start in moments.items()}
    return [Failure(id_, video, *span, unread.reason, unread.cause) for id_, span in spans.items()]


def _publish(folder: BoxFolder, of_video: _UnderWay) -> Looked:
    """A video that cannot be read any more keeps the boxes that it has."""
    wanted = of_video.wanted
    void = any(failure.id == wanted.video for failure in of_video.failures)
    found = {} if void else of_video.boxes
    boxes = {id_: found[id_] for id_ in sorted(found, key=_stamp)}
    moments = wanted.moments if isinstance(wanted.moments, Mapping) else None
    looked = Looked(
        video=wanted.video,
        fps=wanted.media.fps,
        first_frame=wanted.media.first_frame,
        key_frames={id_: moments[id_] if moments else _stamp(id_) for id_ in boxes},
        empty=sum(not len(one) for one in boxes.values()),
        boxes=sum(map(len, boxes.values())),
        failures=tuple(sorted(of_video.failures, key=lambda failure: failure.start)),
    )
    before = folder.looked(wanted.video)
    if before and looked.unopened:
        looked = replace(before, failures=looked.failures)
    folder.publish(looked, None if looked.unopened else boxes)
    return looked


def _stamp(id_: str) -> float:
    return float(stamp_of(id_))

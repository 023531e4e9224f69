"""A worker's detection: videos, taken until none is left, to boxes in a folder."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from egofeat import console
from egofeat.boxes import Boxes, stamp_of
from egofeat.engines.board import Board
from egofeat.engines.turns import WHY, take_turns
from egofeat.extract.decoding.threads import decoding_threads
from egofeat.extract.persons import Detector
from egofeat.extract.stills import Finished, Stills, Unread, Wanted, read_all
from egofeat.pipelines.persons.box_folder import BoxFolder, Looked
from egofeat.pipelines.persons.job import is_left
from egofeat.pipelines.persons.options import PersonsConfig
from egofeat.store import Failure

CPU_BATCH = 1
GPU_BATCH = 8
"""Frames a batch; the network makes each 800 × 1333 pixels."""


@dataclass
class _UnderWay:
    """What has been found in a video that is being read."""

    wanted: Wanted
    boxes: dict[str, Boxes] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True)
class Detecting:
    """What one worker does: it looks at videos that nobody has taken, until all are done."""

    config: PersonsConfig
    detector: Detector
    folder: BoxFolder
    videos: Sequence[Wanted]
    tell: Callable[[Sequence[Failure]], None] = lambda failures: None
    finished: Callable[[float], None] = lambda units: None
    """Told how much of what `progress` is told is done for good, with its video."""

    def work(self, board: Board, progress: console.Advance) -> None:
        """Look at videos until none is left."""
        wanted = {unit_name(one.video): one for one in self.videos}

        def make(names: Iterator[str]) -> None:
            self._look((wanted[name] for name in names), board, progress)

        def give_up(name: str) -> None:
            lost = Unread(wanted[name].video, None, WHY)
            self._publish(_UnderWay(wanted[name], failures=_failures(lost)))
            progress(wanted[name].units)
            self.finished(wanted[name].units)

        for _ in take_turns(board, wanted, make, give_up):
            pass

    def _look(self, videos: Iterator[Wanted], board: Board, progress: console.Advance) -> None:
        config, on_cpu = self.config, self.detector.device.type == "cpu"
        under_way: dict[str, _UnderWay] = {}

        def begun() -> Iterator[Wanted]:
            for wanted in videos:
                there = self.folder.looked(wanted.video)
                if is_left(wanted, there, config.retry_failed):
                    under_way[wanted.video] = _UnderWay(wanted)
                    yield wanted
                else:  # another command has looked at it since this one was planned
                    board.done(unit_name(wanted.video))

        reading = read_all(
            begun(),
            decoder=config.decoder,
            batch_size=config.batch_size or (CPU_BATCH if on_cpu else GPU_BATCH),
            threads=max(1, min(config.workers or decoding_threads(), len(self.videos))),
            turns=on_cpu,
            device=self.detector.device,
        )
        of_moments = config.every is None
        with reading as events:
            for event in events:
                of_video = under_way[event.video]
                match event:
                    case Stills(_, ids, frames_HWC):
                        for same, boxes in zip(ids, self.detector(frames_HWC), strict=True):
                            of_video.boxes |= dict.fromkeys(same, boxes)
                            progress(len(same) if of_moments else 0)
                    case Unread():
                        of_video.failures += _failures(event)
                    case Finished(video):
                        self._publish(under_way.pop(video))
                        board.done(unit_name(video))
                        told = len(of_video.boxes) if of_moments else 0
                        progress(of_video.wanted.units - told)
                        self.finished(of_video.wanted.units)

    def _publish(self, of_video: _UnderWay) -> None:
        self.tell(of_video.failures)
        _publish(self.folder, of_video)


def unit_name(video: str) -> str:
    """A video's name as that of a unit."""
    return hashlib.sha256(video.encode()).hexdigest()[:16]


def _failures(unread: Unread) -> list[Failure]:
    video, moments = unread.video, unread.moments
    spans = {video: (0.0, math.inf)}  # the whole video
    if moments is not None:
        spans = {id_: (start, start + 1) for id_, start in moments.items()}
    return [Failure(id_, video, *span, unread.reason, unread.cause) for id_, span in spans.items()]


def _publish(folder: BoxFolder, of_video: _UnderWay) -> None:
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


def _stamp(id_: str) -> float:
    return float(stamp_of(id_))

"""A detection as workers of other processes are given it: planned once."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from egofeat.engines.board import Board
from egofeat.engines.crew import Seat
from egofeat.engines.far import Far
from egofeat.errors import WeightsError
from egofeat.extract.stills import Wanted
from egofeat.pipelines.crew import threads_of
from egofeat.pipelines.persons.box_folder import BoxFolder
from egofeat.pipelines.persons.detecting import Detecting
from egofeat.pipelines.persons.job import PersonsJob, load_detector
from egofeat.pipelines.persons.options import PersonsConfig


@dataclass(frozen=True)
class DetectionOrder:
    """A detection for workers of other processes, which call it."""

    config: PersonsConfig
    folder: Path
    videos: tuple[Wanted, ...]
    board: Path
    worker: str
    weights: str
    """Their digest, as they were planned with."""

    @classmethod
    def of(cls, job: PersonsJob, board: Board) -> "DetectionOrder":
        """What is left of a job."""
        weights = job.config.weights
        if Path(weights).is_file():
            weights = str(Path(weights).absolute())
        videos = [
            replace(one, media=replace(one.media, path=one.media.path.absolute()))
            for one in job.left
        ]
        return cls(
            config=replace(job.config, weights=weights, devices=(), ray=None, slurm=None),
            folder=job.folder.path.absolute(),
            videos=tuple(videos),
            board=board.folder.absolute(),
            worker=board.worker,
            weights=job.detection.weights,
        )

    def __call__(self, seat: Seat) -> None:
        """Work until no video is left."""
        config = replace(
            self.config, device=seat.device, workers=threads_of(self.config.workers, seat)
        )
        detector = load_detector(config)
        if detector.weights != self.weights:
            raise WeightsError(
                "the detector has other weights on this machine than where the detection was "
                "planned: give `weights` as a file that all machines read"
            )
        far = Far(begun=True)
        with Board(self.board, self.worker, partial(vars, far), supervised=True) as board:
            folder = BoxFolder(self.folder, board.worker)
            detecting = Detecting(config, detector, folder, self.videos, far.fail, far.finish)
            detecting.work(board, far.advance)

"""Trainings of a sweep by workers of other processes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from egofeat.engines.crew import Engine
from egofeat.engines.local import Processes
from egofeat.engines.turns import MOST_DEATHS
from egofeat.pipelines.crew import engine_of
from egofeat.pipelines.options import Compute
from egofeat.pipelines.sweeping.fitting import Training, carry_out
from egofeat.pipelines.sweeping.planning import OpenedRows
from egofeat.pipelines.workers import Do, Tell, Work, do_by_workers

_WHY = (
    f"{MOST_DEATHS} processes ended while they trained it, as for want of memory: see what they "
    "printed, and try fewer at a time"
)


@dataclass(frozen=True)
class _Trainings:
    """Each by its name; the word about one is why it failed."""

    trainings: Mapping[str, Training]

    def __call__(self) -> Do:
        rows = OpenedRows()
        return lambda name: carry_out(self.trainings[name], rows)


def train_by_workers(
    trainings: Mapping[str, Training],
    board: Path,
    start: Callable[[int, Path], Engine],
    tell: Tell,
) -> None:
    """Have workers train, and tell of each training when it is done or has failed.

    Args:
        trainings: each by a name that is alike for all workers.
        board: folder for what workers tell each other, on a disk that all share.
        start: starts an engine for so many trainings, with a folder for its logs.
        tell: told of each, in this process, and why it failed, or nothing.

    Raises:
        EgofeatError: workers cannot be had, or die whatever they train.
    """
    work = Work(tuple(trainings), _Trainings(trainings), "sweep", _WHY)
    do_by_workers(work, board, start, tell)


def engine_for(compute: Compute, jobs: int, trainings: int, logs: Path) -> Engine:
    """The engine that the options ask for; of `jobs`, processes that have all devices."""
    seats = min(jobs, trainings)
    return engine_of(compute, logs) or Processes(["auto"] * seats)

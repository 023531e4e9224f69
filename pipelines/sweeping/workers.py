"""Trainings by workers of other processes: each takes the next that nobody has, until all are done.

A training that ends the process it is in is tried once more, last and alone; then that is its
reason, and the others go on.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from egofeat import console
from egofeat.engines.board import Board
from egofeat.engines.crew import Engine, Seat
from egofeat.engines.far import Far, keep_showing
from egofeat.engines.local import Processes
from egofeat.engines.turns import MOST_DEATHS, take_turns
from egofeat.errors import RequestError
from egofeat.pipelines.crew import engine_of
from egofeat.pipelines.options import Compute
from egofeat.pipelines.sweeping.fitting import Training, carry_out
from egofeat.pipelines.sweeping.planning import OpenedRows
from egofeat.store.files import replace_file

_NAME = "sweep"
_WHY = (
    f"{MOST_DEATHS} processes ended while they trained it, as for want of memory: see what they "
    "printed, and try fewer at a time"
)
Tell = Callable[[str, str], None]
"""Told a training that is done, and why it failed, or nothing."""


@dataclass(frozen=True)
class Order:
    """Trainings for workers, which call it."""

    trainings: Mapping[str, Training]
    """Each by a name that is alike for all workers."""
    board: Path
    folder: Path
    """At which relative paths start."""

    def __call__(self, seat: Seat) -> None:
        """Train until nothing is left."""
        _enter(self.folder)
        _see_only(seat.device)
        torch.set_num_threads(max(1, torch.get_num_threads() // seat.sharing))
        rows = OpenedRows()
        with Board(self.board, _NAME, partial(vars, Far(begun=True)), supervised=True) as board:

            def make(names: Iterator[str]) -> None:
                for name in names:
                    if failure := carry_out(self.trainings[name], rows):
                        _write_reason(self.board, name, failure)
                    board.done(name)

            give_up = partial(_write_reason, self.board, why=_WHY)
            for _ in take_turns(board, self.trainings, make, give_up):
                pass


def train_by_workers(
    trainings: Mapping[str, Training],
    board: Path,
    start: Callable[[int, Path], Engine],
    tell: Tell,
) -> None:
    """Have workers train, and tell of each training when it is done or has failed.

    Args:
        trainings: each by its name.
        board: folder for what workers tell each other, on a disk that all share.
        start: starts an engine for so many trainings, with a folder for its logs.
        tell: told of each, in this process.

    Raises:
        EgofeatError: workers cannot be had, or die whatever they train.
    """
    waiting = set(trainings)
    with Board(board, _NAME) as shared:
        shared.reopen(trainings)  # of this very moment, none of them is done
        for name in trainings:
            _reason(board, name).unlink(missing_ok=True)
        shared.free(trainings)

        @contextmanager
        def show(**_: object) -> Iterator[console.Advance]:
            yield lambda *_: _tell_finished(shared, waiting, tell)

        order = Order(trainings, board.absolute(), Path.cwd())
        engine = start(len(trainings), board / "logs")
        keep_showing(engine, order, shared, dict.fromkeys(trainings, 1.0), show)


def engine_for(compute: Compute, jobs: int, trainings: int, logs: Path) -> Engine:
    """The engine that the options ask for; of `jobs`, processes that have all devices."""
    seats = min(jobs, trainings)
    return engine_of(compute, logs) or Processes(["auto"] * seats)


def _tell_finished(board: Board, waiting: Set[str], tell: Tell) -> None:
    """Tell of those that are done since."""
    for name in board.finished(sorted(waiting)):
        waiting -= {name}
        try:
            failure = _reason(board.folder, name).read_text()
        except FileNotFoundError:
            failure = ""
        tell(name, failure)


def _reason(board: Path, name: str) -> Path:
    return board / "failures" / name


def _write_reason(board: Path, name: str, why: str) -> None:
    path = _reason(board, name)
    path.parent.mkdir(exist_ok=True)
    replace_file(path, why.encode())


def _enter(folder: Path) -> None:
    """Be where the command was given."""
    try:
        os.chdir(folder)
    except OSError:
        raise RequestError(
            f"{folder}, where the sweep was begun, is not there for its workers: begin it in a "
            "folder that all machines share"
        ) from None


def _see_only(device: str) -> None:
    """Let `auto` be one device: trainings ask for it wherever they are done.

    The process has not looked for GPUs yet.
    """
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif device.startswith("cuda:"):
        number = device.removeprefix("cuda:")
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        with suppress(IndexError):
            number = seen[int(number)] or number
        os.environ["CUDA_VISIBLE_DEVICES"] = number

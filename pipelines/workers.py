"""Work by processes, or by a cluster: each takes the next that nobody has, until all is done.

What ends the process it is in is tried once more, last and alone; then it is given up, and the
others go on.
"""

import os
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from egofeat import console
from egofeat.engines.board import Board
from egofeat.engines.crew import Engine, Seat
from egofeat.engines.far import Far, keep_showing
from egofeat.engines.turns import take_turns
from egofeat.errors import RequestError
from egofeat.store.files import replace_file

Do = Callable[[str], str]
"""Does what has a name, and leaves a word about it, or nothing."""
Tell = Callable[[str, str], None]
"""Told a name, when that is done, and the word that was left."""


@dataclass(frozen=True)
class Work:
    """What is to be done; it can be sent to other machines."""

    names: Sequence[str]
    """Of what is done each by one worker, the first ones first; alike for all workers."""
    begin: Callable[[], Do]
    """Makes, in a worker, what does it."""
    called: str
    """Name of who has it done, on the board."""
    lost: str
    """The word about what workers died of."""


@dataclass(frozen=True)
class Order:
    """Work for workers, which call it."""

    work: Work
    board: Path
    folder: Path
    """At which relative paths start."""

    def __call__(self, seat: Seat) -> None:
        """Work until nothing is left."""
        _enter(self.folder)
        _see_only(seat.device)
        torch.set_num_threads(max(1, torch.get_num_threads() // seat.sharing))
        do, called = self.work.begin(), self.work.called
        with Board(self.board, called, partial(vars, Far(begun=True)), supervised=True) as board:

            def make(names: Iterator[str]) -> None:
                for name in names:
                    if word := do(name):
                        _leave_word(self.board, name, word)
                    board.done(name)

            give_up = partial(_leave_word, self.board, word=self.work.lost)
            for _ in take_turns(board, self.work.names, make, give_up):
                pass


def do_by_workers(
    work: Work,
    board: Path,
    start: Callable[[int, Path], Engine],
    tell: Tell,
    look: Callable[[], None] = lambda: None,
) -> None:
    """Have workers work, and tell of each piece when it is done or given up.

    Args:
        work: what there is to do.
        board: folder for what workers tell each other, on a disk that all share.
        start: starts an engine for so many pieces, with a folder for its logs.
        tell: told of each, in this process.
        look: called now and then meanwhile, in this process.

    Raises:
        EgofeatError: workers cannot be had, or die whatever they do, or one met what ends all.
    """
    waiting = set(work.names)
    with Board(board, work.called) as shared:
        shared.reopen(work.names)  # of this very moment, none of them is done
        for name in work.names:
            _word(board, name).unlink(missing_ok=True)
        shared.free(work.names)

        @contextmanager
        def show(**_: object) -> Iterator[console.Advance]:
            def advance(units: float, steps: int = 0) -> None:
                look()
                _tell_finished(shared, waiting, tell)

            yield advance

        engine = start(len(work.names), board / "logs")
        order = Order(work, board.absolute(), Path.cwd())
        keep_showing(engine, order, shared, dict.fromkeys(work.names, 1.0), show)


def _tell_finished(board: Board, waiting: Set[str], tell: Tell) -> None:
    """Tell of those that are done since."""
    for name in board.finished(sorted(waiting)):
        waiting -= {name}
        try:
            word = _word(board.folder, name).read_text()
        except FileNotFoundError:
            word = ""
        tell(name, word)


def _word(board: Path, name: str) -> Path:
    return board / "words" / name


def _leave_word(board: Path, name: str, word: str) -> None:
    path = _word(board, name)
    path.parent.mkdir(exist_ok=True)
    replace_file(path, word.encode())


def _enter(folder: Path) -> None:
    """Be where the command was given."""
    try:
        os.chdir(folder)
    except OSError:
        raise RequestError(
            f"{folder}, where the work was begun, is not there for its workers: begin it in a "
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

"""How far workers are: what each tells, and what all of them have told."""

import contextlib
import re
import time
from collections.abc import Callable, Mapping, Sized
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from egofeat import console
from egofeat.engines.board import Board
from egofeat.engines.crew import Engine, Work, keep_working
from egofeat.engines.presence import Said
from egofeat.words import counted


@dataclass
class Far:
    """How far a worker is, as it tells others."""

    begun: bool = False
    """Whether it is at work: all that it needs is loaded."""
    units: float = 0.0
    """What is counted for people, or parts of it."""
    whole: float = 0.0
    """What of that is done for good, with its unit; it is counted in another thread."""
    steps: int = 0
    decoded: int = 0
    """Frames."""
    failures: int = 0
    tasks: list[list[int]] = field(default_factory=list)
    """`[tasks]` what is finished, in whatever numbers."""

    def advance(self, units: float, steps: int = 0) -> None:
        """So many more are settled."""
        self.units += units
        self.steps += steps

    def finish(self, units: float) -> None:
        """So many of those are done for good."""
        self.whole += units

    def decode(self, frames: int) -> None:
        """So many more frames were decoded."""
        self.decoded += frames

    def fail(self, failures: Sized) -> None:
        """So many more could not be read."""
        self.failures += len(failures)


class Ledger:
    """What the workers of this process have told, dead ones too; not those of others on its board.

    What they are at counts as long as they live, what is done for good, whoever has done it.

    Args:
        board: that they work on, called like this process and numbered.
        sizes: unit to how much of what is counted for people it has.
    """

    def __init__(self, board: Board, sizes: Mapping[str, float]) -> None:
        self._board = board
        self._sizes = sizes
        self._total = sum(sizes.values())
        self._shown = 0.0
        self._called = re.compile(re.escape(board.worker) + r"\.\d+")
        self._before = {one.token for of in board.others() for one in of}
        """Of workers that a process before this one had."""
        self.since: float | None = None
        """When the first of them was at work, by `time.monotonic`; None: none is yet."""
        self._alive = 0
        self._told: dict[str, Mapping[str, Any]] = {}
        """Token of a worker to what it told last."""

    def look(self, progress: console.Advance) -> None:
        """See what they have told since, and tell it on."""
        steps = self._sum("steps")
        alive, dead = (list(filter(self._is_own, of)) for of in self._board.others())
        self._alive = len(alive)
        self._told |= {one.token: one.told for one in [*alive, *dead] if one.told}
        if self.since is None and any(told["begun"] for told in self._told.values()):
            self.since = time.monotonic()
        # What a worker has told is older than what stands on the board: for a moment, both count.
        units = sum(one.told["units"] - one.told["whole"] for one in alive if one.told)
        units += sum(map(self._sizes.__getitem__, self._board.finished(self._sizes)))
        before, self._shown = self._shown, max(self._shown, min(units, self._total))
        progress(self._shown - before, round(self._sum("steps") - steps))

    def more(self) -> str:
        """What people want to know besides: who works, how fast, and what is lost."""
        rate = self.decoded / max(time.monotonic() - (self.since or 0.0), 1e-9)
        said = [counted(self._alive, "workers")] * bool(self._alive)
        said += [f"{rate:.0f} frames/s"] * bool(self.decoded)  # where those are counted at all
        return ", ".join(said + [f"{self.failures:,} failed"] * bool(self.failures))

    @property
    def decoded(self) -> int:
        """Frames."""
        return round(self._sum("decoded"))

    @property
    def failures(self) -> int:
        """What could not be read."""
        return round(self._sum("failures"))

    def of_task(self, task: int) -> list[int]:
        """Sums of the numbers of a task; none where nobody told any."""
        of_all = [told["tasks"][task] for told in self._told.values()]
        return [sum(numbers) for numbers in zip(*of_all, strict=True)]

    def _is_own(self, one: Said) -> bool:
        return one.token not in self._before and bool(self._called.fullmatch(one.name))

    def _sum(self, name: str) -> float:
        return sum(float(told[name]) for told in self._told.values())


Show = Callable[..., AbstractContextManager[console.Advance]]
"""Begins to show how far a job is; see `console.progress`, whose `more` and `since` are left."""


def keep_showing(
    engine: Engine, work: Work, board: Board, sizes: Mapping[str, float], show: Show
) -> Ledger:
    """Have the workers of an engine make units, and show how far they are.

    Args:
        engine: of the workers.
        work: what they do.
        board: on which the units are.
        sizes: unit to how much of what is shown it has.
        show: begins to show it.

    Raises:
        EgofeatError: see `keep_working`.
    """
    ledger, wanted = Ledger(board, sizes), frozenset(sizes)
    with show(more=ledger.more, since=lambda: ledger.since) as progress:

        def left() -> int:
            """Three for a unit; one less for each death that it is known to be with."""
            undone = board.count_undone(wanted)
            ledger.look(progress)
            return undone and 3 * undone - board.deaths.total()

        try:
            keep_working(engine, work, left)
        except BaseException:
            with contextlib.suppress(OSError):
                board.take_back()
            raise
        ledger.look(progress)
    return ledger

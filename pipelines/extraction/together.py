"""An extraction by workers of other processes: what they are given, and how far they are."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from egofeat import console
from egofeat.engines.board import Board
from egofeat.engines.crew import Engine, keep_working
from egofeat.extract.extractor import Tally, TaskTally
from egofeat.extract.units import Unit
from egofeat.pipelines.extraction.order import Order
from egofeat.pipelines.extraction.share import Share
from egofeat.pipelines.options import Compute
from egofeat.store import StoreWriter


def work_together(
    shares: Sequence[Share],
    writers: Sequence[StoreWriter],
    units: Sequence[Unit],
    board: Board,
    engine: Engine,
    compute: Compute,
    progress: console.Advance,
) -> Tally:
    """Have the workers of an engine extract what is left of shares.

    Args:
        shares: that have one decode.
        writers: `[shares]` of this process, which writes nothing.
        units: of what is left.
        board: on which the units are.
        engine: of the workers.
        compute: what each does.
        progress: told what all of them have done.

    Returns:
        What was done; of workers that died, what was published.
    """
    began = time.perf_counter()
    before = [writer.done() for writer in writers]
    names = [unit.name for unit in units]
    ledger = _Ledger(board, progress)
    order = Order.of([share.job for share in shares], units, board, compute)

    def left() -> int:
        ledger.look()
        return len(board.undone(names))

    keep_working(engine, order, left)
    ledger.look()
    tasks = []
    for task, (writer, there) in enumerate(zip(writers, before, strict=True)):
        _, frames, views = ledger.of_task(task)
        tasks.append(TaskTally(len(writer.done() - there), frames, views))
    return Tally(ledger.decoded, time.perf_counter() - began, tuple(tasks))


class _Ledger:
    """What workers have told, dead ones too."""

    def __init__(self, board: Board, progress: console.Advance) -> None:
        self._board = board
        self._progress = progress
        self._told: dict[str, Mapping[str, Any]] = {}
        """Token of a worker to what it told last."""

    def look(self) -> None:
        """See what they have told since."""
        units, steps = self._sum("units"), self._sum("steps")
        for dead_or_alive in self._board.others():
            self._told |= {one.token: one.told for one in dead_or_alive if one.told}
        self._progress(self._sum("units") - units, round(self._sum("steps") - steps))

    @property
    def decoded(self) -> int:
        """Frames."""
        return round(self._sum("decoded"))

    def of_task(self, task: int) -> tuple[int, ...]:
        """Segments, frames and views of one task."""
        of_all = [told["tasks"][task] for told in self._told.values()]
        return tuple(map(sum, zip(*of_all, strict=True))) or (0, 0, 0)

    def _sum(self, name: str) -> float:
        return sum(float(told[name]) for told in self._told.values())

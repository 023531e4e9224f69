"""What a worker does: it takes units that nobody has, until all are done."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from egofeat.engines.board import Board

MOST_DEATHS = 2
"""Workers that a unit may end; then it is given up."""
WHY = (
    f"{MOST_DEATHS} workers died while they had it: see what they printed, and give "
    "`retry_failed` when that is mended"
)
"""Why a unit is given up."""
_LOOK_EVERY_S = 0.5

Made = TypeVar("Made")


def take_turns(
    board: Board,
    units: Iterable[str],
    make: Callable[[Iterator[str]], Made],
    give_up: Callable[[str], None],
) -> Iterator[Made]:
    """Make units, the first ones first; yields what `make` returns, now and then.

    A unit that was with a worker which died is taken last, and alone: if it was why, no other unit
    suffers. While others have units, their death is waited for, or that they are done.

    Args:
        board: on which the units are.
        units: names, alike for all workers.
        make: makes units, asks for the next one when it can begin it, and tells the board of each
            that is done.
        give_up: records that a unit cannot be made, `WHY`.
    """
    left: Sequence[str] = list(units)
    board.free(left)  # what the one had in whose place this worker is
    while left:
        deaths = board.deaths
        yield make(name for name in left if not deaths[name] and board.take(name))
        for name in left:
            if deaths[name] and board.take(name):
                if deaths[name] < MOST_DEATHS:
                    yield make(iter([name]))
                else:
                    give_up(name)
                    board.done(name)
        left = board.undone(left)
        while left and not board.free(left):
            time.sleep(_LOOK_EVERY_S)
            left = board.undone(left)

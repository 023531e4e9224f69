"""How far workers are: what is told is of one's own workers, since they began."""

from contextlib import nullcontext
from functools import partial

import pytest

from egofeat.engines.board import Board
from egofeat.engines.crew import Engine
from egofeat.engines.far import Far, Ledger, keep_showing


def worker(folder, name, far):
    return Board(folder, name, partial(vars, far), supervised=True)


def test_only_workers_of_this_run_are_counted(tmp_path):
    """Not those of a run that was killed, nor those of another command, for fewer stores."""
    worker(tmp_path, "1of1", Far(decoded=700, tasks=[[9, 9, 9]] * 2)).close(early=True)
    told = []
    with Board(tmp_path, "1of1.9") as other, Board(tmp_path, "1of1") as board:
        assert other.worker == "1of1.9"
        worker(tmp_path, "1of1", Far(decoded=700, tasks=[[9, 9, 9]] * 2)).close(early=True)
        ledger = Ledger(board)
        of_other = worker(tmp_path, other.worker, Far(decoded=50, tasks=[[5, 5, 5]]))
        own = [
            worker(tmp_path, board.worker, Far(3.0, 4, 10, k, [[1, 2, 3], [4, 5, 6]]))
            for k in range(2)
        ]
        ledger.look(lambda units, steps=0: told.append((units, steps)))
        assert told == [(6.0, 8)]
        assert (ledger.decoded, ledger.failures) == (20, 1)
        assert ledger.of_task(1) == [8, 10, 12]
        assert ledger.more().startswith("2 workers, ")
        own[0].close(early=False)
        ledger.look(lambda units, steps=0: told.append((units, steps)))
        assert told[1:] == [(0.0, 0)]
        assert ledger.more().startswith("1 worker")
        for one in (of_other, own[1]):
            one.close(early=False)


class Interrupted(Engine):
    """Has its workers at work when somebody presses Ctrl-C."""

    def __init__(self, begin):
        self.begin = begin

    def seats(self):
        self.begin()
        raise KeyboardInterrupt

    def start(self, work, seat):
        raise AssertionError

    def close(self):
        """Its workers are killed, as Ray does it: they say nothing any more."""


def test_a_unit_of_a_worker_that_was_ended_is_not_one_that_killed_it(tmp_path):
    units, workers = ["u1", "u2", "u3"], []
    other = Board(tmp_path, "2of2")
    assert other.take("u3")

    def begin():
        workers.append(worker(tmp_path, "1of1", Far()))
        assert workers[-1].take("u1")
        assert workers[-1].take("u2")
        workers[-1].done("u2")

    with Board(tmp_path, "1of1") as board, pytest.raises(KeyboardInterrupt):
        keep_showing(Interrupted(begin), print, board, units, lambda **_: nullcontext(print))
    with worker(tmp_path, "next", Far()) as heir:
        assert heir.undone(units) == ["u1", "u3"]
        assert heir.free(units) == ["u1"]
        assert not heir.deaths
    for one in (*workers, other):
        one.close(early=False)

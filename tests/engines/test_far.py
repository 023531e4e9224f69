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
        ledger = Ledger(board, {"u": 100})
        of_other = worker(tmp_path, other.worker, Far(decoded=50, tasks=[[5, 5, 5]]))
        own = [
            worker(tmp_path, board.worker, Far(True, 3.0, 0.0, 4, 10, k, [[1, 2, 3], [4, 5, 6]]))
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


def test_what_a_dead_worker_had_under_way_is_not_counted_and_what_it_had_done_is(tmp_path):
    """Though it died before it told either."""
    shown = []
    with Board(tmp_path, "1of1") as board:
        ledger = Ledger(board, dict.fromkeys(["u1", "u2", "u3"], 100))

        def look():
            board.count_undone({"u1", "u2", "u3"})
            ledger.look(lambda units, steps=0: shown.append(units))

        dying = worker(tmp_path, board.worker, Far(True, units=60.0))
        for unit in ("u1", "u2"):
            assert dying.take(unit)
        look()
        dying.done("u1")
        dying.close(early=True)
        look()
        assert sum(shown) == 100
        heir = worker(tmp_path, board.worker, Far(True, units=180.0, whole=100.0))
        for unit in ("u2", "u3"):
            assert heir.take(unit)
        heir.done("u2")
        look()
        assert sum(shown) == 280
        heir.done("u3")
        look()
        heir.close(early=True)
        look()
    assert sum(shown) == 300
    assert min(shown) >= 0


def test_the_rate_leaves_out_that_workers_were_started(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("egofeat.engines.far.time.monotonic", lambda: now[0])
    far = Far()
    with Board(tmp_path, "1of1") as board:
        ledger = Ledger(board, {"u": 100})
        starting = worker(tmp_path, board.worker, far)
        ledger.look(lambda units, steps=0: None)
        assert ledger.since is None
        assert ledger.more() == "1 worker"
        now[0] += 60
        starting.close(early=True)
        at_work = worker(tmp_path, board.worker, Far(True, decoded=0))
        ledger.look(lambda units, steps=0: None)
        at_work.close(early=True)
        more = worker(tmp_path, board.worker, Far(True, decoded=500))
        now[0] += 10
        ledger.look(lambda units, steps=0: None)
        assert ledger.more() == "1 worker, 50 frames/s"
        more.close(early=True)


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
        keep_showing(
            Interrupted(begin),
            print,
            board,
            dict.fromkeys(units, 1),
            lambda **_: nullcontext(print),
        )
    with worker(tmp_path, "next", Far()) as heir:
        assert heir.undone(units) == ["u1", "u3"]
        assert heir.free(units) == ["u1"]
        assert not heir.deaths
    for one in (*workers, other):
        one.close(early=False)

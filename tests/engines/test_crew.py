"""Workers kept at work: started again when they die, ended with whoever wants them."""

from pathlib import Path

import pytest

from egofeat import host
from egofeat.engines import crew
from egofeat.engines.crew import Engine, Seat, Worker, carry_out, heed, keep_working
from egofeat.errors import EgofeatError, RequestError, StoreError


class Scripted(Worker):
    """Ends at once, as it is told."""

    def __init__(self, script, log):
        self.script, self.log = script, log

    def ended(self):
        return self.script != "works"

    def failure(self):
        if isinstance(self.script, EgofeatError):
            raise self.script
        return "" if self.script == "over" else self.script

    def end(self, *, now):
        self.log.append(("end", now))
        self.script = "ended"


class Scripts(Engine):
    """Workers that end as a script says, one after the other."""

    def __init__(self, seats, scripts):
        self.numbers, self.scripts, self.log = seats, list(scripts), []
        self.started = []

    def seats(self):
        return [Seat(number) for number in range(1, self.numbers + 1)]

    def start(self, work, seat):
        self.log.append(("start", seat.number))
        self.started.append(Scripted(self.scripts.pop(0), self.log))
        return self.started[-1]

    def close(self):
        self.log.append("close")


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(crew, "_LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(crew, "_REST_S", 1e-6)


def test_dead_workers_are_started_again_and_those_who_are_done_are_not(capsys):
    engine = Scripts(2, ["signal 9", "over", "over"])
    keep_working(engine, print, lambda: 5 if engine.scripts else 0)
    starts = [entry for entry in engine.log if entry != "close"]
    assert starts == [("start", 1), ("start", 2), ("start", 1)]
    assert engine.log[-1] == "close"
    assert "worker 1 died (signal 9) and is started again" in capsys.readouterr().err


def test_nobody_is_started_where_nothing_is_left():
    engine = Scripts(3, [])
    keep_working(engine, print, lambda: 0)
    assert engine.log == ["close"]


def test_workers_that_die_one_after_the_other_end_it():
    engine = Scripts(1, ["exit status 3"] * 9)
    with pytest.raises(EgofeatError, match="one after the other, the last with exit status 3"):
        keep_working(engine, print, lambda: 5)
    left = iter([9, 8, 7, 6, 5, 4, 3, 0])
    engine = Scripts(1, ["exit status 3"] * 6 + ["over"])
    keep_working(engine, print, lambda: next(left, 0))  # each has made something first


def test_machines_that_are_taken_away_at_once_do_not_end_it(capsys):
    """Before their workers have done anything, and though no death is known to be of a unit."""
    engine = Scripts(8, ["node lost"] * 12 + ["over"] * 8)
    keep_working(engine, print, lambda: 5 if engine.scripts else 0)
    assert capsys.readouterr().err.count("is started again") == 12


def test_a_seat_whose_workers_die_rests_while_another_works(capsys):
    """The one on it is at a long unit: a broken device beside it does not end that."""
    engine = Scripts(2, ["works", *["exit status 3"] * crew.MOST_DEATHS, "works"])
    looks = iter([9] * 20 + [8] * 20)

    def left():
        if number := next(looks, 0):
            return number
        for worker in engine.started:
            worker.script = "over"
        return 0

    keep_working(engine, print, left)
    assert engine.scripts == []
    assert "died (exit status 3) and is started again in 0 s" in capsys.readouterr().err


def test_a_broken_device_rests_though_another_goes_on(monkeypatch):
    """Each worker on it may take a unit into its death: two such deaths make a unit a failure."""
    monkeypatch.setattr(crew, "_REST_S", 1e6)
    engine = Scripts(2, ["works", *["exit status 3"] * crew.MOST_DEATHS])
    looks = iter(range(40, 0, -1))

    def left():
        if number := next(looks, 0):
            return number
        engine.started[0].script = "over"
        return 0

    keep_working(engine, print, left)
    assert [entry for entry in engine.log if entry[0] == "start"][1:] == [("start", 2)] * 3


def test_what_ends_one_worker_for_good_ends_all():
    full = StoreError("the disk is full: make room")
    engine = Scripts(2, [full, "works"])
    with pytest.raises(StoreError, match="make room"):
        keep_working(engine, print, lambda: 5)
    assert engine.log[-2:] == [("end", False), "close"]


def test_a_sentence_keeps_its_exit_code():
    assert heed(("", 0)) == ""
    with pytest.raises(EgofeatError, match="give another") as raised:
        heed(("give another", RequestError.exit_code))
    assert raised.value.exit_code == RequestError.exit_code


def test_work_that_is_left_without_room_for_a_worker_is_said():
    """Not taken for done: of a cluster without what each needs, or of which all nodes are lost."""
    engine = Scripts(0, [])
    with pytest.raises(EgofeatError, match="no room for a worker, and work is left"):
        keep_working(engine, print, lambda: 5)
    assert engine.log == ["close"]
    engine = Scripts(1, ["node lost"])
    seats = engine.seats
    engine.seats = lambda: seats() if len(engine.log) < 1 else []
    with pytest.raises(EgofeatError, match="no room for a worker, and work is left"):
        keep_working(engine, print, lambda: 5)


def test_seats_that_come_later_are_used():
    engine = Scripts(1, ["over", "over"])
    seats = engine.seats

    def more():
        engine.numbers += 1
        return seats()

    engine.numbers = 0
    engine.seats = more
    keep_working(engine, print, lambda: 5 if engine.numbers < 2 else 0)
    assert ("start", 1) in engine.log


def test_workers_that_end_with_work_left_are_no_success():
    with pytest.raises(EgofeatError, match="workers have ended, and work is left"):
        keep_working(Scripts(1, ["over"]), print, lambda: 5)


def test_a_worker_that_does_not_end_is_not_waited_for_when_nothing_is_left(monkeypatch):
    """A process that was stopped, or whose disk does not answer."""
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(crew.time, "monotonic", lambda: next(now))
    looks = iter([5, 5])
    engine = Scripts(2, ["works", "works"])
    keep_working(engine, print, lambda: next(looks, 0))
    assert engine.log[2:] == [("end", True), ("end", True), "close"]


@pytest.mark.parametrize(
    ("seat", "sharing"),
    [
        (Seat(1), 1),
        (Seat(2, "cpu", sharing=3), 3),
        (Seat(9, cores=2), 4),  # of a cluster, whose node may be given to so many
        (Seat(1, cores=64), 1),
    ],
)
def test_a_worker_leaves_others_their_part_of_the_memory(monkeypatch, seat, sharing):
    monkeypatch.setattr(host, "_sharing", 1)
    monkeypatch.setattr(crew, "cores", lambda: 8)
    monkeypatch.setattr(host, "_left_of", lambda group: 12_000)
    monkeypatch.setattr(host, "_groups", lambda kind: [Path("job")])
    left = []
    assert carry_out(lambda seat: left.append(host.free_memory()), seat) == ("", 0)
    assert left == [12_000 // sharing]

"""Units on a board: taken once, given back by the dead, and done for good."""

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from egofeat.engines import presence
from egofeat.engines.board import Board
from egofeat.engines.turns import MOST_DEATHS, take_turns

UNITS = [f"u{number}" for number in range(40)]

DYING = """
import os, sys
from pathlib import Path
from egofeat.engines.board import Board
board = Board(Path(sys.argv[1]), "other", supervised=True)
for unit in sys.argv[2:]:
    assert board.take(unit)
os._exit(9)
"""


def dies_with(folder, *units):
    """A process that takes units and dies."""
    subprocess.run([sys.executable, "-c", DYING, str(folder), *units], check=False)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when they are told to."""
    now = [0.0]
    monkeypatch.setattr(presence.time, "monotonic", lambda: now[0])
    return now


def test_each_unit_is_taken_by_one_of_many(tmp_path):
    taken = []

    def work(number):
        with Board(tmp_path / "board", "w") as board:
            for unit in UNITS:
                if board.take(unit):
                    taken.append(unit)
                    board.done(unit)
            waiting.wait()

    waiting = threading.Barrier(6)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(UNITS)
    assert not (tmp_path / "board").exists()


def test_workers_of_one_name_are_numbered(tmp_path):
    boards = [Board(tmp_path, "1of1") for _ in range(3)]
    assert [board.worker for board in boards] == ["1of1", "1of1.2", "1of1.3"]
    boards[1].close(early=False)
    again = Board(tmp_path, "1of1")
    assert again.worker == "1of1.2"
    for board in (boards[0], boards[2], again):
        board.close(early=False)


def test_what_a_dead_process_had_is_free_and_noted_by_its_heirs_alone(tmp_path):
    dies_with(tmp_path, "u1", "u2")
    with Board(tmp_path, "mine") as board:
        assert not board.take("u1")
        assert board.free(["u1", "u3"]) == ["u1", "u3"]
        assert board.take("u1")
        assert not board.deaths
    with Board(tmp_path, "mine", supervised=True) as board:
        dies_with(tmp_path, "u5")
        assert board.free(["u5"]) == ["u5"]
        assert board.deaths == {"u5": 1}


def other_machine(folder, name, beat):
    """What a worker of another machine says."""
    said = {"token": "there", "machine": "another", "pid": 1, "beat": beat, "told": {}}
    (folder / "workers" / f"{name}.json").write_text(json.dumps(said))


def test_a_worker_of_another_machine_is_dead_when_it_is_silent_for_a_lease(tmp_path, clock):
    with Board(tmp_path, "mine") as board:
        other_machine(tmp_path, "far", 1)
        (tmp_path / "units" / "u1").write_text("far there")
        assert board.free(["u1"]) == []
        clock[0] += presence.LEASE_S - 1
        other_machine(tmp_path, "far", 2)
        assert board.free(["u1"]) == []
        clock[0] += presence.LEASE_S - 1
        assert board.free(["u1"]) == []
        clock[0] += 2
        assert board.free(["u1"]) == ["u1"]


def test_whether_workers_of_other_machines_have_died_is_waited_for(tmp_path, clock, monkeypatch):
    """One speaks again, one leaves, and one is silent for a lease."""
    with Board(tmp_path, "mine") as board:
        for name in ("speaks", "leaves", "silent", "another"):
            other_machine(tmp_path, name, 1)
        waited = []

        def wait(seconds):
            waited.append(seconds)
            clock[0] += seconds
            other_machine(tmp_path, "speaks", len(waited) + 1)
            (tmp_path / "workers" / "leaves.json").unlink(missing_ok=True)

        monkeypatch.setattr("egofeat.engines.board.time.sleep", wait)
        assert board.died(["speaks", "leaves", "silent", "mute"]) == ["silent"]
        assert presence.LEASE_S <= sum(waited) < presence.LEASE_S + 2
        board.bury("speaks")
        assert (tmp_path / "workers" / "speaks.json").exists()
        monkeypatch.setattr("egofeat.engines.board.time.sleep", pytest.fail)
        assert board.died([]) == []


def test_a_claim_that_was_never_signed_is_free_after_a_lease(tmp_path, clock):
    with Board(tmp_path, "mine") as board:
        (tmp_path / "units" / "u1").touch()
        assert board.free(["u1"]) == []
        clock[0] += presence.LEASE_S + 1
        assert board.free(["u1"]) == ["u1"]


def test_who_ends_early_gives_back_what_it_had_and_is_no_death(tmp_path):
    board = Board(tmp_path, "mine")
    assert board.take("u1")
    board.close(early=True)
    with Board(tmp_path, "other", supervised=True) as other:
        assert [one.name for one in other.others()[1]] == ["mine"]
        assert other.take("u1")
        assert not other.deaths
        assert other.died(["mine"]) == ["mine"]
        other.bury("mine")
        assert other.died(["mine"]) == []


def test_a_unit_said_to_be_done_is_opened_again_for_who_finds_it_undone(tmp_path):
    with Board(tmp_path, "one") as one, Board(tmp_path, "two") as two:
        assert one.take("u1")
        one.done("u1")
        assert two.undone(["u1", "u2"]) == ["u2"]
        assert two.count_undone({"u1", "u2"}) == 1
        two.reopen(["u1", "u2"])
        assert two.undone(["u1", "u2"]) == ["u1", "u2"]
        assert two.count_undone({"u1", "u2"}) == 2
        assert two.take("u1")


@pytest.mark.parametrize("deadly", [(), ("u3",), ("u0", "u39")])
def test_a_unit_that_was_with_the_dead_is_taken_alone_and_given_up_at_last(tmp_path, deadly):
    for unit in deadly:
        for _ in range(MOST_DEATHS):
            with Board(tmp_path, "mine", supervised=True) as board:
                dies_with(tmp_path, unit)
                board.free([unit])
    for _ in range(MOST_DEATHS - 1):
        with Board(tmp_path, "mine", supervised=True) as board:
            dies_with(tmp_path, "u7")
            board.free(["u7"])
    turns, given_up = [], []
    with Board(tmp_path, "mine", supervised=True) as board:

        def make(units):
            turns.append([])
            for unit in units:
                turns[-1].append(unit)
                board.done(unit)

        list(take_turns(board, UNITS, make, given_up.append))
    assert turns[0] == [unit for unit in UNITS if unit not in (*deadly, "u7")]
    assert [turn for turn in turns[1:] if turn] == [["u7"]]
    assert given_up == list(deadly)


def test_a_folder_that_was_taken_away_meanwhile_is_made_again(tmp_path):
    first = Board(tmp_path / "board", "one")
    second = Board(tmp_path / "board", "two")
    (tmp_path / "board" / "workers" / f"{second.worker}.json").unlink()
    first.close(early=False)
    assert second.count_undone({"u1"}) == 1
    assert second.take("u1")
    second.done("u1")
    assert second.undone(["u1"]) == []
    second.close(early=False)


def test_what_is_done_of_very_many_is_told_at_once(tmp_path, monkeypatch):
    """A supervisor asks twice a second: it opens what was taken, and of that what is new."""
    units = frozenset(f"{number:05d}" for number in range(20_000))
    read, text = [], Path.read_text

    def told(path):
        if path.name.isdigit():
            read.append(path.name)
        return text(path)

    monkeypatch.setattr(Path, "read_text", told)
    with Board(tmp_path, "worker") as worker, Board(tmp_path, "supervisor") as board:
        for unit in ("00001", "00002", "00003"):
            assert worker.take(unit)
        worker.done("00001")
        read.clear()
        assert board.count_undone(units) == len(units) - 1
        worker.done("00002")
        assert board.count_undone(units) == len(units) - 2
    assert sorted(set(read)) == ["00001", "00002", "00003"]
    assert read.count("00001") == 1


def test_of_very_many_units_only_those_that_somebody_has_are_opened(tmp_path, monkeypatch):
    units = [f"{number:05d}" for number in range(20_000)]
    with Board(tmp_path, "one") as one, Board(tmp_path, "two") as two:
        assert one.take("00001")
        assert one.take("00002")
        one.done("00002")
        read, text = [], Path.read_text
        monkeypatch.setattr(Path, "read_text", lambda path: read.append(path) or text(path))
        two.reopen(units)
        assert len(two.free(units)) == len(units) - 1
        assert len(two.undone(units)) == len(units)
    assert len([path for path in read if path.parent.name == "units"]) < 10


def test_a_claim_that_cannot_be_read_is_neither_done_nor_free(tmp_path, monkeypatch):
    """NFS says ESTALE of a file that another has replaced meanwhile."""

    def stale(*_):
        raise OSError(errno.ESTALE, "Stale file handle")

    with Board(tmp_path, "one") as one, Board(tmp_path, "two") as two:
        assert one.take("u1")
        monkeypatch.setattr(Path, "read_text", stale)
        assert two.undone(["u1"]) == ["u1"]
        assert two.free(["u1"]) == []


def test_of_two_that_take_a_dead_ones_name_at_once_one_has_it(tmp_path, monkeypatch):
    """Many workers begin in one moment, in a folder of workers that were killed."""
    dies_with(tmp_path)
    read, quicker = presence.read, []

    def slowly(path):
        said = read(path)
        if not quicker:
            quicker.append(None)
            quicker[0] = Board(tmp_path, "other")
        return said

    monkeypatch.setattr(presence, "read", slowly)
    with Board(tmp_path, "other") as slower:
        (first,) = quicker
        assert (first.worker, slower.worker) == ("other", "other.2")
        assert first.take("u1")
        assert slower.free(["u1"]) == []
        first.close(early=False)


def test_a_worker_whose_folder_was_taken_away_says_again_that_it_lives(tmp_path, monkeypatch):
    monkeypatch.setattr(presence, "BEAT_S", 0.02)
    with Board(tmp_path / "board", "one"):
        (tmp_path / "board").rename(tmp_path / "away")  # in one instant: it is written to
        for _ in range(200):
            if (tmp_path / "board" / "workers" / "one.json").exists():
                return
            threading.Event().wait(0.02)
    pytest.fail("it is silent")


def test_a_number_given_to_another_process_is_not_that_of_the_dead(tmp_path):
    """Its token is another: what the dead had is free."""
    dies_with(tmp_path, "u1")
    path = tmp_path / "workers" / "other.json"
    said = json.loads(path.read_text()) | {"pid": os.getpid(), "token": "reborn"}
    path.write_text(json.dumps(said))
    with Board(tmp_path, "mine") as board:
        assert board.free(["u1"]) == ["u1"]

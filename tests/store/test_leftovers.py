"""Temporary files of other machines: taken away after a lease, never under a living writer."""

import subprocess
import sys

import pytest

from egofeat.store import files
from egofeat.store.files import Strangers, remove_leftovers, temporary_path


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(files.time, "monotonic", lambda: now[0])
    return now


def of(folder, machine, pid, name):
    """A temporary file of a process of another machine."""
    path = folder / f".tmp~1of1~{machine}~{pid}~{name}"
    path.write_bytes(b"half")
    return path


def test_what_dead_processes_of_this_machine_left_goes_at_once_and_of_the_living_stays(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    machine = files.this_machine()
    dead = [of(tmp_path, machine, 2**22 + n, f"{n}.h5") for n in range(2)]
    (tmp_path / f".tmp~2of2~{machine}~{2**22}~c.zarr" / "d").mkdir(parents=True)
    living = of(tmp_path, machine, process.pid, "a.h5")
    far = of(tmp_path, "far", 2**22, "b.h5")
    own, other = (temporary_path(tmp_path / "c.h5", worker) for worker in ("mine", "2of2"))
    for path in (own, other):
        path.write_bytes(b"half")
    remove_leftovers(tmp_path, "mine")
    process.communicate(b"\n")
    assert not any(path.exists() for path in dead)
    assert sorted(tmp_path.iterdir()) == sorted([living, far, other])


def test_only_what_is_still_after_a_lease_and_of_nobody_alive_goes(tmp_path, clock):
    dead, alive, writing = (of(tmp_path, "far", n, f"{n}.h5") for n in (1, 2, 3))
    folder = tmp_path / ".tmp~1of1~far~4~4.zarr"
    (folder / "c").mkdir(parents=True)
    (folder / "c" / "0").write_bytes(b"half")
    own = temporary_path(tmp_path / "5.h5", "1of1")
    own.write_bytes(b"half")
    strangers = Strangers([tmp_path, tmp_path / "none"])
    clock[0] = 29.0
    strangers.remove(30.0, [("far", 2)])
    assert all(path.exists() for path in (dead, alive, writing, folder, own))
    clock[0] = 31.0
    writing.write_bytes(b"half and more")
    (folder / "c" / "1").write_bytes(b"more")
    strangers.remove(30.0, [("far", 2)])
    assert [path.exists() for path in (dead, alive, writing, folder, own)] == [False] + [True] * 4

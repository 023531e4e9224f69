"""Slurm by submitit: an array once, single jobs after it, and what Slurm refuses."""

import os
from contextlib import nullcontext

import pytest

from egofeat.engines.crew import Seat
from egofeat.engines.on_slurm import Array
from egofeat.errors import RequestError

pytest.importorskip("submitit")


class Submitted:
    """An executor that notes what it is given."""

    def __init__(self):
        self.seats = []

    def batch(self):
        return nullcontext()

    def submit(self, work, seat):
        self.seats.append(seat.number)
        return object()


def test_a_job_that_died_is_submitted_by_itself(tmp_path):
    array = Array(tmp_path, {"cluster": "local", "nodes": "3"})
    array._executor = Submitted()
    for seat in array.seats():
        array.start(print, seat)
    assert array._executor.seats == [1, 2, 3]
    array.start(print, Seat(2))
    assert array._executor.seats == [1, 2, 3, 2]


def test_what_sbatch_refuses_is_a_sentence(tmp_path, monkeypatch):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sbatch", "srun"):
        script = "#!/bin/sh\necho error: invalid partition specified >&2; exit 1\n"
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tools), os.environ["PATH"]]))
    array = Array(tmp_path / "logs", {"partition": "none", "nodes": "2"})
    with pytest.raises(RequestError, match="invalid partition"):
        array.start(print, Seat(1))

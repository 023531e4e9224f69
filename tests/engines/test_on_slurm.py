"""Slurm by submitit: an array once, single jobs after it, and what Slurm refuses."""

import os
import subprocess
import sys
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


def test_jobs_of_this_machine_are_waited_for(tmp_path):
    """Nobody else does: each would stay, as a process that has ended and is not forgotten."""
    array = Array(tmp_path, {"cluster": "local", "nodes": "2"})
    workers = [array.start(print, seat) for seat in array.seats()]
    assert not any(worker.ended() for worker in workers)
    for worker in workers:
        worker.end(now=True)
    array.close()
    assert all(worker.ended() for worker in workers)


def test_handlers_of_loggers_stay(tmp_path):
    """`dictConfig`, which submitit calls as it is imported, closes every file that is logged to."""
    code = (
        "import logging, os, sys\n"
        "from pathlib import Path\n"
        "from egofeat.engines.on_slurm import Array\n"
        "log = logging.FileHandler(sys.argv[1])\n"
        "Array(Path(sys.argv[2]), {'cluster': 'local'})\n"
        "assert log.stream, 'closed'\n"
        "assert not logging.getLogger('submitit').handlers\n"
        "assert 'SUBMITIT_LOG_LEVEL' not in os.environ\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "log"), str(tmp_path)]
    subprocess.run(command, check=True)


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

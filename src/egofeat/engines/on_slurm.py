"""Workers on a Slurm cluster: an array of jobs, through submitit."""

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from egofeat.engines.crew import Engine, LastWord, Seat, Work, Worker, carry_out, heed
from egofeat.errors import RequestError
from egofeat.host import lift_limit

_NAMES = {
    "partition": "slurm_partition",
    "gpus": "gpus_per_node",
    "cpus": "cpus_per_task",
    "mem": "mem_gb",
    "time": "timeout_min",
    "account": "slurm_account",
    "qos": "slurm_qos",
    "constraint": "slurm_constraint",
}
"""What is typed, to what submitit calls it; everything else goes to `sbatch` as it is."""
NUMBERS = ("nodes", "gpus", "cpus", "mem", "time")
"""Those that are whole numbers, from 1 on."""
_LOGGING = "SUBMITIT_LOG_LEVEL"
_ENDS_S = 20.0
"""In which a process of this machine ends that was told to."""


class Array(Engine):
    """Jobs of one Slurm array, each a worker; jobs that Slurm puts back go on.

    Args:
        folder: for scripts and logs, on a disk that all nodes share.
        needs: `nodes`, how many jobs; `cluster`, `local` for processes of this machine; and what
            each asks for.

    Raises:
        RequestError: submitit is not installed, or Slurm is not there.
    """

    def __init__(self, folder: Path, needs: Mapping[str, str]) -> None:
        submitit = _submitit()
        asked = dict(needs)
        self._number = int(asked.pop("nodes", "1"))
        cluster = asked.pop("cluster", "slurm")
        self._here: list[Any] | None = [] if cluster == "local" else None
        """Jobs that are processes of this machine."""
        if self._here is None:  # others are handed the environment
            lift_limit()
        try:
            self._executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
            self._executor.update_parameters(**_parameters(asked, cluster))
        except (RuntimeError, ValueError, TypeError, AssertionError) as error:
            raise _refused(error) from None
        self._submitted = False
        self._waiting: dict[Seat, Any] = {}
        """Jobs of the array that nobody has asked for yet."""

    def seats(self) -> list[Seat]:
        """As many as were asked for."""
        sharing = 1 if self._here is None else self._number
        return [Seat(n + 1, sharing=sharing) for n in range(self._number)]

    def start(self, work: Work, seat: Seat) -> Worker:
        """Submit the array with the first of them; a job that died is submitted by itself.

        Raises:
            RequestError: Slurm refuses it.
        """
        try:
            if not self._submitted:
                with self._executor.batch():
                    for one in self.seats():
                        self._waiting[one] = self._executor.submit(Resumed(work), one)
                self._submitted = True
            job = self._waiting.pop(seat, None) or self._executor.submit(Resumed(work), seat)
        except (RuntimeError, OSError) as error:  # what `sbatch` says, or that it is not there
            raise _refused(error) from None
        if self._here is not None:
            self._here.append(job)
        return _Job(job)

    def close(self) -> None:
        """Wait for processes of this machine; scripts and logs stay until the work is done."""
        until = time.monotonic() + _ENDS_S
        while not all(job.done() for job in self._here or ()) and time.monotonic() < until:
            time.sleep(0.05)


class Resumed:
    """Work that Slurm may interrupt and start again: it goes on where it was."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def __call__(self, seat: Seat) -> LastWord:
        """Work until no unit is left."""
        return carry_out(self._work, seat)

    def checkpoint(self, seat: Seat) -> Any:
        """What is submitted when Slurm takes the node away, or the time is over."""
        return _submitit().helpers.DelayedSubmission(self, seat)


class _Job(Worker):
    def __init__(self, job: Any) -> None:
        self._job = job

    def waits(self) -> bool:
        """Whether Slurm has it in its queue."""
        return bool(self._job.state == "PENDING")

    def ended(self) -> bool:
        """Whether Slurm says so, or its result is there."""
        return bool(self._job.done())

    def failure(self) -> str:
        """How it ended, by its result."""
        try:
            said = self._job.result()
        except Exception as error:  # whatever the job, pickle or Slurm raised
            return f"job {self._job.job_id}: {' '.join(str(error).split())[-200:]}"
        return heed(said)

    def end(self, *, now: bool) -> None:
        """Cancel the job."""
        with contextlib.suppress(Exception):
            self._job.cancel(check=False)


def _refused(error: Exception) -> RequestError:
    said = " ".join(str(error).split())[:200]
    return RequestError(f"`slurm` cannot be used: {said}")


def _parameters(asked: Mapping[str, str], cluster: str) -> dict[str, Any]:
    known: dict[str, Any] = {}
    others: dict[str, str] = {}
    for name, text in asked.items():
        value = int(text) if text.isdigit() else text
        if name in _NAMES:
            known[_NAMES[name]] = value
        else:
            others[name] = text
    if others and cluster == "slurm":
        known["slurm_additional_parameters"] = others
    return known


def _submitit() -> Any:
    """Import it without what it would set up: that closes all handlers that loggers have."""
    asked = os.environ.get(_LOGGING)
    os.environ[_LOGGING] = asked or "NOCONFIG"
    try:
        import submitit  # noqa: PLC0415
    except ImportError:
        raise RequestError("`slurm` needs submitit: run `pip install egofeat[slurm]`") from None
    finally:  # a job's own log is as submitit has it
        if asked is None:
            del os.environ[_LOGGING]
    return submitit

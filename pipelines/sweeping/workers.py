"""Trainings side by side, a process each; one that dies is a reason, and the others go on."""

import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait

import torch

from egofeat.engines.local import end_if_started_again, end_with_parent
from egofeat.pipelines.sweeping.fitting import carry_out
from egofeat.pipelines.sweeping.planning import OpenedRows
from egofeat.pipelines.training.options import FitConfig

_GRACE_S = 5.0


def one_by_one(
    configs: Sequence[FitConfig], test: str | None, rows: OpenedRows
) -> Iterator[tuple[int, str]]:
    """Train in this process: yields the place of each, and why it failed, or nothing."""
    for place, config in enumerate(configs):
        yield place, carry_out(config, test, rows)


def side_by_side(
    configs: Sequence[FitConfig], test: str | None, jobs: int
) -> Iterator[tuple[int, str]]:
    """Train in so many processes, each of which takes the next: yields as `one_by_one`."""
    end_if_started_again()
    waiting = deque(enumerate(configs))
    threads = max(1, torch.get_num_threads() // jobs)
    workers = [_Worker(test, threads) for _ in range(min(jobs, len(waiting)))]
    try:
        while busy := [worker for worker in workers if worker.next(waiting)]:
            for connection in wait([worker.connection for worker in busy]):
                worker = next(one for one in busy if one.connection is connection)
                place, failure = worker.answer()
                if worker.is_dead:
                    workers[workers.index(worker)] = _Worker(test, threads)
                yield place, failure
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """A process that trains what it is sent, and answers why that failed, or nothing."""

    def __init__(self, test: str | None, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_main, args=(theirs, test, threads), daemon=True)
        self._process.start()
        theirs.close()
        self._place: int | None = None

    def next(self, waiting: "deque[tuple[int, FitConfig]]") -> bool:
        """Give it the next, if it has none; say whether it has one now."""
        if self._place is None and waiting:
            self._place, config = waiting.popleft()
            with suppress(BrokenPipeError):  # of one that died: told by its answer
                self.connection.send(config)
        return self._place is not None

    def answer(self) -> tuple[int, str]:
        """Which one is done, and how."""
        place, self._place = self._place, None
        assert place is not None, "only one that works is waited for"
        try:
            return place, str(self.connection.recv())
        except EOFError:
            self._process.join(_GRACE_S)
            code = self._process.exitcode or 0
            how = f"signal {-code}" if code < 0 else f"exit status {code}"
            return place, (
                f"its process ended with {how}, as for want of memory: try fewer with `jobs`"
            )

    @property
    def is_dead(self) -> bool:
        """Whether the process is over."""
        return self._process.exitcode is not None

    def end(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.join(_GRACE_S)
        self.connection.close()


def _main(connection: Connection, test: str | None, threads: int) -> None:
    """What the process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: who started it ends it
    threading.Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    rows = OpenedRows()
    with suppress(EOFError, BrokenPipeError):  # who started it is gone
        while True:
            connection.send(carry_out(connection.recv(), test, rows))

"""Workers of this machine: a process a device."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait

from egofeat.engines.crew import Engine, Seat, Work, Worker, carry_out, heed
from egofeat.errors import RequestError
from egofeat.garbage import collect_seldom
from egofeat.host_memory import keep_memory
from egofeat.interruption import interruptible

_UNGUARDED = 87
"""Exit status of a process that would start processes while it is being started."""


def end_if_started_again() -> None:
    """End this process if it has come here by running a script again from its first line.

    A process that is started imports the script that started it: without a guard, it would call
    what starts processes. Who started it says so.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(_UNGUARDED)


class Processes(Engine):
    """A process for each of some devices.

    Args:
        devices: `cuda:0`, `cuda:1`, …; one that stands there twice has two.
        script: whether a process imports the script that started it, as Python's own do: work that
            knows things of it needs that, and the script a guard.
    """

    def __init__(self, devices: Sequence[str], *, script: bool = True) -> None:
        self._begin = nullcontext if script else _scriptless
        self._seats = [Seat(n, device, len(devices)) for n, device in enumerate(devices, 1)]

    def seats(self) -> list[Seat]:
        """One a device."""
        return self._seats

    def start(self, work: Work, seat: Seat) -> Worker:
        """Start a process, which shares nothing with this one."""
        with self._begin():
            return _Process(work, seat)

    def close(self) -> None:
        """Nothing was taken."""


@contextmanager
def _scriptless() -> Iterator[None]:
    """Start processes that do not know which script this one runs."""
    main = sys.modules["__main__"]
    names = ("__spec__", "__file__")
    before: dict[str, object] = {name: vars(main).pop(name) for name in names if name in vars(main)}
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(before)


@contextmanager
def _deaf() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach while they import modules; here it comes later."""
    resource_tracker.ensure_running()  # else the first start would begin it, and hear again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Process(Worker):
    def __init__(self, work: Work, seat: Seat) -> None:
        context = multiprocessing.get_context("spawn")
        self._hears, says = context.Pipe(duplex=False)
        # Not waited for by a process that ends for any other reason.
        self._process = context.Process(target=_main, args=(says, work, seat), daemon=True)
        with _deaf():
            self._process.start()
        says.close()

    def ended(self) -> bool:
        """Whether the process is over."""
        return not self._process.is_alive()

    def failure(self) -> str:
        """How it ended, by what it said last or by its exit status."""
        try:
            said = self._hears.recv() if self._hears.poll() else None
        except EOFError:
            said = None
        if said is not None:
            return heed(said)
        code = self._process.exitcode or 0
        if code == _UNGUARDED:
            raise RequestError(
                "each process of `devices` runs your script again from its first line: put the "
                'lines that call egofeat under `if __name__ == "__main__":`'
            )
        return f"signal {-code}" if code < 0 else f"exit status {code}"

    def end(self, *, now: bool) -> None:
        """By signal."""
        if now:
            self._process.kill()
            self._process.join(1)  # else its name stands among those of running processes
        else:
            self._process.terminate()


def _main(says: Connection, work: Work, seat: Seat) -> None:
    """What the process does; its last word is why it could not, or that it is over."""
    keep_memory()
    collect_seldom()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: who started it says when
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=end_with_parent, daemon=True).start()
    with interruptible():
        try:
            says.send(carry_out(work, seat))
        except KeyboardInterrupt:
            os._exit(128 + signal.SIGTERM)


def end_with_parent() -> None:
    """Wait, in a thread of its own, for the end of the process that started this one, and end."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

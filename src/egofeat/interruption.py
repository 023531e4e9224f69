"""Ctrl-C, SIGTERM and SIGHUP: the first ends in order what is being done, the second at once.

All are raised as KeyboardInterrupt in the main thread, so that whoever can save something does.
"""

import _thread
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

_ONE_REQUEST_S = 0.5
"""`timeout` and shells send a signal to a process and to its group: that is one request."""
_AGAIN_S = 0.05
"""After which what swallowed an interruption has returned."""

_scratch: set[Path] = set()
"""Folders that go with the program."""


class Interruption:
    """The signal by which the program was asked to stop."""

    signum: int = signal.SIGINT
    _asked_at: float | None = None

    def __call__(self, signum: int, _: FrameType | None) -> None:
        """Handle a signal."""
        now = time.monotonic()
        if self._asked_at is None:
            self.signum, self._asked_at = signum, now
            raise KeyboardInterrupt
        if now - self._asked_at > _ONE_REQUEST_S:
            signal.signal(signum, signal.SIG_DFL)
            _leave_nothing()
            signal.raise_signal(signum)

    def lost(self, unraisable: "sys.UnraisableHookArgs") -> None:
        """Ask again: a finaliser or a C library's callback was at work, and let nothing out."""
        if not isinstance(unraisable.exc_value, KeyboardInterrupt) or self._asked_at is None:
            sys.__unraisablehook__(unraisable)
            return
        self._asked_at = None
        again = threading.Timer(_AGAIN_S, _thread.interrupt_main, [self.signum])
        again.daemon = True
        again.start()


def _leave_nothing() -> None:
    """End what this process has started, a stopped process too, and remove folders for the while.

    A process that goes on would make its folder again.
    """
    if processes := sys.modules.get("multiprocessing"):  # takes long to import
        for child in processes.active_children():
            child.kill()
            child.join(1)
    for folder in [*_scratch]:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Be interrupted by signals, in the main thread; what is ignored, as under nohup, stays so."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # not every system has all
    signals = [getattr(signal, name) for name in names if hasattr(signal, name)]
    taken = [one for one in signals if signal.getsignal(one) not in (signal.SIG_IGN, None)]
    interruption = Interruption()
    before = {one: signal.signal(one, interruption) for one in taken}
    told, sys.unraisablehook = sys.unraisablehook, interruption.lost
    try:
        yield interruption
    finally:
        sys.unraisablehook = told
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def scratch_folder(within: Path | None = None, prefix: str = "egofeat-") -> Iterator[Path]:
    """A folder for the while, which goes too where the second request ends the program at once.

    Args:
        within: where it is made; None: where the system has such folders.
        prefix: of its name.
    """
    with TemporaryDirectory(dir=within, prefix=prefix) as name:
        folder = Path(name)
        _scratch.add(folder)
        try:
            yield folder
        finally:
            _scratch.discard(folder)

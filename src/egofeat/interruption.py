"""Ctrl-C, SIGTERM and SIGHUP: the first ends in order what is being done, the second at once.

All are raised as KeyboardInterrupt in the main thread, so that whoever can save something does.
"""

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ONE_REQUEST_S = 0.5
"""`timeout` and shells send a signal to a process and to its group: that is one request."""
_AGAIN_S = 0.05
"""After which what swallowed an interruption has returned."""


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

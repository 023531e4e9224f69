"""Ctrl-C, SIGTERM and SIGHUP: the first ends in order what is being done, the second at once.

All are raised as KeyboardInterrupt in the main thread, so that whoever can save something does.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ONE_REQUEST_S = 0.5
"""`timeout` and shells send a signal to a process and to its group: that is one request."""


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


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Be interrupted by signals, in the main thread; what is ignored, as under nohup, stays so."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # not every system has all
    signals = [getattr(signal, name) for name in names if hasattr(signal, name)]
    taken = [one for one in signals if signal.getsignal(one) not in (signal.SIG_IGN, None)]
    interruption = Interruption()
    before = {one: signal.signal(one, interruption) for one in taken}
    try:
        yield interruption
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)

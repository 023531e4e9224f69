"""Processes of this machine."""

import os
import signal
import time

import pytest

from egofeat.engines.local import Processes


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.2])
def test_ctrl_c_does_not_reach_a_worker_that_imports_modules(seconds, capfd):
    """Who started it says when it ends; it would show a traceback."""
    engine = Processes(["cpu"], script=False)
    worker = engine.start(print, *engine.seats())
    time.sleep(seconds)
    os.kill(worker._process.pid, signal.SIGINT)
    while not worker.ended():
        time.sleep(0.05)
    assert worker.failure() == ""
    said = capfd.readouterr()
    assert (said.out.startswith("Seat("), said.err) == (True, "")
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])

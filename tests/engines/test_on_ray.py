"""Ray, without a cluster: what it replaces in the process that connects."""

import builtins
import os
import signal

import pytest

from egofeat.engines import on_ray
from egofeat.engines.on_ray import Actors


class Ray:
    """Does to a process what Ray does as it connects and prints, and nothing else."""

    def is_initialized(self):
        return False

    def init(self, **_):
        signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
        os.environ["PYTHONBREAKPOINT"] = "ray.util.rpdb._driver_set_trace"
        builtins.print = lambda *_, **__: None

    def shutdown(self):
        pass


@pytest.mark.parametrize("debugger", [None, "my.debugger"])
def test_a_process_is_as_it_was(monkeypatch, debugger):
    monkeypatch.setattr(on_ray, "_ray", Ray)
    monkeypatch.setattr(builtins, "print", print)
    monkeypatch.setenv("PYTHONBREAKPOINT", debugger or "")
    if debugger is None:
        monkeypatch.delenv("PYTHONBREAKPOINT")
    before, ends = builtins.print, signal.getsignal(signal.SIGTERM)
    actors = Actors("local", {})
    assert signal.getsignal(signal.SIGTERM) is ends
    actors.close()
    assert (builtins.print, os.environ.get("PYTHONBREAKPOINT")) == (before, debugger)

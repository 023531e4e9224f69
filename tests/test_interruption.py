"""What the command line says when it is interrupted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from egofeat.cli import app, main
from egofeat.interruption import Interruption, interruptible


@pytest.mark.parametrize(
    ("words", "work", "said"),
    [
        (
            ["persons"],
            "egofeat.pipelines.persons.job.plan_persons",
            "interrupted: give the same command again to resume\n",
        ),
        (
            ["predict", "run", "a.mp4"],
            "egofeat.pipelines.training.predict.predict",
            "interrupted\n",
        ),
    ],
)
def test_only_commands_that_go_on_say_so(words, work, said, monkeypatch, capsys):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(work, interrupted)
    monkeypatch.setattr(sys, "argv", ["egofeat", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 130
    assert capsys.readouterr().err == said


def wait_for(pipe, word: str) -> None:
    assert pipe.readline().strip() == word


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_the_first_signal_ends_in_order_and_the_second_at_once(name, tmp_path):
    program = """
import multiprocessing, os, signal, time
from egofeat import interruption
from egofeat.cli import app, main

signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and so does what nohup runs
interruption._ONE_REQUEST_S = 0.2

def slow(_):
    with interruption.scratch_folder() as folder:
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        child.start()
        os.kill(child.pid, signal.SIGSTOP)  # it cannot end in order
        (folder / "child").write_text(str(child.pid))
        try:
            print("works", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("saves", flush=True)
            time.sleep(60)

type(app).__call__ = slow
main()
"""
    signum = getattr(signal, name)
    own = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=own
    ) as process:
        wait_for(process.stdout, "works")
        process.send_signal(signum)
        wait_for(process.stdout, "saves")
        process.send_signal(signum)  # `timeout` sends one to the process and one to its group
        time.sleep(0.4)
        assert process.poll() is None
        (child,) = (int(path.read_text()) for path in tmp_path.glob("*/child"))
        os.kill(child, 0)
        process.send_signal(signum)
        assert process.wait(timeout=20) == -signum
    assert not list(tmp_path.iterdir())
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_what_is_ignored_stays_so_as_under_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("module", ["egofeat.host", "typer", "egofeat.cli.heads"])
def test_a_signal_while_modules_are_imported_is_no_traceback(module):
    program = """
import signal, sys

class Interrupting:
    def find_spec(self, name, *_):
        if name == sys.argv[1]:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from egofeat.__main__ import main
main()
"""
    words = [sys.executable, "-c", program, module]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_before_that_nothing_is_imported():
    program = "import sys; n = {*sys.modules}; import egofeat.__main__; print({*sys.modules} - n)"
    said = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert eval(said) <= {"egofeat", "egofeat.__main__"}


def test_a_signal_at_the_very_end_is_no_traceback(monkeypatch):
    def late() -> Iterator[Interruption]:
        yield Interruption()
        raise KeyboardInterrupt  # between the last line of the work and the handlers' return

    monkeypatch.setattr(type(app), "__call__", lambda _: None)
    monkeypatch.setattr(sys.modules["egofeat.cli.app"], "interruptible", contextmanager(late))
    monkeypatch.setattr(sys, "argv", ["egofeat", "ls"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 130


def test_a_signal_that_a_finaliser_swallows_is_not_lost():
    class Held:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def work() -> None:
        held = Held()
        del held
        for _ in range(200):  # a sleep is not woken by an interruption that is asked for again
            time.sleep(0.05)

    with interruptible() as interruption, pytest.raises(KeyboardInterrupt):
        work()
    assert interruption.signum == signal.SIGTERM

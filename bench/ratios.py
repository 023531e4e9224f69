"""What the scripts share: options, ratios of one run, private memory, questions apart."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

import torch


def options(doc: str | None, **defaults: Any) -> argparse.Namespace:
    """Options of a script by their defaults, each of the default's type; False is a flag."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=doc, formatter_class=form)
    for name, default in defaults.items():
        flag = f"--{name.replace('_', '-')}"
        if default is False:
            parser.add_argument(flag, action="store_true")
        else:
            parser.add_argument(flag, type=type(default), default=default)
    begin_as_egofeat()
    return parser.parse_args()


def begin_as_egofeat() -> None:
    """Set this process up as the command line is set up, as far as the version at hand does."""
    for module, name in (("garbage", "collect_seldom"), ("host_memory", "keep_memory")):
        with suppress(ImportError, AttributeError):
            getattr(import_module(f"egofeat.{module}"), name)()


def machine() -> str:
    """One line that says where and when."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{date.today()}, {platform.machine()}, {torch.get_num_threads()} threads, {device}, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def seconds(
    variants: Mapping[str, Callable[[], object]],
    repeats: int,
    *,
    warm: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of each variant over interleaved repeats (A B A B …).

    Args:
        variants: what is measured, by name.
        repeats: of each.
        warm: whether one unmeasured round goes first.
        clock: what is counted; `time.process_time` leaves out what other processes take.
    """
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(-int(warm), repeats):
        for name, run in variants.items():
            began = clock()
            run()
            if number >= 0:
                taken[name].append(clock() - began)
    return {name: statistics.median(times) for name, times in taken.items()}


@dataclass
class Peak:
    """Most private memory that a process had while it was watched, bytes."""

    written: int = 0
    """In pages that it wrote, which nothing can take from it."""
    mapped: int = 0
    """With pages of mapped files that no other process maps, which the system can take back."""


def private_bytes(pid: int) -> tuple[int, int]:
    """`Private_Dirty` and `Private_Clean` of a process (Linux); zeros when it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    fields = dict(line.split(":", 1) for line in text.splitlines()[1:])
    dirty, clean = (fields.get(f"Private_{kind}", "0 kB").split()[0] for kind in ("Dirty", "Clean"))
    return 1024 * int(dirty), 1024 * int(clean)


@contextmanager
def watched(every: float, pid: int = os.getpid()) -> Iterator[Peak]:
    """Look at the private memory of a process, by default this one, every so many seconds."""
    peak, done = Peak(), threading.Event()

    def watch() -> None:
        looking = True
        while looking:
            dirty, clean = private_bytes(pid)
            peak.written = max(peak.written, dirty)
            peak.mapped = max(peak.mapped, dirty + clean)
            looking = not done.wait(every)  # to look takes a while itself, where much is mapped

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def ask_apart(
    script: str, words: Sequence[str], limits: Mapping[str, float], seconds: float, out: Path
) -> None:
    """Have a script answer questions one by one, each in a process of its own with a time limit.

    Args:
        script: prints an answer as JSON, in its last line, where it is given `--question NAME`.
        words: its other options.
        limits: question to seconds.
        seconds: of all together.
        out: file of the answers so far; what is printed stands beside it, in `QUESTION.txt`.
    """
    until = time.monotonic() + seconds
    out.parent.mkdir(parents=True, exist_ok=True)
    answers: dict[str, Any] = {"machine": machine()}
    for question, limit in limits.items():
        left = min(limit, until - time.monotonic())
        command = [sys.executable, script, "--question", question, *words]
        said = out.with_name(f"{question}.txt")
        answers[question] = _answer(command, left, said) if left > 5 else "no time left"
        out.write_text(json.dumps(answers, indent=1))
        print(question, json.dumps(answers[question]), flush=True)


def _answer(command: Sequence[str], limit: float, said: Path) -> dict[str, Any]:
    began = time.monotonic()
    with said.open("w") as file:
        try:
            done = subprocess.run(command, check=False, stdout=file, stderr=file, timeout=limit)
        except subprocess.TimeoutExpired:
            return {"stopped after": limit}
    lines, taken = said.read_text().splitlines(), round(time.monotonic() - began, 1)
    if done.returncode:
        return {"seconds": taken, "failed": lines[-1:]}
    return {"seconds": taken, **json.loads(lines[-1])}


_SMALL = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[1:])
_, status, used = os.wait4(process.pid, 0)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss]), end="")
sys.exit(bool(status))
"""
"""What starts a command: the peak of a process is at first that of who started it."""


def whole(
    command: Sequence[str], source: Path | None = None
) -> tuple[str, tuple[float, float, float]]:
    """Run a command; what it printed, its CPU seconds, seconds, and MiB of its peak.

    Args:
        command: its words.
        source: a checkout whose code it is; None for this one.
    """
    given = {"PYTHONPATH": str(source / "src")} if source else {}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-S", "-c", _SMALL, *command],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | given,
    )
    wall = time.perf_counter() - began
    said, _, used = done.stdout.rpartition("\n")
    if done.returncode:
        raise SystemExit(f"it failed: {said}{done.stderr}")
    cpu, peak = json.loads(used)
    return said, (cpu, wall, peak / 1024)

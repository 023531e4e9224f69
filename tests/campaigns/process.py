"""One trial in a child of its own: what it printed, and how it ended."""

import atexit
import contextlib
import ctypes
import io
import json
import os
import re
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, TypeVar

from tests.campaigns.shim import Arm, Told

Item = TypeVar("Item")

_SIGNS = ("Traceback (most recent call last)", "Exception ignored", "Fatal Python error")


@dataclass(frozen=True)
class Ending:
    """How a child ended."""

    code: int
    """Its exit code; of a signal the negative number, as subprocess has it."""
    text: str
    """What it wrote to standard output and standard error."""
    timed_out: bool
    calls: int
    """Calls that the shim counted."""
    hit: str
    """Kind and path of the call that was killed or failed."""

    @property
    def escaped(self) -> str | None:
        """What no user should ever see of it: a traceback, a signal, no end; else None."""
        if self.timed_out:
            return "no end"
        if self.code < 0:
            return f"signal {-self.code}"
        sign = next((sign for sign in _SIGNS if sign in self.text), None)
        return f"traceback: {self.last_line}" if sign else None

    @property
    def refused(self) -> bool:
        """Whether it ended in the one sentence of a refusal."""
        return not self.escaped and self.code > 0 and self.last_line.startswith("egofeat: ")

    @property
    def last_line(self) -> str:
        """The last that it said."""
        lines = [line for line in self.text.splitlines() if line.strip()]
        return lines[-1][:300] if lines else ""


class Child:
    """A forked child at work."""

    def __init__(
        self, work: Callable[[], int], output: Path, arm: Arm | None = None, memory: int = 0
    ) -> None:
        """Fork, and call `work` in the child, whose exit code it returns.

        Args:
            work: what to do.
            output: file that receives what is printed.
            arm: of the shim.
            memory: bytes that the child may take beside what its parent has; 0 is no limit.
        """
        self._told = Told()
        self._output = output
        self._began = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            code = 70
            try:
                _redirect(output)
                _limit(memory)
                if arm:
                    self._told.arm(arm)
                code = work()
            except SystemExit as stop:
                code = exit_code(stop)
            except BaseException:
                traceback.print_exc()
                code = 1
            finally:
                _leave(code)

    def wait(self, limit: float = 120.0) -> Ending:
        """Wait for its end, for so many seconds from its beginning."""
        timed_out = False
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            if not timed_out and time.monotonic() - self._began > limit:
                timed_out = True
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.003)
        text = self._output.read_text(errors="replace") if self._output.exists() else ""
        code = os.waitstatus_to_exitcode(status)
        return Ending(code, text, timed_out, self._told.count, self._told.what)


def command(arguments: Sequence[str], folder: Path) -> Callable[[], int]:
    """Give the work of a child that runs `egofeat ARGUMENTS` in a folder, as a shell would.

    A word with a star is the names that it matches.
    """

    def matched(word: str) -> list[str]:
        return sorted(map(str, Path().glob(word))) if "*" in word else [word]

    def work() -> int:
        from egofeat.cli import main

        os.chdir(folder)
        sys.argv = ["egofeat", *(name for word in arguments for name in matched(word))]
        main()
        return 0

    return work


def run_here(arguments: Sequence[str], stderr: TextIO | None = None) -> tuple[int, str]:
    """Run `egofeat ARGUMENTS` in this process: its exit code, and what it printed.

    Args:
        arguments: after the command's name.
        stderr: where standard error goes; None puts it with the rest.
    """
    from egofeat.cli import main

    printed = io.StringIO()
    sys.argv = ["egofeat", *arguments]
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(stderr or printed):
        try:
            main()
        except SystemExit as stop:
            return exit_code(stop), printed.getvalue()
    return 0, printed.getvalue()


@dataclass(frozen=True)
class Verdict:
    """What one trial showed."""

    kind: str
    """A word or two to count by."""
    bad: bool = False
    detail: str = ""
    """Of a bad one: what happened, and how to have it again."""


def in_one_child(
    items: Sequence[Item],
    judge: Callable[[Item], Verdict],
    *,
    limit: float,
    memory: int,
    output: Path,
) -> Iterator[Verdict]:
    """Judge items one by one in a child; in another one where an item ends it.

    Args:
        items: in order.
        judge: called in the child.
        limit: seconds an item.
        memory: bytes beside what the parent has.
        output: file that receives what is printed.
    """
    done = 0
    while done < len(items):
        ours, theirs = os.pipe()
        rest = items[done:]
        child = Child(lambda: _judge_all(rest, judge, theirs), output, memory=memory)  # noqa: B023
        os.close(theirs)
        with os.fdopen(ours, "rb", buffering=0) as pipe:
            received = b""
            while done < len(items):
                if not select.select([pipe], [], [], limit)[0]:
                    os.kill(child.pid, signal.SIGKILL)
                    break
                received += (part := pipe.read(65536))
                *lines, received = received.split(b"\n")
                for line in lines:
                    yield Verdict(**json.loads(line))
                    done += 1
                if not part:
                    break
        ending = child.wait()
        if done < len(items):
            slow = ending.code == -signal.SIGKILL
            kind = f"no end in {limit:g} s" if slow else f"died ({ending.code})"
            yield Verdict(kind, bad=True, detail=ending.last_line)
            done += 1


def _judge_all(items: Sequence[Item], judge: Callable[[Item], Verdict], pipe: int) -> int:
    for item in items:
        try:
            verdict = judge(item)
        except BaseException as error:
            frames = traceback.extract_tb(error.__traceback__)
            place = next((f for f in reversed(frames) if "campaigns" not in f.filename), frames[-1])
            where = f"{'/'.join(Path(place.filename).parts[-2:])}:{place.lineno}"
            notes = "; ".join(getattr(error, "__notes__", ()))
            detail = f"{notes}: {type(error).__name__} at {where}: {str(error)[:160]}"
            verdict = Verdict(f"escape {type(error).__name__}", bad=True, detail=detail)
        os.write(pipe, json.dumps(vars(verdict)).encode() + b"\n")
    return 0


def resident() -> int:
    """Bytes of memory that this process ever held at once."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _redirect(output: Path) -> None:
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)


def _limit(memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def exit_code(stop: SystemExit) -> int:
    """Give the exit code that an interpreter makes of it."""
    if isinstance(stop.code, str):
        print(stop.code, file=sys.stderr)
        return 1
    return stop.code or 0


def _leave(code: int) -> None:
    """End as an interpreter does, but not up the parent's stack.

    What torch does at exit takes longer than a trial and touches no file; what HDF5 does matters.
    """
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        for line in Path("/proc/self/maps").read_text().splitlines():
            if re.search(r"/libhdf5(?!_hl)[^/]*[.]so", line):
                ctypes.CDLL(line.split()[-1]).H5close()
                break
    finally:
        os._exit(code)

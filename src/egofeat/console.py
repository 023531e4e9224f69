"""What a long job says while it works: a bar on a terminal, a plain line now and then without one.

Everything goes to standard error; standard output is for results.
"""

import os
import re
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from shutil import get_terminal_size
from typing import Protocol
from unicodedata import category

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
)
from rich.table import Table

_PLAIN_EVERY_S = 30.0
_DRAWN_EVERY_S = 0.1
_SPACE = "\0"
"""In place of a space at which no line is broken; nothing that is printed has it."""
_MOST_WORDS = 12
"""Of a path with spaces."""
_AROUND = 28
"""Columns of a bar of ten, what part is done, what time is left, and all that is between."""

stderr = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


_typed: Mapping[str, str] = {}


def name_options(typed: Mapping[str, str]) -> None:
    """From now on print fields that sentences name, `clip_frames`, as they are typed.

    Args:
        typed: field to option, `--clip-frames`.
    """
    global _typed  # noqa: PLW0603 - a process prints for one command line, or for none
    _typed = typed


def _as_typed(text: str) -> str:
    return re.sub(r"`(\w+)`", lambda found: _typed.get(found[1], found[0]), text)


def say(text: str) -> None:
    """A result for people, to standard output. JSON escapes by itself, and is printed plainly."""
    shown = printable(_as_typed(text))
    print(_wrapped(shown, get_terminal_size().columns) if sys.stdout.isatty() else shown)


def say_all(lines: Iterable[str | Table]) -> None:
    """Lines of a result, and tables, to standard output."""
    for line in lines:
        if isinstance(line, str):
            say(line)
        else:
            Console(highlight=False).print(line, "")


def _wrapped(text: str, width: int) -> str:
    """Lines broken between words, where a terminal would break them anywhere; paths stay whole."""
    wrapper = textwrap.TextWrapper(
        width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    lines = (_held(line) if len(line) > width else line for line in text.split("\n"))
    return "\n".join("\n".join(wrapper.wrap(line)) for line in lines).replace(_SPACE, " ")


def _held(line: str) -> str:
    """A line whose paths have no spaces: words are one path where that, or its folder, is there."""
    words = line.split(" ")
    for first in range(len(words)):
        for last in range(min(len(words), first + _MOST_WORDS), first + 1, -1):
            path = " ".join(words[first:last]).lstrip("('").rstrip(".,:;)'")
            if _is_there(path) or ("/" in words[last - 1] and _is_there(path.rpartition("/")[0])):
                words[first:last] = [_SPACE.join(words[first:last])]
                break
    return " ".join(words)


def _is_there(path: str) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - of text that is no path, nothing is


_noted: set[str] = set()


def note(text: str) -> None:
    """One line to standard error."""
    shown = printable(_as_typed(text))
    stderr.print(_wrapped(shown, stderr.width) if stderr.is_terminal else shown, markup=False)


def note_once(kind: str, text: str) -> None:
    """Note the first of a kind: what holds of one folder of a data set mostly holds of all."""
    if kind not in _noted:
        _noted.add(kind)
        note(text)


_HARMLESS = "\n\t\u200c\u200d"
"""Line ends, and what joins and parts letters in Persian, in Hindi and in emoji."""


def printable(text: str) -> str:
    """Text without what a terminal would obey: control and formatting characters, escaped."""
    if text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode()
        if category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and letter not in _HARMLESS
        else letter
        for letter in text
    )


class Advance(Protocol):
    """Told how much more is done."""

    def __call__(self, units: float, steps: int = 0) -> None:
        """So many units, or such parts of one; and so many of the steps that they are made of."""


@contextmanager
def progress(
    what: str,
    total: int,
    unit: str,
    step: str = "",
    more: Callable[[], str] = str,
    since: Callable[[], float | None] = lambda: None,
    beneath: Callable[[], Table | None] = lambda: None,
    pace: Callable[[], float | None] = lambda: None,
) -> Iterator[Advance]:
    """Show how far a job of `total` units is, how fast, and how long it will still take.

    Args:
        what: is done.
        total: units; of nothing, nothing is said.
        unit: name of units.
        step: name of what moves inside of long units, and is counted beside them.
        more: asked for what else there is to say.
        since: asked for when work began, by `time.monotonic`, if that is not now.
        beneath: asked for what is to be seen beneath a bar, again and again, in another thread.
        pace: asked for units a second, where what is told so far does not say it.
    """
    said = _Said(what, total, unit, step, more, since, pace)
    shown = _bar(said, beneath) if stderr.is_terminal else _lines(said)
    try:
        with shown as advance:
            yield advance
    finally:
        said.ask_no_more()


class _Said:
    """How far a job is, in words."""

    def __init__(
        self,
        what: str,
        total: int,
        unit: str,
        step: str,
        more: Callable[[], str],
        since: Callable[[], float | None],
        pace: Callable[[], float | None],
    ) -> None:
        self.what = what
        self.total = total
        self.unit = unit
        self.step = step
        self._more = more
        self._since = since
        self._told_pace = pace
        self.done = 0.0
        self._steps = 0
        self._began = time.monotonic()

    def ask_no_more(self) -> None:
        """Let go of who is asked: they may know who moves the bar, which leads back here."""
        self._more, self._since, self._told_pace = str, lambda: None, lambda: None

    def advance(self, units: float, steps: int) -> None:
        self.done += units
        self._steps += steps

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    @property
    def count(self) -> str:
        """`3/8 segments`, or `1204 windows of 3/8 segments`."""
        # Parts of units are added up: a whole one may lack a rounding.
        units = f"{int(self.done + 1e-6)}/{self.total} {self.unit}"
        return f"{self._steps} {self.step} of {units}" if self.step else units

    @property
    def rate(self) -> str:
        pace = self._steps / self._worked if self.step else self._pace
        return ", ".join(filter(None, [f"{pace:.1f} {self.step or self.unit}/s", self._more()]))

    @property
    def left(self) -> float | None:
        """Seconds, as fast as it went so far; None where nothing is done."""
        return max(0.0, self.total - self.done) / self._pace if self.done > 0 else None

    @property
    def _pace(self) -> float:
        """Units a second."""
        return self._told_pace() or self.done / self._worked

    @property
    def _worked(self) -> float:
        """Seconds without those that passed before work began, as workers were started."""
        return max(1e-9, time.monotonic() - (self._since() or self._began))


class _Bars(Progress):
    """Bars, and what there is to see beneath them."""

    def __init__(self, *columns: ProgressColumn, beneath: Callable[[], Table | None]) -> None:
        self.beneath = beneath
        super().__init__(*columns, console=stderr, expand=True)

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if (table := self.beneath()) is not None:
            yield table


@contextmanager
def _bar(said: _Said, beneath: Callable[[], Table | None]) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[left]}", style="progress.remaining"),
    )
    with _Bars(*columns, beneath=beneath) as bars:
        task = bars.add_task(said.what, total=said.total, rate="", left=_clock(None))
        drawn = 0.0

        def draw() -> None:
            nonlocal drawn
            drawn = said.seconds
            room = stderr.width - len(said.what) - 2 * len(str(said.total)) - _AROUND
            rate = _within(room, said.rate)
            bars.update(task, completed=said.done + 1e-6, rate=rate, left=_clock(said.left))

        def advance(units: float, steps: int = 0) -> None:
            said.advance(units, steps)
            if said.seconds - drawn > _DRAWN_EVERY_S:  # drawing takes longer than many a step
                draw()

        try:
            yield advance
            draw()
        finally:  # what is over, or interrupted, leaves its bar alone
            bars.beneath = lambda: None


def _clock(seconds: float | None) -> str:
    """Time that is left, `0:03:05`."""
    if seconds is None:
        return "-:--:--"
    minutes = int(seconds) // 60
    return f"{minutes // 60}:{minutes % 60:02d}:{int(seconds) % 60:02d}"


def _within(room: int, listed: str) -> str:
    """A list without those before its last one, where it is too long: the first one stays."""
    words = listed.split(", ")
    while len(words) > 1 and len(", ".join(words)) > room:
        words.pop(max(1, len(words) - 2))
    return ", ".join(words)


@contextmanager
def _lines(said: _Said) -> Iterator[Advance]:
    spoke = 0.0

    def advance(units: float, steps: int = 0) -> None:
        nonlocal spoke
        said.advance(units, steps)
        if (left := said.left) is not None and said.seconds - spoke >= _PLAIN_EVERY_S:
            spoke = said.seconds
            note(f"{said.what}: {said.count}, {said.rate}, about {left:.0f} s left")

    yield advance
    if said.total:
        note(f"{said.what}: {said.count} in {said.seconds:.1f} s")


def size(count: int) -> str:
    """Bytes for people: `3.4 GB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"

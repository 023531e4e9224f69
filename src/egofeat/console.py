"""What a long job says while it works: a bar on a terminal, a plain line now and then without one.

Everything goes to standard error; standard output is for results.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unicodedata import category

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

_PLAIN_EVERY_S = 30.0

stderr = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)

Advance = Callable[[int], None]
"""Told how many more units are done."""


def say(text: str) -> None:
    """A result for people, to standard output. JSON escapes by itself, and is printed plainly."""
    print(printable(text))


_noted: set[str] = set()


def note(text: str) -> None:
    """One line to standard error."""
    stderr.print(printable(text), markup=False)


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


@contextmanager
def progress(what: str, total: int, unit: str) -> Iterator[Advance]:
    """Show how far a job of `total` units is, how fast, and how long it will still take."""
    shown = _bar(what, total, unit) if stderr.is_terminal else _lines(what, total, unit)
    with shown as advance:
        yield advance


@contextmanager
def _bar(what: str, total: int, unit: str) -> Iterator[Advance]:
    began = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr, expand=True) as bars:
        task = bars.add_task(what, total=total, rate="")
        done = 0

        def advance(units: int) -> None:
            nonlocal done
            if units:
                done += units
                rate = done / (time.monotonic() - began)
                bars.update(task, advance=units, rate=f"{rate:.1f} {unit}/s")

        yield advance


@contextmanager
def _lines(what: str, total: int, unit: str) -> Iterator[Advance]:
    began = spoke = time.monotonic()
    done = 0

    def advance(units: int) -> None:
        nonlocal done, spoke
        done += units
        now = time.monotonic()
        if done and now - spoke >= _PLAIN_EVERY_S:
            spoke = now
            rate = done / (now - began)
            left = (total - done) / rate
            note(f"{what}: {done}/{total} {unit}, {rate:.1f}/s, about {left:.0f} s left")

    yield advance
    note(f"{what}: {done}/{total} {unit} in {time.monotonic() - began:.1f} s")


def count(number: int, units: str) -> str:
    """A number of things for people: `1 video`, `3,156 videos`.

    Args:
        number: how many.
        units: their name where they are several, that of one with an s.
    """
    return f"{number:,} {units.removesuffix('s') if number == 1 else units}"


def size(count: int) -> str:
    """Bytes for people: `3.4 GB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"

"""Trainings that are under way, a line each, as their folders tell: whoever trains them."""

import csv
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from egofeat import console
from egofeat.pipelines.bench.tables import tables
from egofeat.pipelines.comparing.runs import duration
from egofeat.pipelines.sweeping.fitting import Fit
from egofeat.pipelines.sweeping.planning import trainer_of
from egofeat.words import decimals

_Stamp = tuple[int, int]
"""Of a file: nanoseconds at which it was written, and its size."""
_LOOK_EVERY_S = 1.0
_FIGURES = ("/top1", "/mAP")
_HEADINGS = ("training", "seed", "done", "loss", "val %", "left")
_OTHERS = 50
"""Columns of all but the name."""
_LEAST = 16
"""Columns of a name."""
_ABOVE = 6
"""Lines of a terminal that are left to what is said above."""


@dataclass
class _Seen:
    """A training, and what of its history was seen."""

    fit: Fit
    before: Mapping[Path, _Stamp]
    """Files of its history, as they were before: it need not be at work."""
    first: tuple[float, float] | None = None
    """When, by the file's own clock, and how far it was when it was first seen at work."""
    last: tuple[_Stamp, Mapping[str, float]] | None = None
    """The newest file, and its last record."""

    def look(self) -> None:
        """Read what is new."""
        changed = [
            (at, path) for path, at in _files(self.fit).items() if at != self.before.get(path)
        ]
        if not changed or (self.last and self.last[0] == max(changed)[0]):
            return
        stamp, path = max(changed)
        record = _last_record(path)
        if record and record.get("train/loss") is not None:
            again = self.first and record[self._unit] < self.first[1]  # of the next of its heads
            if self.first is None or again:
                self.first = stamp[0] / 1e9, record[self._unit]
            self.last = stamp, record

    @property
    def _unit(self) -> str:
        return trainer_of(self.fit.config).unit

    def cells(self, room: int) -> Iterator[str]:
        """A line of the table."""
        assert self.last, "it was seen at work"
        (at, _), record = self.last
        length, now = trainer_of(self.fit.config).length, record[self._unit]
        yield _shortened(self.fit.name_of_line, room)
        yield str(self.fit.seed)
        yield f"{now:.0f}/{length}"
        yield decimals(record["train/loss"])
        figure = next((of for name, of in record.items() if name.endswith(_FIGURES)), None)
        yield "–" if figure is None else f"{100 * figure:.1f}"
        began, then = self.first or (at / 1e9, now)
        rate = (now - then) / (at / 1e9 - began) if at / 1e9 > began else 0
        yield duration((length - now) / rate) if rate > 0 else "–"


@dataclass
class UnderWay:
    """The trainings of a sweep that are not done; a thread that draws asks for the table."""

    _watched: dict[str, _Seen] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _looked: float = 0.0

    def watch(self, fits: Iterable[Fit]) -> None:
        """From now on show those of these that are at work."""
        seen = {fit.name: _Seen(fit, _files(fit)) for fit in fits}
        with self._lock:
            self._watched = seen

    def done(self, name: str) -> None:
        """Show one no more."""
        with self._lock:
            self._watched.pop(name, None)

    def table(self) -> Table | None:
        """A line a training at work: epoch, loss, figure on validation, time left at most."""
        with self._lock:
            if time.monotonic() - self._looked >= _LOOK_EVERY_S:
                self._looked = time.monotonic()
                for one in self._watched.values():
                    one.look()
            at_work = [one for one in self._watched.values() if one.last]
        if not at_work:
            return None
        width, height = console.stderr.size
        room, most = max(_LEAST, width - _OTHERS), max(1, height - _ABOVE)
        rows = [[*one.cells(room)] for one in at_work[:most]]
        if (more := len(at_work) - most) > 0:
            rows.append([f"and {more} more", *[""] * len(_HEADINGS[1:])])
        return next(tables(_HEADINGS, rows, width))


def _files(fit: Fit) -> dict[Path, _Stamp]:
    """Files of its history."""
    found = {}
    for path in fit.path.glob("history*.csv") if fit.path else ():
        try:
            stat = path.stat()
            found[path] = stat.st_mtime_ns, stat.st_size
        except OSError:  # it has just been withdrawn
            continue
    return found


def _last_record(path: Path) -> dict[str, float] | None:
    """The last whole line of a history; None where there is none."""
    try:
        header, *lines = path.read_text().splitlines(keepends=True)
        whole = [line for line in lines[-2:] if line.endswith("\n")]
        (row,) = csv.DictReader([header, *whole[-1:]])
        return {name: float(value) for name, value in row.items()}
    except (OSError, ValueError, TypeError):
        return None


def _shortened(name: str, room: int) -> str:
    return name if len(name) <= room else f"{name[: room - 1]}…"

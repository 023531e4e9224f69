"""`egofeat runs`: every run of some folders in one table."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from rich.table import Table

from egofeat.errors import RequestError
from egofeat.pipelines.bench.tables import known, operations, tables
from egofeat.pipelines.comparing.finished import Finished, find_finished
from egofeat.pipelines.comparing.options import RunsConfig
from egofeat.pipelines.comparing.settings import SEED, differences, spoken
from egofeat.words import counted, nearest

_MAIN = ("dataset", "head", "preset", "features", SEED)
"""Settings that are told in any case: in a column where the runs differ by them, else once."""
_MOST_COLUMNS = 3
"""Of other settings that tell the runs apart; `--json` tells all."""
_FOUND = ("epochs", "weights", "time")
"""Columns of what came of a run; two of them are names of settings too."""


@dataclass(frozen=True)
class Runs:
    """Runs, in the order in which they are shown."""

    runs: Sequence[Finished]

    def to_dict(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {"runs": [_found(one) for one in self.runs]}

    def lines(self) -> Iterator[str | Table]:
        """A table, a line a run; then what all of them share."""
        shown, shared = self._columns()
        figures = list(dict.fromkeys(name for one in self.runs for name in one.figures))
        asked = (f"{name} asked" if name in _FOUND else name for name in spoken(shown))
        headings = ["run", *asked, *(heading(name).replace("top-1 ", "") for name in figures)]
        headings += _FOUND
        folder, names = _names(self.runs)
        pairs = zip(names, self.runs, strict=True)
        yield from tables(headings, [[n, *self._cells(one, shown, figures)] for n, one in pairs])
        if folder:
            yield f"in {folder}; accuracies are top-1"
        if shared:
            yield f"all: {', '.join(f'{name} {value}' for name, value in shared.items())}"
        for one in self.runs:
            if one.metrics and one.segments < one.segments_of_split:
                of_split = f"{one.segments:,} of {one.segments_of_split:,} segments"
                yield f"{one.path} was evaluated on {of_split}: the others have no features"
        unfinished = sum(not one.metrics for one in self.runs)
        also = f", {unfinished:,} of them not finished or not evaluated" if unfinished else ""
        yield f"{counted(len(self.runs), 'runs')}{also}"

    def _columns(self) -> tuple[list[str], dict[str, str]]:
        """Settings by which the runs differ; and of the main ones those that all share."""
        settings = [one.settings for one in self.runs]
        apart = differences(settings)
        shown = [name for name in _MAIN if name in apart]
        shown += [name for name in apart if name not in _MAIN][:_MOST_COLUMNS]
        shared = {name: settings[0][name] for name in _MAIN if name not in shown}
        return shown, {name: value for name, value in shared.items() if value}

    def _cells(self, run: Finished, shown: Sequence[str], figures: Sequence[str]) -> list[str]:
        return [
            *(run.settings.get(name, "") or "–" for name in shown),
            *(known(run.metrics.get(name), lambda value: f"{100 * value:.1f}") for name in figures),
            known(run.epochs, lambda epochs: f"{epochs:g}"),
            known(run.parameters, operations),
            known(run.seconds, duration),
        ]


def runs(asked: RunsConfig) -> Runs:
    """List runs.

    Raises:
        RequestError: there is none, or none that fits; a setting or a column that no run has.
    """
    found = find_finished(asked.folders, asked.split)
    names = dict.fromkeys(name for one in found for name in one.settings)
    for name in asked.where:
        if name not in names:
            raise RequestError(
                f"`where` {name}: no run has such a setting: {nearest(name, [*names])}"
            )
    chosen = [
        one
        for one in found
        if all(fnmatchcase(one.settings.get(n, ""), of) for n, of in asked.where.items())
    ]
    if not chosen:
        said = ", ".join(f"{name}={value}" for name, value in asked.where.items())
        raise RequestError(f"none of {counted(len(found), 'runs')} has {said}: leave out `where`")
    return Runs(_sorted(chosen, asked.sort))


def _sorted(found: list[Finished], column: str | None) -> list[Finished]:
    if column is None:
        return found
    by_number = {"epochs", "parameters", "seconds", "segments"}
    metrics = dict.fromkeys(name for one in found for name in one.metrics)
    settings = dict.fromkeys(name for one in found for name in one.settings)
    if column in metrics:
        return sorted(found, key=lambda one: -one.metrics.get(column, -1.0))
    if column in by_number:
        return sorted(found, key=lambda one: getattr(one, column) or 0)
    if column in settings:
        return sorted(found, key=lambda one: _as_number(one.settings.get(column, "")))
    others = ", ".join(sorted(by_number))
    offer = nearest(column, [*metrics, *by_number, *settings])
    raise RequestError(f"`sort` {column} is no column: {offer} (or {others})")


def _names(runs: Sequence[Finished]) -> tuple[str, list[str]]:
    """The folder that all runs lie in, and what each is called there."""
    paths = [str(one.path) for one in runs]
    if len(paths) == 1:
        return "", paths
    try:
        folder = os.path.commonpath(paths)
    except ValueError:  # some are named from the root, others from here
        return "", paths
    return folder, [os.path.relpath(path, folder or ".") for path in paths]


def _as_number(value: str) -> tuple[float, str]:
    try:
        return float(value), ""
    except ValueError:
        return float("inf"), value


def _found(run: Finished) -> dict[str, Any]:
    return {
        "run": str(run.path),
        **{name: getattr(run, name) for name in ("parameters", "epochs", "best_epoch", "seconds")},
        "segments": run.segments,
        "segments_of_split": run.segments_of_split,
        "metrics": dict(run.metrics),
        "settings": run.settings,
    }


def heading(figure: str) -> str:
    """A metric in words: `verb/top1` is `verb top-1 %`."""
    return f"{figure.replace('/', ' ').replace('_', ' ').replace('top', 'top-')} %"


def duration(seconds: float) -> str:
    """Time for people: `12 s`, `3:05 min`, `2:10 h`."""
    if seconds < 100:
        return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds:.2f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02d} h"

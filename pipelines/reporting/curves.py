"""How losses and figures went over epochs, for drawing."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import RequestError
from egofeat.pipelines.comparing.configurations import Configuration
from egofeat.pipelines.comparing.finished import Finished
from egofeat.pipelines.figures.runs import read_history

_MOST_POINTS = 80
"""Of a line; more are not seen at its size."""


def curves_of(of: Configuration, columns: Iterable[str]) -> dict[str, list[Any]]:
    """Column of the history to the epochs and values of each seed; none of what is not there.

    Of a head a store, a line a head.
    """
    found: dict[str, list[Any]] = {}
    for run in of.runs:
        for path in sorted(run.path.glob("history*.csv")):
            history = _known(path)
            for name in columns:
                if name in history:
                    there = np.flatnonzero(np.isfinite(history[name]))
                    there = there[_evenly(len(there))]
                    scale = 1 if name.endswith("loss") else 100
                    values = history[name][there] / scale
                    line = [history["epoch"][there].round(3).tolist(), values.round(5).tolist()]
                    if len(there):
                        found.setdefault(name, []).append(line)
    return found


def columns_of(runs: Sequence[Finished], figure: str) -> dict[str, str]:
    """Which columns of the histories are drawn, and what they are called.

    Of actions there is no history: that of the first target stands for them.
    """
    paths = (path for run in runs for path in sorted(run.path.glob("history*.csv")))
    there = next(filter(None, map(_known, paths)), {})
    scored = [name for name in there if name.startswith("val/") and name != "val/loss"]
    wanted = [f"val/{figure}"] if f"val/{figure}" in scored else scored[:1]
    words = {
        name: f"validation {name[4:].replace('/', ' ').replace('top', 'top-')} %" for name in wanted
    }
    return ({"val/loss": "validation loss"} if "val/loss" in there else {}) | words


def _known(path: Path) -> dict[str, NDArray[np.float64]]:
    """A history's columns; none of one that has no epoch, or is damaged."""
    try:
        return read_history(path)
    except (RequestError, ValueError, TypeError):
        return {}


def _evenly(count: int) -> NDArray[np.int64]:
    """Places of at most so many of a line's points, the first and the last among them."""
    if count <= _MOST_POINTS:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, _MOST_POINTS).round().astype(np.int64))

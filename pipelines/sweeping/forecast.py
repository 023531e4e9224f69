"""`egofeat sweep --dry-run`: what a sweep would extract and train, and what it would leave out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from rich.table import Table

from egofeat.errors import EgofeatError, RequestError
from egofeat.pipelines.bench.tables import tables
from egofeat.pipelines.comparing.finished import read_finished
from egofeat.pipelines.comparing.runs import duration
from egofeat.pipelines.extraction.forecast import forecast_jobs
from egofeat.pipelines.extraction.reports import Forecast
from egofeat.pipelines.kept import find_runs
from egofeat.pipelines.sweeping.fitting import make_fit
from egofeat.pipelines.sweeping.options import SweepConfig
from egofeat.pipelines.sweeping.planning import Part, plan_sweep
from egofeat.words import counted


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A head on some features."""

    configuration: str
    fits: int
    """Seeds, and other choices of a search with the first of them."""
    done: int
    """Of these; of a search, the best is not known before."""
    seconds: float | None
    """Of those that are not done, by finished runs of this head; None where there are none."""


@dataclass(frozen=True, kw_only=True)
class SweepForecast:
    """What a sweep would do."""

    name: str
    folder: str
    stores: tuple[Forecast, ...]
    """That would be extracted, or completed."""
    planned: tuple[Planned, ...]
    left_out: tuple[tuple[str, str], ...]

    @property
    def exit_code(self) -> int:
        """Of the command: what has no room is refused, after all is said."""
        return 0 if all(store.fits for store in self.stores) else RequestError.exit_code

    @property
    def seconds(self) -> float | None:
        """Of all of it, one after the other; None where a part is not known."""
        parts = [one.seconds for one in self.planned]
        parts += [one.seconds for one in self.stores if one.to_extract]
        times = [of for of in parts if of is not None]
        return sum(times) if len(times) == len(parts) else None

    def to_dict(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "name": self.name,
            "folder": self.folder,
            "stores": [asdict(one) for one in self.stores],
            "fits": sum(one.fits for one in self.planned),
            "done": sum(one.done for one in self.planned),
            "seconds": self.seconds,
            "configurations": [asdict(one) for one in self.planned],
            "left_out": [{"what": what, "reason": why} for what, why in self.left_out],
        }

    def lines(self) -> Iterator[str | Table]:
        """What would be extracted, a table of what would be trained, what is left out, and why."""
        for store in self.stores:
            yield from store.lines()
        yield from tables(["head", "fits", "done", "time"], map(_cells, self.planned))
        for what, why in self.left_out:
            yield f"left out: {what}: {why}"
        fits, done = (sum(getattr(one, name) for one in self.planned) for name in ("fits", "done"))
        time = "not known yet" if self.seconds is None else f"about {duration(self.seconds)}"
        yield f"{counted(fits, 'fits')} in {self.folder}, {done:,} of them done; time: {time}"


def _cells(one: Planned) -> list[str]:
    time = "not known yet" if one.seconds is None else duration(one.seconds)
    return [one.configuration, str(one.fits), str(one.done), time]


def forecast(asked: SweepConfig) -> SweepForecast:
    """What `sweep` would do; nothing is written.

    Raises:
        RequestError: as `sweep`.
    """
    plan = plan_sweep(asked)
    jobs, compute = plan.features.jobs, plan.features.compute
    stores = forecast_jobs(jobs, compute).stores if jobs else ()
    seconds = _seconds_of_heads([*(part.out / "runs" for part in plan.parts), Path("runs")])
    return SweepForecast(
        name=plan.study.name,
        folder=str(plan.out),
        stores=tuple(stores),
        planned=tuple(one for part in plan.parts for one in _planned(part, seconds)),
        left_out=plan.left_out,
    )


def _planned(part: Part, seconds: Mapping[str, float]) -> Iterator[Planned]:
    first, *others = part.study.seed_list
    for one in part.candidates:
        pairs = [(first, tried) for tried in one.grid]
        if len(one.grid) == 1:
            pairs += [(seed, one.grid[0]) for seed in others]
        fits = [make_fit(part, one, seed, tried) for seed, tried in pairs]
        done = sum(fit.done() for fit in fits)
        number = len(one.grid) + len(others)
        each = seconds.get(one.given["head"])
        yield Planned(
            configuration=f"{one.label}, split {part.name}" if part.name else one.label,
            fits=number,
            done=done,
            seconds=0.0 if number == done else None if each is None else (number - done) * each,
        )


def _seconds_of_heads(folders: Sequence[Path]) -> dict[str, float]:
    """Head to the mean time of its finished trainings in some folders."""
    found: dict[str, list[float]] = {}
    for path in (run for folder in folders for run in find_runs(folder)):
        try:
            run = read_finished(path)
        except EgofeatError:  # a damaged run says nothing of time
            continue
        if run.seconds is not None:
            found.setdefault(run.config.head, []).append(run.seconds)
    return {head: mean(times) for head, times in found.items()}

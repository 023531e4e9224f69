"""`egofeat sweep`: features first, then every fit, then one table."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from egofeat import console
from egofeat.engines.local import end_if_started_again
from egofeat.errors import RequestError
from egofeat.pipelines.comparing.finished import Finished, main_figure, read_finished
from egofeat.pipelines.runs.claim import locked
from egofeat.pipelines.sweeping.at_once import train_here
from egofeat.pipelines.sweeping.fitting import Fit, make_fit
from egofeat.pipelines.sweeping.options import SweepConfig
from egofeat.pipelines.sweeping.planning import Plan, plan_sweep, trainer_of
from egofeat.pipelines.sweeping.report import Swept, report
from egofeat.pipelines.sweeping.under_way import UnderWay
from egofeat.pipelines.sweeping.workers import engine_for, train_by_workers
from egofeat.store.files import WORK, replace_file

_NOTHING_LEFT = "its run is not whole, and nothing says why: see that the disk has room"


def sweep(asked: SweepConfig, *, on_fit: Callable[[Fit], None] = lambda fit: None) -> Swept:
    """Extract what is missing, train what is not trained yet, and tell all of it in one table.

    What is done is not done again, however an earlier call ended.

    Args:
        asked: which study, where to, how.
        on_fit: told each fit when it is done, or has failed.

    Raises:
        RequestError: the study is not what it must be, nothing of it fits, or another process has
            its folder.
        EgofeatError: features cannot be extracted, or the disk refuses.
    """
    if asked.jobs > 1:
        end_if_started_again()
    plan = plan_sweep(asked)
    for what, why in plan.left_out:
        console.note(f"left out: {what}: {why}")
    with _alone(plan.out):
        if asked.study:
            replace_file(plan.out / "study.yaml", asked.study.read_bytes())
        extracted = plan.features.extract()
        if extracted and extracted.exit_code:
            console.note(extracted.failures_line())
        return report(plan, _fits(plan, asked.jobs, on_fit))


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    with locked(out / ".lock") as held:
        if not held:
            raise RequestError(
                f"another process is sweeping in {out}: wait for it, or name another with `out`"
            )
        yield


def _fits(plan: Plan, jobs: int, on_fit: Callable[[Fit], None]) -> list[Fit]:
    """Every fit, done or failed: those with the first seed, then the others.

    Only what is searched for has to wait: the others are trained with all seeds at once.
    """
    first, *others = plan.study.seed_list
    total = sum(len(one.grid) + len(others) for one in plan.candidates)
    under_way = UnderWay()
    with console.progress("training", total, "fits", beneath=under_way.table) as advance:

        def done(fits: Sequence[Fit]) -> list[Fit]:
            return _carried_out(plan, fits, jobs, _Told(advance, under_way, on_fit))

        wanted: list[Fit] = []
        for part in plan.parts:
            for one in part.candidates:
                begun = [make_fit(part, one, first, choice) for choice in one.grid]
                wanted += begun + (_with_seeds(plan, begun, others) if len(begun) == 1 else [])
        found = done(wanted)
        tried = [fit for fit in found if fit.seed == first]
        rest = [fit for fit in found if fit.seed != first]
        best = [choose([fit for fit in tried if fit.candidate is one]) for one in plan.candidates]
        rest += done(
            _with_seeds(plan, [one for one in best if len(one.candidate.grid) > 1], others)
        )
        places = {id(one): place for place, one in enumerate(plan.candidates)}
        rest.sort(key=lambda fit: places[id(fit.candidate)])
        return [replace(fit, chosen=fit in best) for fit in tried] + rest


@dataclass(frozen=True)
class _Told:
    """Who is told of trainings while they are carried out."""

    advance: console.Advance
    under_way: UnderWay
    on_fit: Callable[[Fit], None]


def _with_seeds(plan: Plan, fits: Sequence[Fit], seeds: Sequence[int]) -> list[Fit]:
    part_of = {part.name: part for part in plan.parts}
    return [
        make_fit(part_of[one.part], one.candidate, seed, one.tried)
        for one in fits
        for seed in seeds
    ]


def _carried_out(
    plan: Plan,
    fits: Sequence[Fit],
    jobs: int,
    told: "_Told",
) -> list[Fit]:
    """The fits, in their order, once each is done or has failed."""
    compute, rows = plan.features.compute, plan.parts[0].rows
    found = list(fits)
    left: dict[str, list[int]] = {}
    """Name to the places of a training, which a search and another line may both ask for."""
    for place, fit in enumerate(fits):
        if fit.asked and not fit.done():
            left.setdefault(fit.name, []).append(place)
    told.advance(len(fits) - sum(map(len, left.values())))
    told.under_way.watch(fits[places[0]] for places in left.values())

    def tell(name: str, failure: str) -> None:
        told.under_way.done(name)
        for place in left[name]:
            failure = failure or ("" if fits[place].done() else _NOTHING_LEFT)
            found[place] = fit = replace(fits[place], failure=failure)
            told.advance(1)
            console.note(f"{fit.label}: {failure or _figures(fit)}")
            told.on_fit(fit)

    trainings = {name: fits[places[0]].training for name, places in left.items()}
    if left and (compute.has_crew or (jobs > 1 and len(left) > 1)):
        start = partial(engine_for, compute, jobs)
        train_by_workers(trainings, plan.out / WORK, start, tell)
    elif left:
        known = {fit.name: fit.training for fit in fits if fit.asked}
        for name, failure in train_here(known, left, rows):
            tell(name, failure)
    return found


def _figures(fit: Fit) -> str:
    run = _finished(fit)
    figures = ", ".join(f"{name} {100 * of:.1f} %" for name, of in run.figures.items())
    return f"{figures}, {run.seconds or 0:.1f} s"


def _finished(fit: Fit) -> Finished:
    assert fit.path is not None, "what is done has a folder"
    return read_finished(fit.path)


def choose(fits: Sequence[Fit]) -> Fit:
    """The one of a candidate's fits that is best on the validation split; of several, the first.

    Each fit's figure is that which its training watched, of the main target; where it watched the
    loss, which other options change the meaning of, the main figure. Failed ones are the worst.
    """
    return max(fits, key=_watched)


def _watched(fit: Fit) -> float:
    if fit.failure:
        return -1.0
    run = _finished(fit)
    main = main_figure([run]) or ""
    watched = f"{main.rpartition('/')[0]}/{trainer_of(fit.config).monitor}"
    return run.metrics.get(watched, run.metrics.get(main, -1.0))

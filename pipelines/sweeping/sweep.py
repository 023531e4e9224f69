"""`egofeat sweep`: features first, then every fit, then one table."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from egofeat import console
from egofeat.errors import RequestError
from egofeat.pipelines.comparing.finished import Finished, main_figure, read_finished
from egofeat.pipelines.runs.claim import locked
from egofeat.pipelines.sweeping.fitting import Fit, make_fit
from egofeat.pipelines.sweeping.options import SweepConfig
from egofeat.pipelines.sweeping.planning import Plan, plan_sweep, trainer_of
from egofeat.pipelines.sweeping.report import Swept, report
from egofeat.pipelines.sweeping.workers import one_by_one, side_by_side
from egofeat.store.files import replace_file


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
    """Every fit, done or failed: those that are searched with the first seed, then the others."""
    first, *others = plan.study.seed_list
    total = sum(len(one.grid) + len(others) for one in plan.candidates)
    with console.progress("training", total, "fits") as advance:

        def done(fits: Sequence[Fit]) -> list[Fit]:
            return list(_carried_out(plan, fits, jobs, advance, on_fit))

        tried = done(
            [make_fit(plan, one, first, choice) for one in plan.candidates for choice in one.grid]
        )
        best = [choose([fit for fit in tried if fit.candidate is one]) for one in plan.candidates]
        rest = done(
            [make_fit(plan, one.candidate, seed, one.tried) for one in best for seed in others]
        )
        return [replace(fit, chosen=fit in best) for fit in tried] + rest


def _carried_out(
    plan: Plan,
    fits: Sequence[Fit],
    jobs: int,
    advance: console.Advance,
    on_fit: Callable[[Fit], None],
) -> Iterator[Fit]:
    """The fits, in their order, once each is done or has failed."""
    test = plan.study.splits.test
    found = list(fits)
    left = [k for k, fit in enumerate(fits) if not fit.failure and not fit.done(test)]
    advance(len(fits) - len(left))
    configs = [fits[k].config for k in left]
    if jobs > 1 and len(left) > 1:
        answers = side_by_side(configs, test, jobs)
    else:
        answers = one_by_one(configs, test, plan.rows)
    for place, failure in answers:
        found[left[place]] = fit = replace(fits[left[place]], failure=failure)
        advance(1)
        console.note(f"{fit.label}: {failure or _figures(fit)}")
        on_fit(fit)
    return iter(found)


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

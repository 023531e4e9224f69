"""What a sweep found: the table of `egofeat compare`, what each line of it costs, what failed."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from egofeat.errors import RequestError
from egofeat.pipelines.comparing.compare import Comparison, compare
from egofeat.pipelines.comparing.finished import read_finished
from egofeat.pipelines.comparing.options import CompareConfig
from egofeat.pipelines.sweeping.fitting import Fit
from egofeat.pipelines.sweeping.over_splits import Judged, MeanOfSplits, mean_of_splits
from egofeat.pipelines.sweeping.planning import Part, Plan
from egofeat.pipelines.sweeping.results import rows_of, write_results
from egofeat.pipelines.sweeping.spending import (
    Spent,
    rows_of_table,
    spent_on,
    table_of,
    write_table,
)
from egofeat.pipelines.sweeping.timings import Timings
from egofeat.store.files import replace_file
from egofeat.words import counted


@dataclass(frozen=True, kw_only=True)
class Swept:
    """A sweep, done."""

    name: str
    folder: str
    rows: tuple[dict[str, Any], ...]
    """A fit each."""
    comparison: Comparison | None
    """Of what was chosen; None where it cannot be compared."""
    uncompared: str
    """Why it cannot be; empty where it is."""
    spent: tuple[Spent, ...]
    """In the order of the comparison."""
    measured_on: str
    """Machine of the milliseconds."""
    left_out: tuple[tuple[str, str], ...]
    """What did not fit, and why."""
    failed: tuple[tuple[str, str], ...]
    """Fits that failed, and why."""
    files: tuple[str, ...]
    parts: "tuple[tuple[str, Swept], ...]" = ()
    """Name of each of several splits to what was found on it; `comparison` is of their mean."""

    @property
    def exit_code(self) -> int:
        """1 where a fit failed."""
        return int(bool(self.failed))

    def failures_line(self) -> str:
        """How many failed, and where the reasons are."""
        return (
            f"{counted(len(self.failed), 'fits')} of {len(self.rows)} failed: the reasons are in "
            f"{self.files[0]}; give the same command again to try them once more"
        )

    def to_dict(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        lines = {one.configuration: one.to_dict() for one in self.spent}
        none: dict[str, Any] = {"configurations": [], "uncompared": self.uncompared}
        found = self.comparison.to_dict() if self.comparison else none
        of_all = [line | lines[line["configuration"]] for line in found["configurations"]]
        parts = {"parts": {name: of.to_dict() for name, of in self.parts}} if self.parts else {}
        return {
            "name": self.name,
            "folder": self.folder,
            "measured_on": self.measured_on,
            **parts,
            **found,
            "configurations": of_all,
            "rows": list(self.rows),
            "left_out": [{"what": what, "reason": why} for what, why in self.left_out],
            "failed": [{"what": what, "reason": why} for what, why in self.failed],
            "files": list(self.files),
        }

    def compared(self) -> Iterator[str | Table]:
        """The comparison alone, or why there is none."""
        if self.comparison:
            *said, _ = self.comparison.lines()
            yield from said
        else:
            yield f"there is no table: {self.uncompared}"

    def lines(self) -> Iterator[str | Table]:
        """Each comparison, then what its lines cost; then what is not in it, and why."""
        for name, of in self.parts:
            yield f"split {name}"
            yield from of.compared()
        if self.comparison:
            if self.parts:
                yield f"mean of {len(self.parts)} splits"
            yield from self.compared()
            yield from table_of(self.spent)
            yield f"a clip in ms: networks and heads alone, {self.measured_on}"
        if self.uncompared:
            yield f"there is no table: {self.uncompared}"
        for what, why in self.left_out:
            yield f"left out: {what}: {why}"
        for what, why in self.failed:
            yield f"failed: {what}: {why}"
        if self.failed:
            yield self.failures_line()
        yield f"files: {', '.join(self.files)}"


@dataclass(frozen=True)
class _Part:
    """What a study came to on one of its splits."""

    part: Part
    swept: Swept
    by_run: Mapping[str, Fit]
    """Folder to what is compared."""
    table: Sequence[Mapping[str, object]]
    """Rows of table.csv."""


def report(plan: Plan, fits: Sequence[Fit]) -> Swept:
    """Compare what was chosen, and write all of it into the study's folder.

    Raises:
        StoreError: the disk refuses.
    """
    timings = Timings(plan.out / "timings.json", plan.features.compute.device)
    parts = [
        _of_part(plan, part, [fit for fit in fits if fit.part == part.name], timings)
        for part in plan.parts
    ]
    return parts[0].swept if len(parts) == 1 else _of_all(plan, parts, timings)


def _of_part(plan: Plan, part: Part, fits: Sequence[Fit], timings: Timings) -> _Part:
    """Compare on one of the splits, and write that into a folder of its own."""
    splits = part.study.split
    rows = rows_of(fits, splits.validation, splits.test)
    files = write_results(rows, part.out)
    good = [fit for fit in fits if fit.chosen and not fit.failure]
    comparison, uncompared = None, "nothing could be trained"
    if good:
        try:
            comparison, uncompared = _compare(plan, part, good), ""
        except RequestError as error:  # of heads that tell other things apart, or no such figure
            uncompared = str(error)
    by_run = {str(fit.path): fit for fit in good}
    spent = _spent(comparison, by_run, timings)
    table = rows_of_table(comparison, spent, lambda _: splits.test) if comparison else []
    if table:
        files.append(write_table(table, part.out / "table.csv"))
    swept = Swept(
        name=plan.study.name,
        folder=str(part.out),
        rows=tuple(rows),
        comparison=comparison,
        uncompared=uncompared,
        spent=tuple(spent),
        measured_on=timings.machine,
        left_out=part.left_out,
        failed=tuple((fit.label, fit.failure) for fit in fits if fit.failure),
        files=(*map(str, files), *(comparison.files if comparison else ())),
    )
    return _Part(part, swept, by_run, table)


def _of_all(plan: Plan, parts: Sequence[_Part], timings: Timings) -> Swept:
    """The splits one after the other, and their mean."""
    rows = [{"split": of.part.name, **row} for of in parts for row in of.swept.rows]
    columns = dict.fromkeys(name for row in rows for name in row if name != "failure")
    rows = [{name: row.get(name) for name in [*columns, "failure"]} for row in rows]
    files = write_results(rows, plan.out)
    comparison, uncompared, left_out = _mean(parts)
    table = [{"split": of.part.name, **row} for of in parts for row in of.table]
    by_run = {run: fit for of in parts for run, fit in of.by_run.items()}
    spent = _spent(comparison, by_run, timings)
    if comparison:
        of_mean = rows_of_table(comparison, spent, lambda run: by_run[run].test)
        table += [{"split": "mean", **row} for row in of_mean]
        files.append(plan.out / "comparison.json")
        text = json.dumps(comparison.to_dict(), indent=1) + "\n"
        replace_file(files[-1], text.encode())
    if table:
        files.append(write_table(table, plan.out / "table.csv"))
    return Swept(
        name=plan.study.name,
        folder=str(plan.out),
        rows=tuple(rows),
        comparison=comparison,
        uncompared=uncompared,
        spent=tuple(spent),
        measured_on=timings.machine,
        left_out=plan.left_out + left_out,
        failed=tuple(failed for of in parts for failed in of.swept.failed),
        files=(*map(str, files), *(of.swept.folder for of in parts)),
        parts=tuple((of.part.name, of.swept) for of in parts),
    )


def _mean(
    parts: Sequence[_Part],
) -> tuple[MeanOfSplits | None, str, tuple[tuple[str, str], ...]]:
    """The mean over the splits; else why there is none; and what is not in it, with the reason."""
    judged: list[Judged] = []
    for of in parts:
        if (comparison := of.swept.comparison) is None:
            return None, f"split {of.part.name}: {of.swept.uncompared}", ()
        if judged and comparison.figure != judged[0].comparison.figure:
            return None, f"split {of.part.name} has another main figure: name one by `figure`", ()
        test = of.part.study.split.test
        values = {
            run: read_finished(Path(run), test).metrics[comparison.figure] for run in of.by_run
        }
        judged.append(
            Judged(name=of.part.name, comparison=comparison, fits=of.by_run, values=values)
        )
    mean, lacking = mean_of_splits(judged)
    why = "not every split has a result of it with the same seed, so it is not in the mean"
    none = "" if mean else "no head has a result of one seed on every split"
    return mean, none, tuple((label, why) for label in lacking)


def _spent(
    comparison: Comparison | None, by_run: Mapping[str, Fit], timings: Timings
) -> list[Spent]:
    spent = []
    for line in comparison.lines_ if comparison else ():
        fit = by_run[line.runs[0]]
        assert fit.asked is not None, "what is in the table was trained"
        spent.append(spent_on(line, fit.asked, len(fit.candidate.grid), timings))
    return spent


def _compare(plan: Plan, part: Part, good: Sequence[Fit]) -> Comparison:
    baseline = next((fit.path for fit in good if fit.candidate.baseline), None)
    return compare(
        CompareConfig(
            runs=tuple(Path(str(fit.path)) for fit in good),
            figure=plan.study.figure,
            split=part.study.split.test,
            baseline=baseline,
            out=part.out,
            figures=plan.figures,
        )
    )

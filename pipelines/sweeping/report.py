"""What a sweep found: the table of `egofeat compare`, what each line of it costs, what failed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from egofeat.errors import RequestError
from egofeat.pipelines.comparing.compare import Comparison, compare
from egofeat.pipelines.comparing.options import CompareConfig
from egofeat.pipelines.sweeping.fitting import Fit
from egofeat.pipelines.sweeping.planning import Plan
from egofeat.pipelines.sweeping.results import rows_of, write_results
from egofeat.pipelines.sweeping.spending import Spent, spent_on, table_of, write_table
from egofeat.pipelines.sweeping.timings import Timings
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
        return {
            "name": self.name,
            "folder": self.folder,
            "measured_on": self.measured_on,
            **found,
            "configurations": of_all,
            "rows": list(self.rows),
            "left_out": [{"what": what, "reason": why} for what, why in self.left_out],
            "failed": [{"what": what, "reason": why} for what, why in self.failed],
            "files": list(self.files),
        }

    def lines(self) -> Iterator[str | Table]:
        """The comparison, then what its lines cost; then what is not in it, and why."""
        if self.comparison:
            *said, _ = self.comparison.lines()
            yield from said
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


def report(plan: Plan, fits: Sequence[Fit]) -> Swept:
    """Compare what was chosen, and write all of it into the study's folder.

    Raises:
        StoreError: the disk refuses.
    """
    splits = plan.study.splits
    rows = rows_of(fits, splits.validation, splits.test)
    files = write_results(rows, plan.out)
    good = [fit for fit in fits if fit.chosen and not fit.failure]
    comparison, uncompared = None, "nothing could be trained"
    if good:
        try:
            comparison, uncompared = _compare(plan, good), ""
        except RequestError as error:  # of heads that tell other things apart, or no such figure
            uncompared = str(error)
    by_run = {str(fit.path): fit for fit in good}
    timings = Timings(plan.out / "timings.json", plan.features.compute.device)
    spent = []
    for line in comparison.lines_ if comparison else ():
        fit = by_run[line.runs[0]]
        assert fit.asked is not None, "what is in the table was trained"
        spent.append(spent_on(line, fit.asked, len(fit.candidate.grid), timings))
    if comparison:
        files.append(write_table(comparison, spent, splits.test, plan.out / "table.csv"))
    return Swept(
        name=plan.study.name,
        folder=str(plan.out),
        rows=tuple(rows),
        comparison=comparison,
        uncompared=uncompared,
        spent=tuple(spent),
        measured_on=timings.machine,
        left_out=plan.left_out,
        failed=tuple((fit.label, fit.failure) for fit in fits if fit.failure),
        files=(*map(str, files), *(comparison.files if comparison else ())),
    )


def _compare(plan: Plan, good: Sequence[Fit]) -> Comparison:
    baseline = next((fit.path for fit in good if fit.candidate.baseline), None)
    return compare(
        CompareConfig(
            runs=tuple(Path(str(fit.path)) for fit in good),
            figure=plan.study.figure,
            split=plan.study.splits.test,
            baseline=baseline,
            out=plan.out,
            figures=plan.figures,
        )
    )

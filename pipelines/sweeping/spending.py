"""What each line of a sweep's table costs, counted and measured, and table.csv with all of it."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean

from rich.table import Table

from egofeat import console
from egofeat.pipelines.bench.tables import figure, known, operations, tables_with_key
from egofeat.pipelines.comparing.compare import Comparison, Line
from egofeat.pipelines.comparing.finished import Finished, read_finished
from egofeat.pipelines.runs.config import RunConfig
from egofeat.pipelines.sweeping.costs import Cost, cost_of, of_head
from egofeat.pipelines.sweeping.timings import Timings
from egofeat.store.files import replace_file

_HEADINGS = ("multiply-adds", "of head", "ms", "of head", "kept a clip", "% by G", "% by M")


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a line of the table costs; None of what cannot be counted or measured here."""

    configuration: str
    tried: int
    """Choices of the search that it is the best of on the validation split; 1: none was made."""
    cost: Cost
    head_multiply_adds: int | None
    """Of one clip."""
    features_ms: float | None
    """Of the networks for one clip, decoded already."""
    head_ms: float | None
    per_giga: float | None
    """The figure, in per cent, by 10⁹ multiply-adds a clip of the networks and the head."""
    per_million: float | None
    """The figure, in per cent, by 10⁶ parameters of both."""

    def to_dict(self) -> dict[str, float | None]:
        """Its columns in table.csv and `--json`."""
        own = {one.name: getattr(self, one.name) for one in fields(self)[3:]}
        ratios = {f"percent_{name}": own.pop(name) for name in ("per_giga", "per_million")}
        return {"tried": self.tried, **asdict(self.cost), **own, **ratios}

    def cells(self) -> list[str]:
        """A line of the table for people."""
        return [
            self.configuration,
            str(self.tried),
            known(self.cost.backbone_parameters, operations),
            known(self.cost.multiply_adds, operations),
            known(self.head_multiply_adds, operations),
            known(self.features_ms, figure),
            known(self.head_ms, figure),
            console.size(self.cost.clip_bytes),
            known(self.per_giga, lambda of: f"{of:.3g}"),
            known(self.per_million, lambda of: f"{of:.3g}"),
        ]


def spent_on(line: Line, asked: RunConfig, tried: int, timings: Timings) -> Spent:
    """What a line costs: one of its runs is counted, and measured where it was not yet."""
    cost, head = cost_of(asked.sources), of_head(asked)
    work, weights = _sum(cost.multiply_adds, head), _sum(cost.backbone_parameters, line.parameters)
    return Spent(
        configuration=line.configuration,
        tried=tried,
        cost=cost,
        head_multiply_adds=head,
        features_ms=timings.of_features(asked.sources),
        head_ms=timings.of_head(asked),
        per_giga=100 * line.mean / (work / 1e9) if work else None,
        per_million=100 * line.mean / (weights / 1e6) if weights else None,
    )


def _means(runs: Sequence[Finished]) -> dict[str, float]:
    """Every metric, the mean over seeds."""
    shared = [name for name in runs[0].metrics if all(name in run.metrics for run in runs)]
    return {name: fmean(run.metrics[name] for run in runs) for name in shared}


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def table_of(spent: Sequence[Spent]) -> Iterator[str | Table]:
    """What the lines cost, for people."""
    cells = [one.cells() for one in spent]
    return tables_with_key(["head", "tried", "backbone", *_HEADINGS], cells)


def rows_of_table(
    comparison: Comparison, spent: Sequence[Spent], split_of: Callable[[str], str | None]
) -> list[dict[str, object]]:
    """A row a configuration: how good it is and what it costs.

    Args:
        comparison: the lines.
        spent: on each.
        split_of: the split that judged a run; None: that of validation.
    """
    metrics = [
        _means([read_finished(Path(run), split_of(run)) for run in line.runs])
        for line in comparison.lines_
    ]
    shared = [name for name in metrics[0] if all(name in of for of in metrics)]
    rows = []
    for line, cost, means in zip(comparison.lines_, spent, metrics, strict=True):
        said = asdict(line)
        runs = said.pop("runs")
        rows.append({"configuration": said.pop("configuration"), "n": len(runs)} | said)
        rows[-1] |= cost.to_dict() | {name: means[name] for name in shared}
    return rows


def write_table(rows: Sequence[Mapping[str, object]], path: Path) -> Path:
    """Write table.csv; what only some rows have is empty in the others.

    Raises:
        StoreError: the disk refuses.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    replace_file(path, text.getvalue().encode())
    return path

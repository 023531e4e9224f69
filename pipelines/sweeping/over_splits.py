"""The mean over several splits: what a configuration is on each, averaged plainly."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from egofeat.pipelines.comparing.compare import Comparison, Line
from egofeat.pipelines.sweeping.fitting import Fit


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a study came to on one of its splits."""

    name: str
    """Of the splits."""
    comparison: Comparison
    fits: Mapping[str, Fit]
    """Folder of each run that is compared to its fit."""
    values: Mapping[str, float]
    """The same to its figure."""

    def lines(self) -> dict[str, Line]:
        """What the study says of a line, alike on all splits, to the line."""
        return {self.fits[line.runs[0]].candidate.label: line for line in self.comparison.lines_}

    def by_seed(self, line: Line) -> dict[int, str]:
        """Seed to run."""
        return {self.fits[run].seed: run for run in line.runs}


@dataclass(frozen=True, kw_only=True)
class MeanOfSplits(Comparison):
    """Configurations by the mean over splits; `n` of a line counts seeds times splits.

    The mean is that of the splits' means; the deviation is over seeds, each of which has a mean
    over the splits. Intervals and tests are of each split alone: test clips of several overlap.
    """

    splits: tuple[str, ...]
    seeds: tuple[int, ...]
    """How many seeds each line has on every split."""

    def how(self) -> Iterator[str]:
        """What ± is of."""
        yield (
            f"mean of splits {', '.join(self.splits)}, each counting the same; n: seeds × splits; "
            "±: over seeds, of their means over the splits; intervals and tests: of each split"
        )

    def to_dict(self) -> dict[str, Any]:
        """The object that `--json` prints and comparison.json holds."""
        whole = super().to_dict()
        seeds = whole.pop("seeds")
        for line, number in zip(whole["configurations"], seeds, strict=True):
            line["seeds"] = number
        return whole


def mean_of_splits(parts: Sequence[Judged]) -> tuple[MeanOfSplits | None, list[str]]:
    """The configurations that have a seed on every split; and those that have none.

    Args:
        parts: in the order of the splits, all of one figure.
    """
    of_parts = [part.lines() for part in parts]
    labels = list(dict.fromkeys(label for lines in of_parts for label in lines))
    found: list[tuple[Line, bool, int]] = []
    lacking = []
    for label in labels:
        lines = [of.get(label) for of in of_parts]
        whole = [line for line in lines if line is not None]
        made = _mean(label, whole, parts) if len(whole) == len(parts) else None
        if made is None:
            lacking.append(label)
        else:
            fit = parts[0].fits[whole[0].runs[0]]
            found.append((made, fit.candidate.baseline, len(made.runs) // len(parts)))
    if not found:
        return None, lacking
    found.sort(key=lambda of: -of[0].mean)
    reference = next((line for line, baseline, _ in found if baseline), found[0][0])
    first = parts[0].comparison
    lines_ = [_to(reference, line) for line, _, _ in found]
    return MeanOfSplits(
        figure=first.figure,
        split="mean",
        clips=None,
        sessions=None,
        reference=reference.configuration,
        lines_=tuple(lines_),
        disagreements=(),
        files=(),
        splits=tuple(part.name for part in parts),
        seeds=tuple(seeds for _, _, seeds in found),
    ), lacking


def _mean(label: str, lines: Sequence[Line], parts: Sequence[Judged]) -> Line | None:
    """Of one configuration, by its seeds that have a run on every split; None where none has."""
    runs = [part.by_seed(line) for part, line in zip(parts, lines, strict=True)]
    seeds = sorted(set.intersection(*map(set, runs)))
    if not seeds:
        return None
    means = [
        fmean(part.values[of[seed]] for part, of in zip(parts, runs, strict=True)) for seed in seeds
    ]
    called = {line.configuration for line in lines}
    seconds = [line.seconds for line in lines if line.seconds is not None]
    return Line(
        configuration=called.pop() if len(called) == 1 else label,
        runs=tuple(of[seed] for of in runs for seed in seeds),
        mean=fmean(means),
        deviation=stdev(means) if len(means) > 1 else None,
        low=None,
        high=None,
        difference=0.0,
        p=None,
        together=None,
        parameters=lines[0].parameters,
        seconds=fmean(seconds) if seconds else None,
    )


def _to(reference: Line, line: Line) -> Line:
    return Line(**vars(line) | {"difference": line.mean - reference.mean})

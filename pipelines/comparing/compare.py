"""`egofeat compare`: runs side by side, how sure their figures are, and where they disagree."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from egofeat.errors import RequestError
from egofeat.pipelines.bench.tables import known, operations, tables_with_key
from egofeat.pipelines.comparing.configurations import Configuration, configurations
from egofeat.pipelines.comparing.finished import (
    Finished,
    Scores,
    find_beside,
    main_figure,
)
from egofeat.pipelines.comparing.options import CompareConfig
from egofeat.pipelines.comparing.runs import duration, heading
from egofeat.pipelines.comparing.statistics import FEWEST, holm, interval, p_of_difference
from egofeat.pipelines.figures import style
from egofeat.pipelines.figures.runs import accuracies, curves
from egofeat.pipelines.runs.run import RunFolder
from egofeat.store.files import replace_file
from egofeat.words import counted


@dataclass(frozen=True, kw_only=True)
class Line:
    """A configuration in the table."""

    configuration: str
    runs: tuple[str, ...]
    mean: float
    """Of the figure, over seeds; a fraction."""
    deviation: float | None
    """Standard deviation over seeds; None of one."""
    low: float | None
    high: float | None
    """Ends of the 95 % interval of the mean, by a bootstrap over clips; None where it has none."""
    difference: float
    """From what differences are tested to."""
    p: float | None
    """Of the difference, corrected for how many are tested; None where it is not tested."""
    together: float | None
    """Of the mean softmax of all seeds; None of one seed, or where it has no interval."""
    parameters: int | None
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Configurations, the best first."""

    figure: str
    split: str
    clips: int | None
    """That all were judged on; None of a figure that is no mean over clips."""
    sessions: int | None
    reference: str
    """What differences are to."""
    lines_: tuple[Line, ...]
    disagreements: tuple[tuple[str, str, int, int], ...]
    """First, second, clips that only the first has right, clips that only the second has."""
    files: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The object that `--json` prints and comparison.json holds."""
        found = {name: of for name, of in asdict(self).items() if name != "lines_"}
        return found | {"configurations": [asdict(line) for line in self.lines_]}

    def lines(self) -> Iterator[str | Table]:
        """The table, how it was made, and where heads disagree."""
        headings = ["head", "n", f"{heading(self.figure)} ± sd", "95 % interval", "differs"]
        headings += ["p", "together", "weights", "time"]
        drawn = list(tables_with_key(headings, map(self._cells, self.lines_)))
        yield from drawn
        keyed = isinstance(drawn[-1], str)
        called = {of.configuration: str(n) for n, of in enumerate(self.lines_, 1)} if keyed else {}
        yield from self.how()
        for one, other, first, second in self.disagreements:
            left, right = called.get(one, one), called.get(other, other)
            yield f"right by {left} alone {first:,}, by {right} alone {second:,}"
        yield f"files: {', '.join(self.files)}"

    def how(self) -> Iterator[str]:
        """What the intervals and tests are of."""
        if self.clips is None:
            yield f"{self.figure} is no mean over clips: it has no interval here, and no test"
            return
        by = "them" if self.sessions == self.clips else f"their {self.sessions:,} groups"
        if self.sessions and self.sessions < FEWEST:
            by = f"them, since {self.sessions} groups are too few: it may be too narrow"
        test = f"; p: paired permutation test against {self.reference}, corrected by Holm"
        yield (
            f"{counted(self.clips, 'clips')} of {self.split}; 95 % interval: bootstrap over "
            f"{by}{test if len(self.lines_) > 1 else ''}"
        )

    def _cells(self, line: Line) -> list[str]:
        span = None if line.low is None or line.high is None else (line.low, line.high)
        is_reference = line.configuration == self.reference
        return [
            line.configuration,
            str(len(line.runs)),
            f"{100 * line.mean:.1f}"
            + known(line.deviation, lambda of: f" ± {100 * of:.1f}").strip("–"),
            known(span, lambda ends: f"{100 * ends[0]:.1f}–{100 * ends[1]:.1f}"),
            "–" if is_reference else f"{100 * line.difference:+.1f}",
            known(line.p, lambda p: f"{p:.3f}" if p >= 0.001 else "< 0.001"),
            known(line.together, lambda of: f"{100 * of:.1f}"),
            known(line.parameters, operations),
            known(line.seconds, duration),
        ]


def compare(asked: CompareConfig) -> Comparison:
    """Compare runs by a figure, on the clips that all were judged on, and write what was found.

    Raises:
        RequestError: no such runs or figure, or no clip in common.
        StoreError: the disk refuses.
    """
    found, baseline = find_beside(asked.runs, asked.baseline, asked.split)
    if unfinished := [str(one.path) for one in found if not one.metrics]:
        raise RequestError(
            f"run {unfinished[0]} has no metrics of {asked.split or 'its validation split'}: "
            f"finish it, or give egofeat evaluate {unfinished[0]}"
            f"{f' --split {asked.split}' if asked.split else ''}"
        )
    with style.also(asked.figures):
        return _written(compare_runs(found, asked.figure, asked.split, baseline), asked.out)


@dataclass(frozen=True)
class Compared:
    """A comparison, and of what it is."""

    comparison: Comparison
    ranked: Sequence[Configuration]
    """In the order of its lines."""
    scores: Sequence[Scores] | None
    """Of each, on the clips that all were judged on; None of a figure that is no mean over them."""


def compare_runs(
    found: Sequence[Finished],
    figure: str | None = None,
    split: str | None = None,
    baseline: Finished | None = None,
) -> Compared:
    """Compare runs that have metrics, and write nothing.

    Args:
        found: the runs.
        figure: a metric; None takes the main one that all have.
        split: on which they were evaluated; None means that which each was validated on.
        baseline: one of the runs, to whose configuration differences are tested; None: the best.

    Raises:
        RequestError: no such figure, other classes, or no clip in common.
    """
    figure = figure or main_figure(found)
    if figure is None:
        raise RequestError(
            f"runs {found[0].path} and {found[-1].path} have no main metric in common: compare "
            "runs on one data set, or name a metric of all with `figure`"
        )
    refuse_other_classes(found, figure.split("/")[0])
    ranked = sorted(configurations(found), key=lambda of: -of.mean(figure))
    reference = ranked[0]
    if baseline:
        here = baseline.path.resolve()
        reference = next(of for of in ranked if here in {one.path.resolve() for one in of.runs})
    scores = _in_common(ranked, figure, split)
    together = [of.together(figure, split) if len(of.runs) > 1 else None for of in ranked]
    lines = _lines(ranked, figure, scores, together, ranked.index(reference))
    first = next(iter(scores or []), None)
    comparison = Comparison(
        figure=figure,
        split=split or found[0].config.splits.val,
        clips=None if first is None else len(first.ids),
        sessions=None if first is None else len(np.unique(first.sessions)),
        reference=reference.label,
        lines_=tuple(lines),
        disagreements=tuple(_disagreements(ranked, scores or [])),
        files=(),
    )
    return Compared(comparison, ranked, scores)


def refuse_other_classes(runs: Sequence[Finished], target: str) -> None:
    """Refuse runs whose heads tell other classes of a target apart.

    Raises:
        RequestError: it names two of them.
    """
    parts = ("verb", "noun") if target == "action" else (target,)
    for run in runs[1:]:
        if any(run.config.classes.get(p) != runs[0].config.classes.get(p) for p in parts):
            raise RequestError(
                f"runs {runs[0].path} and {run.path} tell other classes of '{target}' apart: "
                "compare runs on one data set"
            )


def _in_common(
    ranked: Sequence[Configuration], figure: str, split: str | None
) -> list[Scores] | None:
    """Scores of the clips that all configurations were judged on; None of no mean over clips."""
    scores = [of.scores(figure, split) for of in ranked]
    known_ = [one for one in scores if one is not None]
    if len(known_) < len(scores):
        return None
    ids = known_[0].ids
    for one in known_[1:]:
        ids = np.intersect1d(ids, one.ids)
    if not len(ids):
        raise RequestError(
            f"runs {ranked[0].runs[0].path} and {ranked[1].runs[0].path} were judged on no segment "
            "in common: evaluate them on one split of one data set"
        )
    return [one.of(ids) for one in known_]


def _lines(
    ranked: Sequence[Configuration],
    figure: str,
    scores: Sequence[Scores] | None,
    together: Sequence[Scores | None],
    reference: int,
) -> Iterator[Line]:
    means = [of.mean(figure) for of in ranked]
    spans: list[tuple[float, float] | None] = [None] * len(ranked)
    corrected: dict[int, float] = {}
    if scores is not None:
        means = [float(one.right.mean()) for one in scores]
        spans = [interval(one.right, one.sessions) for one in scores]
        to = scores[reference]
        others = [place for place in range(len(ranked)) if place != reference]
        tests = [p_of_difference(scores[k].right, to.right, to.sessions) for k in others]
        corrected = dict(zip(others, holm(tests), strict=True))
    for place, (of, mean, span) in enumerate(zip(ranked, means, spans, strict=True)):
        as_one = together[place]
        if as_one is not None and scores is not None:
            as_one = as_one.of(scores[place].ids)
        yield Line(
            configuration=of.label,
            runs=tuple(str(run.path) for run in of.runs),
            mean=mean,
            deviation=of.deviation(figure),
            low=span and span[0],
            high=span and span[1],
            difference=mean - means[reference],
            p=corrected.get(place),
            together=None if as_one is None else float(as_one.right.mean()),
            parameters=of.parameters,
            seconds=of.seconds,
        )


def _disagreements(
    ranked: Sequence[Configuration], scores: Sequence[Scores]
) -> Iterator[tuple[str, str, int, int]]:
    """Of the best and each other: how many clips one has right by most seeds, and the other not."""
    for of, one in list(zip(ranked, scores, strict=bool(scores)))[1:]:
        first, second = scores[0].right > 0.5, one.right > 0.5
        yield ranked[0].label, of.label, int((first & ~second).sum()), int((second & ~first).sum())


def _written(compared: Compared, out: Path) -> Comparison:
    """Write tables and pictures."""
    comparison, ranked, scores = compared.comparison, compared.ranked, compared.scores
    out.mkdir(parents=True, exist_ok=True)
    names = [of.label for of in ranked]
    histories = {of.label: [RunFolder(run.path).history() for run in of.runs] for of in ranked}
    files = [out / "comparison.csv", out / "comparison.json"]
    if scores is not None:
        files.append(out / "disagreements.csv")
        replace_file(files[-1], _table_of_clips(names, scores).encode())
    spans = [(line.mean, line.low, line.high) for line in comparison.lines_]
    title = f"{in_words(comparison.figure)}, {comparison.split}"
    files.append(accuracies(names, spans, out / "comparison.png", title))
    if drawn := curves(histories, comparison.figure, out / "curves.png"):
        files.append(drawn)
    whole = Comparison(**vars(comparison) | {"files": tuple(map(str, files))})
    text = io.StringIO()
    rows = [asdict(line) | {"runs": " ".join(line.runs)} for line in whole.lines_]
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    replace_file(files[0], text.getvalue().encode())
    replace_file(files[1], (json.dumps(whole.to_dict(), indent=1) + "\n").encode())
    return whole


def in_words(figure: str) -> str:
    """A metric as the title of a picture: `verb/top1` is `Verb, top-1 accuracy (%)`."""
    *of, kind = figure.split("/")
    kind = f"top-{kind[3:]} accuracy" if kind.startswith("top") else kind.replace("_", " ")
    subject = " ".join(of)
    return f"{subject[:1].upper()}{subject[1:]}, {kind} (%)"


def _table_of_clips(names: Sequence[str], scores: Sequence[Scores]) -> str:
    """CSV: clips that not all have right alike, and what part of the seeds of each has them."""
    right_NK: NDArray[np.float64] = np.stack([one.right for one in scores], axis=1)
    apart = np.ptp(right_NK, axis=1)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["id", "group", *names])
    for row in np.argsort(-apart, kind="stable"):
        if apart[row] > 0:
            writer.writerow([scores[0].ids[row], scores[0].sessions[row], *right_NK[row].round(3)])
    return text.getvalue()

"""Runs that differ by nothing but their seeds, taken together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np

from egofeat import console
from egofeat.errors import RequestError
from egofeat.pipelines.comparing.finished import Finished, Scores, read_scores
from egofeat.pipelines.comparing.settings import SEED, SEEDS, labels


@dataclass(frozen=True)
class Configuration:
    """What was asked for, but the seed; and the runs of it."""

    label: str
    """The head, and what else tells it from the others."""
    runs: tuple[Finished, ...]
    """In the order of their seeds."""

    @property
    def settings(self) -> Mapping[str, str]:
        """What was asked for; the seed is that of the first run."""
        return self.runs[0].settings

    @property
    def parameters(self) -> int | None:
        """Trainable, of the head."""
        return self.runs[0].parameters

    @property
    def seconds(self) -> float | None:
        """Of a training, on average."""
        known = [one.seconds for one in self.runs if one.seconds is not None]
        return mean(known) if known else None

    def mean(self, figure: str) -> float:
        """The average over seeds."""
        return mean(self.values(figure))

    def deviation(self, figure: str) -> float | None:
        """Standard deviation over seeds, of a sample; None of one seed."""
        values = self.values(figure)
        return stdev(values) if len(values) > 1 else None

    def values(self, figure: str) -> list[float]:
        """A figure of each run.

        Raises:
            RequestError: one has it not.
        """
        for run in self.runs:
            if figure not in run.metrics:
                told = ", ".join(run.metrics) or "none: it is not finished, or not evaluated there"
                raise RequestError(f"run {run.path} has no figure {figure}; it has {told}")
        return [run.metrics[figure] for run in self.runs]

    def scores(self, figure: str, split: str | None) -> Scores | None:
        """Part of the seeds that have a clip right; None of what is no mean over clips.

        Raises:
            RequestError: the runs were judged on other clips.
        """
        if (together := self.together(figure, split)) is None:
            return None
        each = [read_scores([run], figure, split) for run in self.runs]
        right = np.mean([one.right for one in each if one is not None], axis=0)
        return Scores(ids=together.ids, sessions=together.sessions, right=right)

    def together(self, figure: str, split: str | None) -> Scores | None:
        """Which clips the mean softmax of all seeds has right; None as `scores`."""
        return read_scores(self.runs, figure, split)


def configurations(runs: Sequence[Finished]) -> list[Configuration]:
    """Take runs together, in the order of the first of each; of one seed twice, the first."""
    alike: dict[tuple[tuple[str, str], ...], list[Finished]] = {}
    for run in runs:
        key = tuple((name, of) for name, of in run.settings.items() if name not in SEEDS)
        seeds = alike.setdefault(key, [])
        if same := [one for one in seeds if _seeds(one) == _seeds(run)]:
            console.note(f"{run.path} is the same training as {same[0].path}: it counts once")
        else:
            seeds.append(run)
    groups = [sorted(group, key=lambda run: int(run.settings[SEED])) for group in alike.values()]
    names = labels([dict(key) for key in alike])
    return [Configuration(name, tuple(of)) for name, of in zip(names, groups, strict=True)]


def _seeds(run: Finished) -> list[str]:
    return [run.settings[name] for name in SEEDS]

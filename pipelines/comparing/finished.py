"""Finished runs: what each was asked for, how long it took, how good it is, and on which clips."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat.errors import RequestError
from egofeat.heads.measures.metrics import best_classes, top_pairs
from egofeat.pipelines.comparing.settings import settings_of
from egofeat.pipelines.kept import find_runs
from egofeat.pipelines.runs.config import RunConfig, Training, read_config
from egofeat.pipelines.runs.files import compare
from egofeat.pipelines.training.views import mean_of_views
from egofeat.store.bounded import read_bounded
from egofeat.words import nearest

_MOST_METRICS = 64 << 20
_MOST_PREDICTIONS = 16 << 30
"""Bytes."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How a run did on each clip of a split that is annotated with a target, in one order of ids.

    `right` are fractions: 0 and 1 of one run, between them the mean over several.
    """

    ids: NDArray[np.str_]
    sessions: NDArray[np.str_]
    """Group of each clip, or its video; the clip itself in a run of before this was kept."""
    right: NDArray[np.float64]

    def of(self, ids: NDArray[np.str_]) -> "Scores":
        """Those of some of the ids, which are sorted."""
        rows = np.searchsorted(self.ids, ids)
        return Scores(ids=ids, sessions=self.sessions[rows], right=self.right[rows])


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A run that was trained and evaluated, or one that was begun."""

    path: Path
    config: RunConfig
    metrics: Mapping[str, float]
    """`<target>/<figure>` to a fraction, of the split that was asked for; empty if not finished."""
    segments: int
    segments_of_split: int

    @cached_property
    def settings(self) -> dict[str, str]:
        """What it was asked for, see `settings_of`."""
        return settings_of(self.config)

    @property
    def figures(self) -> dict[str, float]:
        """The main figure of each target: top-1, or mAP of several classes a row."""
        ends = ("/top1", "/mAP")
        return {n: of for n, of in self.metrics.items() if n.count("/") == 1 and n.endswith(ends)}

    @property
    def parameters(self) -> int | None:
        """Trainable, of the head."""
        return self.config.result.parameters if self.config.result else None

    @property
    def seconds(self) -> float | None:
        """That the training took."""
        return sum(one.seconds for one in self._training) if self._training else None

    @property
    def epochs(self) -> float | None:
        """Trained; of several heads, by the one that was trained longest."""
        return max((one.epochs for one in self._training), default=None)

    @property
    def best_epoch(self) -> float | None:
        """Whose weights were kept; of several heads, the last of theirs."""
        return max((one.best_epoch for one in self._training), default=None)

    @property
    def _training(self) -> Sequence[Training]:
        return self.config.result.training if self.config.result else ()


def main_figure(runs: Sequence[Finished]) -> str | None:
    """The figure that runs are compared by: of actions if all have it, else the first of all."""
    shared = [name for name in runs[0].figures if all(name in one.figures for one in runs)]
    return "action/top1" if "action/top1" in shared else next(iter(shared), None)


def find_finished(paths: Sequence[Path], split: str | None = None) -> list[Finished]:
    """Runs at some paths: themselves, or those up to two folders below, by name.

    Args:
        paths: of runs, or of folders of runs.
        split: whose metrics; None means that which each run was validated on.

    Raises:
        RequestError: there is none at one of them, or one is damaged.
    """
    return [read_finished(path, split) for path in find_paths(paths)]


def find_beside(
    paths: Sequence[Path], baseline: Path | None, split: str | None
) -> tuple[list[Finished], Finished | None]:
    """As `find_finished`, and the run that differences are to, which is one of them.

    Raises:
        RequestError: as `find_finished`.
    """
    found = find_finished(paths, split)
    if baseline is None:
        return found, None
    beside = read_finished(baseline, split)
    if beside.path.resolve() not in {one.path.resolve() for one in found}:
        found.append(beside)
    return found, beside


def find_paths(paths: Sequence[Path]) -> list[Path]:
    """Folders of the runs at some paths, each once.

    Raises:
        RequestError: there is none at one of them.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        runs = find_runs(path)
        if not runs and (of_splits := sorted(path.glob("*/results.csv"))):
            raise RequestError(
                f"{path} is a sweep on several splits: name the folder of one, such as "
                f"{of_splits[0].parent}"
            )
        if not runs and (path / "results.csv").is_file():
            raise RequestError(
                f"there is no run in the sweep {path}, where all failed: its results.csv has the "
                "reasons; mend them, and give the sweep again"
            )
        if not runs:
            raise RequestError(
                f"there is no run at {path}: name a folder that egofeat fit-head has made, or one "
                "of such folders"
            )
        for run in runs:
            found.setdefault(run.resolve(), run)
    return list(found.values())


def read_finished(path: Path, split: str | None = None) -> Finished:
    """What a run's folder tells.

    Raises:
        RequestError: it is no run, or damaged.
    """
    config = read_config(path)
    file = _metrics_of(path, config, split)
    said = {}
    try:
        content = read_bounded(file, _MOST_METRICS)
        compare(file, content, "give the command of its egofeat evaluate again")
        said = json.loads(content)
        metrics = {name: of for name, of in said.items() if "/" in name and isinstance(of, float)}
    except FileNotFoundError:
        metrics = {}
    except ValueError:
        raise RequestError(
            f"{file} is damaged: give the command of its egofeat evaluate again"
        ) from None
    return Finished(
        path=path,
        config=config,
        metrics=metrics,
        segments=said.get("segments", 0),
        segments_of_split=said.get("segments_of_split", 0),
    )


def read_scores(runs: Sequence[Finished], figure: str, split: str | None = None) -> Scores | None:
    """Whether a run has each clip right, by `<target>/top<k>`; or several by their mean softmax.

    Args:
        runs: of one data set and one split.
        figure: a metric.
        split: as `read_finished`.

    Returns:
        None where the figure is no mean over clips, as mAP is not.

    Raises:
        RequestError: a run has no such figure, or no predictions that can be read; or they are
            of different segments.
    """
    target, _, kind = figure.rpartition("/")
    for run in runs:
        if figure not in run.metrics:
            known = nearest(figure, [*run.metrics])
            raise RequestError(f"run {run.path} has no figure {figure}: {known}")
    if not kind.removeprefix("top").isdigit() or "/" in target:
        return None
    said = read_answers(runs, target, split)
    right = _hits(said.logits, said.truth, int(kind.removeprefix("top")))
    return Scores(ids=said.ids, sessions=said.sessions, right=right)


def read_answers(runs: Sequence[Finished], target: str, split: str | None = None) -> "Answers":
    """What a run says of each clip, or several by the logarithm of their mean softmax.

    Args:
        runs: of one data set and one split.
        target: of theirs, or `action`.
        split: as `read_finished`.

    Raises:
        RequestError: as `read_scores`.
    """
    said = [Answers.read(run, target, split) for run in runs]
    for run, one in zip(runs[1:], said[1:], strict=True):
        if not np.array_equal(one.ids, said[0].ids):
            raise RequestError(
                f"runs {runs[0].path} and {run.path} were evaluated on different segments: give "
                "egofeat evaluate again for both"
            )
    logits = [
        mean_of_views(torch.stack([one.logits[part] for one in said], dim=1))
        for part in range(len(said[0].logits))
    ]
    return replace(said[0], logits=logits)


@dataclass(frozen=True)
class Answers:
    """What a run says of the clips that are annotated with a target, in the order of their ids."""

    ids: NDArray[np.str_]
    sessions: NDArray[np.str_]
    logits: list[Tensor]
    """Of the target, or of verb and noun, `[clips,classes]`."""
    truth: Tensor
    """`[clips, 1 or 2]`."""

    @classmethod
    def read(cls, run: Finished, target: str, split: str | None) -> Self:
        """Those of a run; RequestError where there are none."""
        file = run.path / f"predictions{_suffix(run.config, split)}.npz"
        try:
            with np.load(file, allow_pickle=False) as arrays:
                both = target == "action" and "logits_action" not in arrays
                parts = ["verb", "noun"] if both else [target]
                truth = np.stack([arrays[f"labels_{part}"] for part in parts], axis=1)
                ids = arrays["ids"]
                rows = np.argsort(ids, kind="stable")
                rows = rows[(truth[rows] >= 0).all(axis=1)]
                return cls(
                    ids=ids[rows],
                    sessions=arrays["sessions" if "sessions" in arrays else "ids"][rows],
                    logits=[torch.from_numpy(arrays[f"logits_{part}"][rows]) for part in parts],
                    truth=torch.from_numpy(truth[rows]),
                )
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            raise RequestError(
                f"{file} is absent or damaged: give egofeat evaluate {run.path} again"
            ) from None


def _hits(logits: Sequence[Tensor], truth: Tensor, k: int) -> NDArray[np.float64]:
    """Whether the truth is among the k best, `[clips]`."""
    if len(logits) == 2:
        guesses = top_pairs(logits[0], logits[1], k)
    else:
        guesses = best_classes(logits[0], k)[:, :, None]
    hits = (guesses == truth[:, None]).all(dim=2)[:, :k].any(dim=1)
    return np.asarray(hits.double())


def file_of(run: Finished, split: str | None) -> Path:
    """Where the metrics of a split stand; None is the validation split."""
    return _metrics_of(run.path, run.config, split)


def _metrics_of(path: Path, config: RunConfig, split: str | None) -> Path:
    return path / f"metrics{_suffix(config, split)}.json"


def _suffix(config: RunConfig, split: str | None) -> str:
    return "" if split in (None, config.splits.val) else f"-{split}"

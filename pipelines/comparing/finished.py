"""Finished runs: what each was asked for, how long it took, how good it is, and on which clips."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from egofeat.errors import RequestError
from egofeat.heads.measures.metrics import best_classes, top_pairs
from egofeat.pipelines.comparing.settings import settings_of
from egofeat.pipelines.kept import find_runs
from egofeat.pipelines.training.run_config import RunConfig, Training, read_config
from egofeat.pipelines.training.run_files import compare
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
    def main(self) -> str | None:
        """The figure that heads are told apart by: of actions if there are any, else the first."""
        return "action/top1" if "action/top1" in self.metrics else next(iter(self.figures), None)

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


def find_finished(paths: Sequence[Path], split: str | None = None) -> list[Finished]:
    """Runs at some paths: themselves, or those up to two folders below, by name.

    Args:
        paths: of runs, or of folders of runs.
        split: whose metrics; None means that which each run was validated on.

    Raises:
        RequestError: there is none at one of them, or one is damaged.
    """
    found: dict[Path, Finished] = {}
    for path in paths:
        runs = find_runs(path)
        if not runs:
            raise RequestError(
                f"there is no run at {path}: name a folder that egofeat fit-head has made, or one "
                "of such folders"
            )
        for run in runs:
            found.setdefault(run.resolve(), read_finished(run, split))
    return list(found.values())


def read_finished(path: Path, split: str | None = None) -> Finished:
    """What a run's folder tells.

    Raises:
        RequestError: it is no run, or damaged.
    """
    config = read_config(path)
    file = path / f"metrics{_suffix(config, split)}.json"
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


def read_scores(run: Finished, figure: str, split: str | None = None) -> Scores | None:
    """Whether a run has each clip right, by `<target>/top<k>`.

    Returns:
        None where the figure is no mean over clips, as mAP is not.

    Raises:
        RequestError: the run has no such figure, or no predictions that can be read.
    """
    target, _, kind = figure.rpartition("/")
    if figure not in run.metrics:
        raise RequestError(
            f"run {run.path} has no figure {figure}: {nearest(figure, [*run.metrics])}"
        )
    if not kind.removeprefix("top").isdigit() or "/" in target:
        return None
    file = run.path / f"predictions{_suffix(run.config, split)}.npz"
    try:
        with np.load(file, allow_pickle=False) as arrays:
            present, hits = _hits(arrays, target, int(kind.removeprefix("top")))
            ids = arrays["ids"][present]
            sessions = arrays["sessions"][present] if "sessions" in arrays else ids
    except (OSError, ValueError, KeyError):
        raise RequestError(
            f"{file} is absent or damaged: give egofeat evaluate {run.path} again"
        ) from None
    order = np.argsort(ids, kind="stable")
    return Scores(ids=ids[order], sessions=sessions[order], right=hits[order])


def _hits(
    arrays: Mapping[str, NDArray[np.generic]], target: str, k: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which rows are annotated `[N]`, and of these whether the truth is among the k best."""
    parts = ["verb", "noun"] if target == "action" and "logits_action" not in arrays else [target]
    logits = [torch.from_numpy(arrays[f"logits_{part}"]) for part in parts]
    truth = torch.stack([torch.from_numpy(arrays[f"labels_{part}"]) for part in parts], dim=1)
    present = (truth >= 0).all(dim=1)
    if len(parts) == 2:
        guesses = top_pairs(logits[0][present], logits[1][present], k)
    else:
        guesses = best_classes(logits[0][present], k)[:, :, None]
    hits = (guesses == truth[present][:, None]).all(dim=2)[:, :k].any(dim=1)
    return present.numpy(), hits.double().numpy()


def _suffix(config: RunConfig, split: str | None) -> str:
    return "" if split in (None, config.splits.val) else f"-{split}"

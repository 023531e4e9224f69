"""`egofeat ensemble`: several runs as one classifier, whose answer is the mean of theirs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.pipelines.comparing.finished import find_paths
from egofeat.pipelines.comparing.options import EnsembleConfig
from egofeat.pipelines.figures import style
from egofeat.pipelines.runs import CONFIG
from egofeat.pipelines.runs.rows import open_run_store
from egofeat.pipelines.runs.run import Run, load_run
from egofeat.pipelines.runs.targets import coverage
from egofeat.pipelines.runs.trained_on import judge
from egofeat.pipelines.training.evaluate import (
    Predicted,
    draw_confusions,
    measure,
    predict_split,
    write_classes,
    write_predictions,
)
from egofeat.pipelines.training.evaluation import Evaluation, write_evaluation
from egofeat.pipelines.training.views import mean_of_views
from egofeat.store import Rows
from egofeat.words import counted


@dataclass(frozen=True, kw_only=True)
class Ensembled(Evaluation):
    """How good several runs are together; `alone` has the metrics of each."""

    def to_dict(self) -> dict[str, Any]:
        """Return the object that metrics.json and `--json` hold."""
        whole = super().to_dict()
        return {("members" if name == "stores" else name): of for name, of in whole.items()}


@dataclass(frozen=True)
class _Member:
    """A run, and what it says of the split."""

    run: Run
    store: Rows
    said: Predicted

    @property
    def ids(self) -> list[str]:
        """Of the segments, in order."""
        ids: list[str] = self.store.ids[self.said.rows].tolist()
        return ids


def ensemble(asked: EnsembleConfig) -> Ensembled:
    """Evaluate runs together, on the segments of a split that the stores of all have.

    Raises:
        RequestError: fewer than two runs, of different classes or on persons; or the split has
            segments that trained one of them.
        StoreError: a store of theirs is absent.
    """
    runs = [load_run(path) for path in find_paths(asked.runs)]
    if len(runs) < 2:
        raise RequestError(f"{runs[0].path} is one run, and an ensemble has several: name another")
    if (asked.out / CONFIG).exists():
        raise RequestError(f"{asked.out} is a run: name another folder with `out`")
    for run in runs[1:]:
        _refuse_other_classes(runs[0], run)
    split = asked.split or runs[0].config.splits.val
    members = [_member(run, split, asked.device) for run in runs]
    first = members[0]
    together = replace(first.run, path=asked.out, head=first.run.head.members[0])
    predicted = _mean(members, list(_in_common(members)))
    figures, alone = measure(together, first.store, predicted)
    with style.also(asked.figures):
        pictures = tuple(draw_confusions(together, predicted, split, ""))
    evaluation = Ensembled(
        run=asked.out,
        split=split,
        segments=len(predicted.rows),
        segments_of_split=coverage(first.store, split).of_split,
        labelled=predicted.labelled,
        trained_on=0,  # or `judge` had refused it
        metrics=figures,
        warnings=(
            *(f"holds {run.path.name}, which {one}" for run in runs for one in run.warnings),
            *predicted.warnings(),
        ),
        pictures=pictures,
        alone={str(run.path): of for run, of in zip(runs, alone, strict=True)},
    )
    write_predictions(asked.out / "predictions.npz", first.store, predicted)
    write_classes(together, predicted, "")
    write_evaluation(evaluation, "")
    return evaluation


def _refuse_other_classes(first: Run, run: Run) -> None:
    if run.config.classes != first.config.classes:
        raise RequestError(
            f"runs {first.path} and {run.path} tell other classes apart: name runs on one target "
            "of one data set"
        )


def _member(run: Run, split: str, device: str) -> _Member:
    store = open_run_store(run)
    if split == run.config.splits.train:
        raise RequestError(
            f"run {run.path} was trained on '{split}': name another split with `split`"
        )
    judge(run, store, split)
    run.head.to(choose_device(device))
    return _Member(run, store, predict_split(run, store, split))


def _in_common(members: Sequence[_Member]) -> Iterator[str]:
    """Ids of the segments that every member has, in the order of the first.

    Raises:
        RequestError: there is none.
    """
    shared = set.intersection(*(set(one.ids) for one in members))
    if not shared:
        raise RequestError(
            f"the stores of runs {members[0].run.path} and {members[1].run.path} have no segment "
            "in common: name runs on one data set"
        )
    yield from (id_ for id_ in members[0].ids if id_ in shared)


def _mean(members: Sequence[_Member], ids: Sequence[str]) -> Predicted:
    """What the members say of some ids, and the log of the mean of their softmaxes."""
    parts: list[dict[str, Tensor]] = []
    rows = np.empty(0, np.int64)
    for one in reversed(members):  # rows, and labels, are those of the first
        place = {id_: number for number, id_ in enumerate(one.ids)}
        rows = np.array([place[id_] for id_ in ids])
        parts.insert(0, {target: of[rows].float() for target, of in one.said.logits.items()})
    labels = {target: of[rows] for target, of in members[0].said.labels.items()}
    logits = {
        target: mean_of_views(torch.stack([part[target] for part in parts], dim=1))
        for target in labels
    }
    return Predicted(members[0].said.rows[rows], parts, logits, labels)


def said(found: Ensembled) -> list[str]:
    """The ensemble for people, and how many runs it is of."""
    return [f"{counted(len(found.alone), 'runs')} together: {found.run}", *found.lines()]

"""`egofeat evaluate`: a run's head on a split: figures, predictions, confusion matrices."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.heads.fusion import WeightedHeads
from egofeat.heads.measures.classes import ByClass, by_class
from egofeat.heads.measures.metrics import collapse_warning, metrics
from egofeat.heads.training.passes import predict
from egofeat.pipelines.figures import style
from egofeat.pipelines.figures.classes import confusion_matrix
from egofeat.pipelines.runs import Places
from egofeat.pipelines.runs.files import write_file
from egofeat.pipelines.runs.rows import open_run_rows, open_run_store
from egofeat.pipelines.runs.run import Run, load_run
from egofeat.pipelines.runs.targets import coverage, is_labelled, split_names
from egofeat.pipelines.runs.trained_on import judge
from egofeat.pipelines.training.class_tables import class_table, confusion_table
from egofeat.pipelines.training.evaluate_persons import evaluate_persons
from egofeat.pipelines.training.evaluation import Evaluation, write_arrays, write_evaluation
from egofeat.pipelines.training.gaze import gaze_figures
from egofeat.pipelines.training.views import Views, predict_views, view_of
from egofeat.store import PersonRows, Rows


def evaluate(
    run: Path,
    split: str | None = None,
    store: Places | None = None,
    *,
    views: tuple[int, int] | None = None,
    device: str = "auto",
    figures: str = "png",
) -> Evaluation:
    """Evaluate a run's head on a split of the store that it was trained on.

    Args:
        run: folder that `fit_head` made.
        split: None means the run's validation split.
        store: where the store lies, if no longer where it was; of a run on several stores,
            each of them in the order of its config.
        views: (clips, crops) that the store has of a segment: the head sees each alone, and their
            softmaxes are averaged. The store may have more of them than the run was trained on.
        device: where to run.
        figures: format of figures beside PNG.

    Raises:
        RequestError: no such run, or the split has no labelled segments, or has some that the run
            was trained on and is not its training split; the store has other views, or the head
            cannot see one alone.
        StoreError: the store is absent, or holds features of another recipe.
    """
    loaded = load_run(run)
    by = Views(*views) if views else None
    if by:
        rows = open_run_store(loaded, store, by.check)
        loaded = view_of(loaded)
    else:
        rows = open_run_rows(loaded, store)
    loaded.head.to(choose_device(device))
    with style.also(figures):
        return evaluate_run(loaded, rows, loaded.config.splits.val if split is None else split, by)


def evaluate_run(run: Run, store: Rows, split: str, views: Views | None = None) -> Evaluation:
    """Evaluate, and write metrics, predictions and confusion matrices into the run's folder.

    Files about other rows than those that the run was first judged on carry the split's name, and
    those of an evaluation by views the views. Persons are evaluated by `evaluate_persons`.
    """
    if isinstance(store, PersonRows):
        return evaluate_persons(run, store, split)
    split_rows(store, split)
    judged = judge(run, store, split)
    predicted = predict_split(run, store, split, views)
    figures, alone = measure(run, store, predicted)
    if not views:  # attention goes with the steps of a whole segment, which no head sees by views
        for branch, of_branch in zip(run.branches(store), alone or [figures], strict=True):
            of_branch.update(gaze_figures(*branch, predicted.rows))
    suffix, said = judged.suffix, split
    if views:
        suffix, said = f"{suffix}-{views}", f"{split}, {views}"
    evaluation = Evaluation(
        run=run.path,
        split=split,
        segments=len(predicted.rows),
        segments_of_split=coverage(store, split).of_split,
        labelled=predicted.labelled,
        trained_on=judged.seen,
        metrics=figures,
        warnings=(*run.warnings, *predicted.warnings()),
        pictures=tuple(draw_confusions(run, predicted, said, suffix)),
        alone=dict(zip([one.name for one in store.stores], alone, strict=True)) if alone else {},
        views=views,
    )
    write_predictions(run.path / f"predictions{suffix}.npz", store, predicted)
    write_classes(run, predicted, suffix)
    write_evaluation(evaluation, suffix)
    return evaluation


@dataclass(frozen=True)
class Predicted:
    """What the heads of a run give for rows of a split, and what is true of these."""

    rows: NDArray[np.int64]
    parts: list[dict[str, Tensor]]
    """Of each head, target to logits `[rows,classes]`."""
    logits: dict[str, Tensor]
    """The same of the run, its heads fused."""
    labels: dict[str, Tensor]
    """Target to labels, `[rows]` (-1: none) or `[rows,classes]`."""

    @cached_property
    def classes(self) -> dict[str, ByClass]:
        """Of each target that has labels, how well each class is found."""
        return {
            target: by_class(logits, self.labels[target])
            for target, logits in self.logits.items()
            if (self.labels[target] >= 0).any()
        }

    @property
    def labelled(self) -> dict[str, int]:
        """Target to how many rows have a label, and `action` to those with a verb and a noun."""
        there = {t: torch.from_numpy(is_labelled(of.numpy())) for t, of in self.labels.items()}
        if {"verb", "noun"} <= set(there):
            there.setdefault("action", there["verb"] & there["noun"])
        return {target: int(of.sum()) for target, of in there.items()}

    def warnings(self) -> Iterator[str]:
        """Yield of which targets the head knows few classes."""
        for target, logits in self.logits.items():
            if warning := collapse_warning(target, logits, self.labels[target]):
                yield warning


def predict_split(run: Run, store: Rows, split: str, views: Views | None = None) -> Predicted:
    """Predict the rows of a split; by views, logits are the log of the mean of softmaxes.

    Raises:
        RequestError: the store has nothing of that split.
    """
    rows = split_rows(store, split)
    parts = [
        predict_views(member, features, rows, views) if views else predict(member, features, rows)
        for member, features in run.branches(store)
    ]
    labels = {t: torch.from_numpy(store.labels[t][rows]) for t in run.config.targets}
    with torch.no_grad():
        return Predicted(rows, parts, run.head.combine(parts), labels)


def split_rows(store: Rows, split: str) -> NDArray[np.int64]:
    """Return the rows of a split.

    Raises:
        RequestError: the store has nothing of that split.
    """
    rows = store.rows(split)
    if not len(rows):
        raise RequestError(
            f"store {store.path} has no split '{split}': its splits are {split_names(store)}; "
            "choose one, or extract that split"
        )
    return rows


def measure(
    run: Run, store: Rows, predicted: Predicted
) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Measure the run, and each of several heads alone, with its weight if these are learnt.

    Raises:
        RequestError: none of the rows has a label.
    """
    unseen = torch.from_numpy(np.isin(store.groups[predicted.rows], sorted(store.unseen)))

    def figures_of(one: Predicted) -> dict[str, float]:
        figures = dict(metrics(one.logits, one.labels, tail=store.tail, unseen=unseen))
        for target, classes in one.classes.items():
            figures |= {f"{target}/{name}": value for name, value in classes.macro().items()}
        return figures

    figures = figures_of(predicted)
    if not figures:
        split = str(store.splits[predicted.rows[0]])
        raise RequestError(
            f"split '{split}' of store {store.path} has no labels to evaluate against: "
            "choose another with `split`"
        )
    parts = predicted.parts if len(predicted.parts) > 1 else []
    alone = [figures_of(replace(predicted, logits=of)) for of in parts]
    if isinstance(run.head, WeightedHeads):
        for target, weights in run.head.weights().items():
            for figures_alone, weight in zip(alone, weights.tolist(), strict=True):
                figures_alone[f"{target}/weight"] = weight
    return figures, alone


def draw_confusions(run: Run, predicted: Predicted, split: str, suffix: str) -> Iterator[Path]:
    """Draw which class was taken for which, a picture a target that has labels."""
    for target, names in run.config.classes.items():
        truth, best = predicted.labels[target], predicted.logits[target].argmax(dim=1)
        if (truth >= 0).any():
            picture = run.path / f"confusion-{target}{suffix}.png"
            yield confusion_matrix(truth, best, names, picture, f"{target}, {split}")


def write_classes(run: Run, predicted: Predicted, suffix: str) -> None:
    """Write what is true of each class, and how many segments of which were taken for which."""
    for target, classes in predicted.classes.items():
        names = run.config.classes[target]
        write_file(run.path / f"classes-{target}{suffix}.csv", class_table(classes, names))
        write_file(run.path / f"confusion-{target}{suffix}.csv", confusion_table(classes, names))


def write_predictions(path: Path, store: Rows, predicted: Predicted) -> None:
    """Write ids, sessions, `logits_<target>` `[rows,classes]` and `labels_<target>` (-1: none)."""
    arrays: dict[str, NDArray[Any]] = {
        "ids": np.array(store.ids[predicted.rows].tolist()),
        "sessions": np.array(store.table.sessions[predicted.rows].tolist()),
    }
    arrays |= {f"logits_{target}": of.numpy() for target, of in predicted.logits.items()}
    arrays |= {f"labels_{target}": of.numpy() for target, of in predicted.labels.items()}
    write_arrays(path, arrays)

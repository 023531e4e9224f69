"""`egofeat evaluate`: a run's head on a split: figures, predictions, confusion matrices."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.heads.fusion import AveragedHeads, WeightedHeads, fuse_logits
from egofeat.heads.head import Head
from egofeat.heads.measures.metrics import collapse_warning, metrics
from egofeat.heads.training.trainer import evaluation_feed, predict
from egofeat.pipelines.figures.classes import confusion_matrix
from egofeat.pipelines.training.coverage import coverage
from egofeat.pipelines.training.evaluate_persons import evaluate_persons
from egofeat.pipelines.training.evaluation import Evaluation, write_arrays
from egofeat.pipelines.training.gaze import gaze_figures
from egofeat.pipelines.training.labelled import split_names
from egofeat.pipelines.training.run import (
    Places,
    branches,
    load_run,
    open_run_rows,
)
from egofeat.pipelines.training.run_files import write_file
from egofeat.pipelines.training.trained_on import judge
from egofeat.pipelines.training.views import Views, head_of_a_view, open_views, predict_views
from egofeat.store import PersonRows, Rows


def evaluate(
    run: Path,
    split: str | None = None,
    store: Places | None = None,
    *,
    views: tuple[int, int] | None = None,
    device: str = "auto",
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

    Raises:
        RequestError: no such run, or the split has no labelled segments, or has some that the run
            was trained on and is not its training split; the store has other views, or the head
            cannot see one alone.
        StoreError: the store is absent, or holds features of another recipe.
    """
    head, config = load_run(run)
    by = Views(*views) if views else None
    if by:
        opened = open_views(run, config, store, by)
        head = head_of_a_view(run, config, head)
    else:
        opened = open_run_rows(run, config, store)
    head = head.to(choose_device(device))
    judged = config["val_split"] if split is None else split
    return evaluate_head(head, config, opened, run, judged, by)


def evaluate_head(
    head: Head | AveragedHeads,
    config: Mapping[str, Any],
    store: Rows,
    folder: Path,
    split: str,
    views: Views | None = None,
) -> Evaluation:
    """Evaluate, and write metrics, predictions and confusion matrices into the run's folder.

    Files about other rows than those that the run was first judged on carry the split's name, and
    those of an evaluation by views the views. Persons are evaluated by `evaluate_persons`.
    """
    if isinstance(store, PersonRows):
        assert isinstance(head, Head)
        return evaluate_persons(head, config, store, folder, split)
    split_rows(store, split)
    judged = judge(folder, config, store, split)
    rows, parts = predict_split(head, store, split, views)
    logits = fuse_logits(head, parts)
    labels = {target: torch.from_numpy(store.labels[target][rows]) for target in logits}
    unseen = torch.from_numpy(np.isin(store.groups[rows], sorted(store.unseen)))
    figures, *of_parts = (
        dict(metrics(values, labels, tail=store.tail, unseen=unseen))
        for values in (logits, *(parts if len(parts) > 1 else ()))
    )
    if not figures:
        raise RequestError(
            f"split '{split}' of store {store.path} has no labels to evaluate against: "
            "choose another with --split"
        )
    # Attention goes with the steps of a whole segment, which no head sees by views.
    foretold = [gaze_figures(*of, rows) if not views else {} for of in branches(head, store)]
    for of_branch, gaze in zip(of_parts or [figures], foretold, strict=True):
        of_branch.update(gaze)
    if isinstance(head, WeightedHeads):
        for target, weights in head.weights().items():
            for of_branch, weight in zip(of_parts, weights.tolist(), strict=True):
                of_branch[f"{target}/weight"] = weight
    stores = [one.name for one in store.stores]
    warnings = (collapse_warning(target, logits[target], labels[target]) for target in logits)
    suffix, said = judged.suffix, split
    if views:
        suffix, said = f"{suffix}-{views}", f"{split}, {views}"
    write_predictions(folder / f"predictions{suffix}.npz", store, rows, logits, labels)
    evaluation = Evaluation(
        run=folder,
        split=split,
        segments=len(rows),
        segments_of_split=coverage(store, split).of_split,
        trained_on=judged.seen,
        metrics=figures,
        warnings=tuple(filter(None, warnings)),
        pictures=draw_confusions(config, logits, labels, folder, said, suffix),
        alone=dict(zip(stores, of_parts, strict=False)),  # no parts: one head sees them all
        views=views,
    )
    text = json.dumps(evaluation.to_dict(), indent=1) + "\n"
    write_file(folder / f"metrics{suffix}.json", text.encode())
    return evaluation


def draw_confusions(
    config: Mapping[str, Any],
    logits: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    folder: Path,
    split: str,
    suffix: str,
) -> tuple[Path, ...]:
    """Draw which class was taken for which, a picture a target that has labels."""
    pictures = []
    for target, names in config["classes"].items():
        if not (labels[target] >= 0).any():
            continue
        picture = folder / f"confusion-{target}{suffix}.png"
        predicted = logits[target].argmax(dim=1)
        pictures.append(
            confusion_matrix(labels[target], predicted, names, picture, f"{target}, {split}")
        )
    return tuple(pictures)


def predict_split(
    head: Head | AveragedHeads, store: Rows, split: str, views: Views | None = None
) -> tuple[NDArray[np.int64], list[dict[str, Tensor]]]:
    """Return the rows of a split and each head's logits for them, target to `[rows,classes]`.

    By views, a head's are the log of the mean of its softmaxes.

    Raises:
        RequestError: the store has nothing of that split.
    """
    rows = split_rows(store, split)
    device = next(head.parameters()).device
    return rows, [
        predict_views(member, features, rows, views)
        if views
        else predict(member, evaluation_feed(features, rows, device=device))
        for member, features in branches(head, store)
    ]


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


def write_predictions(
    path: Path,
    store: Rows,
    rows: NDArray[np.int64],
    logits: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
) -> None:
    """Write ids, `logits_<target>` float32 `[rows,classes]` and `labels_<target>` (-1: none)."""
    arrays: dict[str, NDArray[Any]] = {"ids": np.array(store.ids[rows].tolist())}
    arrays |= {f"logits_{target}": values.numpy() for target, values in logits.items()}
    arrays |= {f"labels_{target}": values.numpy() for target, values in labels.items()}
    write_arrays(path, arrays)

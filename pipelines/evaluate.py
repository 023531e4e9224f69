"""`egofeat evaluate`: a run's head on a split: figures, predictions, confusion matrices."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.heads.files import replace_file
from egofeat.heads.fusion import AveragedHeads, WeightedHeads, fuse_logits
from egofeat.heads.head import Head
from egofeat.heads.metrics import collapse_warning, metrics
from egofeat.heads.trainer import evaluation_feed, predict
from egofeat.pipelines.gaze import gaze_figures
from egofeat.pipelines.pictures import confusion_matrix
from egofeat.pipelines.run import LabelledStore, Places, branches, load_run, open_run_store
from egofeat.store.joined import JoinedStore


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How good a head is on one split."""

    run: Path
    split: str
    segments: int
    metrics: Mapping[str, float]
    """`<target>/top1` and so on, fractions in 0…1; see `egofeat.heads.metrics`."""
    warnings: tuple[str, ...]
    pictures: tuple[Path, ...]
    alone: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Where a head a store gives logits: store to the metrics of its head alone, and its weight."""

    def to_dict(self) -> dict[str, Any]:
        """Return the object that metrics.json and `--json` hold."""
        return {
            "run": self.run.name,
            "split": self.split,
            "segments": self.segments,
            **self.metrics,
            **({"stores": self.alone} if self.alone else {}),
            "warnings": list(self.warnings),
        }

    def lines(self) -> list[str]:
        """Return the same for a person: a line a target or subset, then warnings and pictures."""
        figures: dict[str, list[str]] = {}
        named = [*self.metrics.items()]
        for store, metrics_alone in self.alone.items():
            named += [(f"{store} {name}", value) for name, value in metrics_alone.items()]
        for name, value in named:
            subject, figure = name.rsplit("/", 1)
            words = figure.replace("_", " ").replace("top", "top-")
            figures.setdefault(subject, []).append(f"{words} {100 * value:.1f} %")
        width = max(map(len, figures))
        return [
            f"{self.segments} segments of {self.split}",
            *(f"{subject:<{width}}  {'  '.join(of)}" for subject, of in figures.items()),
            *(f"warning: {self.run.name} {warning}" for warning in self.warnings),
            f"pictures: {', '.join(map(str, self.pictures))}",
        ]


def evaluate(
    run: Path, split: str | None = None, store: Places | None = None, *, device: str = "auto"
) -> Evaluation:
    """Evaluate a run's head on a split of the store that it was trained on.

    Args:
        run: folder that `fit_head` made.
        split: None means the run's validation split.
        store: where the store lies, if no longer where it was; of a run on several stores,
            each of them in the order of its config.
        device: where to run.

    Raises:
        RequestError: no such run, or the split has no labelled segments.
        StoreError: the store is absent, or holds features of another recipe.
    """
    head, config = load_run(run)
    opened = open_run_store(run, config, store)
    head = head.to(choose_device(device))
    return evaluate_head(head, config, opened, run, split or config["val_split"])


def evaluate_head(
    head: Head | AveragedHeads,
    config: Mapping[str, Any],
    store: LabelledStore,
    folder: Path,
    split: str,
) -> Evaluation:
    """Evaluate, and write metrics, predictions and confusion matrices into the run's folder.

    Files about another split than the run's validation split carry its name.
    """
    rows, parts = predict_split(head, store, split)
    logits = fuse_logits(head, parts)
    labels = {target: torch.from_numpy(store.labels[target][rows]) for target in logits}
    unseen = torch.from_numpy(np.isin(np.asarray(store.groups)[rows], sorted(store.unseen)))
    figures, *of_parts = (
        dict(metrics(values, labels, tail=store.tail, unseen=unseen))
        for values in (logits, *(parts if len(parts) > 1 else ()))
    )
    if not figures:
        raise RequestError(
            f"split '{split}' of store {store.path} has no labels to evaluate against: "
            "choose another with --split"
        )
    foretold = [gaze_figures(*branch, rows) for branch in branches(head, store)]
    for of_branch, gaze in zip(of_parts or [figures], foretold, strict=True):
        of_branch.update(gaze)
    if isinstance(head, WeightedHeads):
        for target, weights in head.weights().items():
            for of_branch, weight in zip(of_parts, weights.tolist(), strict=True):
                of_branch[f"{target}/weight"] = weight
    stores = [part.name for part in store.parts] if isinstance(store, JoinedStore) else []
    warnings = (collapse_warning(target, logits[target], labels[target]) for target in logits)
    of_split = "" if split == config["val_split"] else f"-{split}"
    write_predictions(folder / f"predictions{of_split}.npz", store, rows, logits, labels)
    evaluation = Evaluation(
        run=folder,
        split=split,
        segments=len(rows),
        metrics=figures,
        warnings=tuple(filter(None, warnings)),
        pictures=draw_confusions(config, logits, labels, folder, split, of_split),
        alone=dict(zip(stores, of_parts, strict=False)),  # no parts: one head sees them all
    )
    text = json.dumps(evaluation.to_dict(), indent=1) + "\n"
    replace_file(folder / f"metrics{of_split}.json", text.encode())
    return evaluation


def draw_confusions(
    config: Mapping[str, Any],
    logits: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    folder: Path,
    split: str,
    of_split: str,
) -> tuple[Path, ...]:
    """Draw which class was taken for which, a picture a target that has labels."""
    pictures = []
    for target, names in config["classes"].items():
        if not (labels[target] >= 0).any():
            continue
        picture = folder / f"confusion-{target}{of_split}.png"
        predicted = logits[target].argmax(dim=1)
        pictures.append(
            confusion_matrix(labels[target], predicted, names, picture, f"{target}, {split}")
        )
    return tuple(pictures)


def predict_split(
    head: Head | AveragedHeads, store: LabelledStore, split: str
) -> tuple[NDArray[np.int64], list[dict[str, Tensor]]]:
    """Return the rows of a split and each head's logits for them, target to `[rows,classes]`.

    Raises:
        RequestError: the store has nothing of that split.
    """
    rows = store.rows(split)
    if not len(rows):
        names = ", ".join(sorted(set(map(str, store.splits)))) or "none"
        raise RequestError(
            f"store {store.path} has no split '{split}': its splits are {names}; "
            "choose one, or extract that split"
        )
    device = next(head.parameters()).device
    return rows, [
        predict(member, evaluation_feed(features, rows, device=device))
        for member, features in branches(head, store)
    ]


def write_predictions(
    path: Path,
    store: LabelledStore,
    rows: NDArray[np.int64],
    logits: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
) -> None:
    """Write ids, `logits_<target>` float32 `[rows,classes]` and `labels_<target>` (-1: none)."""
    arrays: dict[str, NDArray[Any]] = {"ids": np.array([store.ids[row] for row in rows])}
    arrays |= {f"logits_{target}": values.numpy() for target, values in logits.items()}
    arrays |= {f"labels_{target}": values.numpy() for target, values in labels.items()}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # keywords are arrays, not allow_pickle
    replace_file(path, buffer.getvalue())

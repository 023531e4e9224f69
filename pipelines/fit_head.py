"""`egofeat fit-head`: a head trained on a store's features, into a run folder."""

import csv
import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from egofeat.errors import RequestError
from egofeat.heads.config import TrainerConfig
from egofeat.heads.feed import channel_statistics
from egofeat.heads.files import replace_file
from egofeat.heads.head import Head, Standardise
from egofeat.heads.losses import class_counts
from egofeat.heads.registry import resolve_options
from egofeat.heads.trainer import Examples, train
from egofeat.pipelines.evaluate import Evaluation, evaluate_head
from egofeat.pipelines.pictures import instances_per_class, loss_curves
from egofeat.pipelines.run import (
    RunFolder,
    load_run,
    make_head,
    read_config,
    save_head,
    write_config,
)
from egofeat.store import FeatureStore, open_store


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Everything that a person can choose about a training."""

    head: str
    """`lstm`, `convlstm`, `conv1d` or `linear`."""
    store: Path
    tap: str | None = None
    """Which of the store's taps; None when it has one."""
    targets: tuple[str, ...] = ()
    """Empty means verb and noun where both are labelled, else every labelled target."""
    preset: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """The head's own."""
    normalize: bool = False
    """Standardise each channel by the training rows; the figures are kept in the head's file."""
    train_split: str = "train"
    val_split: str = "val"
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    out: Path | None = None
    """Run folder; None means `runs/<dataset>-<head>`, numbered when that is another run's."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A trained head and how good it is on the validation split."""

    path: Path
    config: Mapping[str, Any]
    parameters: int
    """Trainable."""
    evaluation: Evaluation


def fit_head(
    config: FitConfig, *, on_epoch: Callable[[Mapping[str, float]], None] = lambda record: None
) -> Run:
    """Train a head and leave its run folder.

    A run that was killed goes on where it was, to the same end, when the same thing is
    asked again; a finished one is evaluated and returned.

    Args:
        config: what to train, on what, how.
        on_epoch: told the history record of each epoch: epoch, lr, train/loss, val/loss,
            `val/<target>/top1`, `val/<target>/mean_class_accuracy`.

    Raises:
        RequestError: unknown head, option, target or split, or a folder of another run.
        StoreError: the store cannot be read.
        EgofeatError: the training failed.
    """
    store = open_store(config.store, config.tap)
    targets = choose_targets(store, config.targets)
    train_rows = labelled_rows(store, config.train_split, targets)
    val_rows = labelled_rows(store, config.val_split, targets)
    if len(train_rows) < 2:
        raise RequestError(
            f"split '{config.train_split}' of store {config.store} has one labelled segment: "
            "a head needs two at least"
        )
    labels = {target: store.labels[target] for target in targets}
    examples = Examples(store, labels, train_rows, val_rows)
    description = describe(config, store, targets)
    folder = RunFolder(choose_folder(config, store.dataset, description))
    if folder.metrics.exists():
        head, _ = load_run(folder.path)
    else:
        head = make_head(description)
        if config.normalize:
            standardise_by(head, store, train_rows)
        write_config(folder.path, description)
        progress = train(
            head,
            examples,
            config.trainer,
            checkpoint=folder.checkpoint,
            on_epoch=on_epoch,
        )
        write_history(folder.history, progress.history)
        save_head(folder.path, head)
        loss_curves(folder.history, folder.path / "loss.png")
        draw_instances(config, store, examples, folder.path)
    evaluation = evaluate_head(head, description, store, folder.path, config.val_split)
    folder.checkpoint.unlink(missing_ok=True)
    return Run(
        path=folder.path,
        config=description,
        parameters=sum(p.numel() for p in head.parameters() if p.requires_grad),
        evaluation=evaluation,
    )


def choose_targets(store: FeatureStore, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return the targets to train: those wanted, else verb and noun, else all that are labelled.

    Raises:
        RequestError: a target that the store has no labels for.
    """
    labelled = tuple(target for target, values in store.labels.items() if (values >= 0).any())
    if not labelled:
        raise RequestError(
            f"store {store.path} has no labels: run egofeat extract again with a manifest that "
            "gives them (features are kept)"
        )
    for target in wanted:
        if target not in labelled:
            raise RequestError(
                f"store {store.path} has no labels for target '{target}': "
                f"it has {', '.join(labelled)}"
            )
    if wanted:
        return wanted
    return ("verb", "noun") if {"verb", "noun"} <= set(labelled) else labelled


def labelled_rows(store: FeatureStore, split: str, targets: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the rows of a split that have a label for one of the targets at least.

    Raises:
        RequestError: there are none; the message names the splits that there are.
    """
    rows = store.rows(split)
    labelled = np.any([store.labels[target][rows] >= 0 for target in targets], axis=0)
    if not labelled.any():
        names = ", ".join(sorted(set(map(str, store.splits)))) or "none"
        raise RequestError(
            f"split '{split}' of store {store.path} has no labelled segments: its splits are "
            f"{names}; choose with --train-split and --val-split, or extract that split"
        )
    return rows[labelled]


def describe(config: FitConfig, store: FeatureStore, targets: tuple[str, ...]) -> dict[str, Any]:
    """Return what config.yaml says: plain values only."""
    labels = hashlib.sha256("\n".join([*store.ids, *map(str, store.splits)]).encode())
    for target in targets:
        labels.update(store.labels[target].tobytes())
    options = resolve_options(config.head, config.preset, config.options)
    description = {
        "egofeat": version("egofeat"),
        "head": config.head,
        "preset": config.preset,
        "options": options,
        "normalize": config.normalize,
        "targets": list(targets),
        "train_split": config.train_split,
        "val_split": config.val_split,
        "trainer": asdict(config.trainer),
        "store": str(Path(store.path).resolve()),
        "store_digest": store.digest,
        "labels_digest": labels.hexdigest(),
        "dataset": store.dataset,
        "tap": store.tap,
        "feature_shape": list(store.row_shape),
        "recipe": yaml.safe_load(store.recipe.to_json()),
        "classes": {target: list(store.classes[target]) for target in targets},
    }
    make_head(description)  # a head that cannot be is refused before anything is written
    return description


def choose_folder(config: FitConfig, dataset: str, description: Mapping[str, Any]) -> Path:
    """Return the run's folder: the one named, or the first that is free or this run's own.

    Raises:
        RequestError: the folder named holds something else.
    """
    if config.out is not None:
        if _is_free(config.out) or _is_same(config.out, description):
            return config.out
        raise RequestError(
            f"{config.out} holds another run, or none: name another folder with --out, or remove it"
        )
    stem = "-".join(filter(None, (dataset, config.head, config.preset)))
    number = 1
    while True:
        path = Path("runs") / (stem if number == 1 else f"{stem}-{number}")
        if _is_free(path) or _is_same(path, description):
            return path
        number += 1


def _is_free(path: Path) -> bool:
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def _is_same(path: Path, description: Mapping[str, Any]) -> bool:
    """Say whether the folder's config asks for this very training, wherever the store lies."""
    try:
        there = read_config(path)
    except RequestError:
        return False
    here = yaml.safe_load(yaml.safe_dump(dict(description)))
    return {**there, "store": ""} == {**here, "store": ""}


def standardise_by(head: Head, store: FeatureStore, rows: NDArray[np.int64]) -> None:
    """Fill the head's standardisation from some rows."""
    mean, std = channel_statistics(store, rows)
    assert isinstance(head.standardise, Standardise)
    head.standardise.mean.copy_(torch.from_numpy(mean))
    head.standardise.std.copy_(torch.from_numpy(std))


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Write one line an epoch, with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(history[0]), lineterminator="\n")
    writer.writeheader()
    for record in history:
        writer.writerow({**record, "epoch": int(record["epoch"])})
    replace_file(path, text.getvalue().encode())


def draw_instances(config: FitConfig, store: FeatureStore, examples: Examples, out: Path) -> None:
    """Draw how many segments of each class train and validate, a picture a target."""
    splits = {config.train_split: examples.train, config.val_split: examples.validation}
    for target, labels in examples.labels.items():
        names = store.classes[target]
        counts = {
            split: class_counts(labels[rows], len(names)).numpy() for split, rows in splits.items()
        }
        picture = out / f"instances-{target}.png"
        instances_per_class(counts, names, picture, f"segments a class: {target}")

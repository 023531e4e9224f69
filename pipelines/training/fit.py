"""`egofeat fit-head`: a head trained on the features of a store or several, into a run folder."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from egofeat import console
from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.heads.config import TrainerConfig
from egofeat.heads.measures.precision import check_precision
from egofeat.heads.registry import reads, resolve_options
from egofeat.heads.training.losses import class_counts
from egofeat.heads.training.recipes import trainer_config
from egofeat.heads.training.trainer import DivergedError, Examples, check_labels
from egofeat.pipelines.figures.classes import instances_per_class
from egofeat.pipelines.training.coverage import coverage
from egofeat.pipelines.training.evaluate import evaluate_head
from egofeat.pipelines.training.evaluation import Evaluation
from egofeat.pipelines.training.gaze import teaching_points
from egofeat.pipelines.training.labelled import (
    check_taught,
    choose_targets,
    labelled_rows,
    open_labelled,
)
from egofeat.pipelines.training.members import fit_members
from egofeat.pipelines.training.options import FitConfig
from egofeat.pipelines.training.published_heads import start_from
from egofeat.pipelines.training.run import (
    RunFolder,
    branches,
    load_run,
    make_head,
    save_head,
)
from egofeat.pipelines.training.run_claim import claim
from egofeat.pipelines.training.run_config import sources, write_config
from egofeat.pipelines.training.run_files import SUMS
from egofeat.pipelines.training.run_origin import describe_file, describe_stores
from egofeat.pipelines.training.splits import by_published, choose_groups, hold_out
from egofeat.pipelines.training.trained_on import NAME as TRAINED_ON
from egofeat.pipelines.training.trained_on import TrainedOn, labels_digest
from egofeat.store import Rows


@dataclass(frozen=True, kw_only=True)
class Run:
    """A trained head and how good it is on the validation split."""

    path: Path
    config: Mapping[str, Any]
    parameters: int
    """Trainable."""
    evaluation: Evaluation


def fit_head(
    config: FitConfig,
    *,
    on_epoch: Callable[[Mapping[str, float]], None] = lambda record: None,
    shown: bool = False,
) -> Run:
    """Train a head and leave its run folder.

    A run that was killed goes on where it was, to the same end, when the same thing is
    asked again; a finished one is evaluated and returned.

    Args:
        config: what to train, on what, how.
        on_epoch: told the history record of each evaluation (one an epoch unless iterations
            are counted): epoch, iteration, lr, train/loss, val/loss, `val/<target>/top1` and
            `val/<target>/mean_class_accuracy`, or `val/<target>/mAP` of several classes a row.
        shown: whether a bar and lines of figures tell a person how it goes.

    Raises:
        RequestError: unknown head, option, target or split, or a folder of another run.
        StoreError: the store cannot be read.
        WeightsError: the published weights cannot be read.
        EgofeatError: the training failed.
    """
    trainer = config.trainer or trainer_config(config.preset)
    store = open_rows(config)
    targets = choose_targets(store, config.targets)
    store, val_groups = divide(config, store, targets, trainer.seed)
    train_rows = labelled_rows(store, config.train_split, targets)
    labelled_rows(store, config.val_split, targets)  # which must have some
    check_taught(store, train_rows, config.train_split, targets)
    if len(train_rows) < 2:
        raise RequestError(
            f"split '{config.train_split}' of store {store.path} has one labelled "
            f"{store.unit.removesuffix('s')}: a head needs two at least"
        )
    labels = {target: store.labels[target] for target in targets}
    check_labels(trainer, labels)
    description = describe(config, trainer, store, targets) | val_groups
    check_precision(trainer.amp, choose_device(trainer.device), make_head(description))
    for split in dict.fromkeys((config.train_split, config.val_split)):
        covered = coverage(store, split)
        if covered.missing:
            console.note(f"{covered}")
    with claim(config.out, description) as path:
        return _fit_in(RunFolder(path), config, description, store, labels, on_epoch, shown)


def _fit_in(
    folder: RunFolder,
    config: FitConfig,
    description: Mapping[str, Any],
    store: Rows,
    labels: Mapping[str, NDArray[Any]],
    on_epoch: Callable[[Mapping[str, float]], None],
    shown: bool,
) -> Run:
    """Train, or go on, in a folder that is this training's own; evaluate."""
    rows = {
        split: labelled_rows(store, split, tuple(labels))
        for split in (config.train_split, config.val_split)
    }
    train_rows, val_rows = rows[config.train_split], rows[config.val_split]
    trained_on = TrainedOn.of(store, train_rows, config.val_split, tuple(labels))
    if folder.metrics.exists():
        head, _ = load_run(folder.path)
        console.note(f"{folder.path} is finished: it is evaluated again, and not trained")
        trained_on.write(folder.path)
    else:
        head = make_head(description)
        if config.init is not None:
            start_from(head, config.init)
        trainer = config.trainer or trainer_config(config.preset)
        examples = []
        for member, features in branches(head, store):
            taught = (member, features, train_rows, str(store.path))
            gaze = teaching_points(*taught) if trainer.gaze_weight else None
            examples.append(Examples(features, labels, train_rows, val_rows, gaze))
        write_config(folder.path, description)
        trained_on.write(folder.path)
        try:
            shown_as = config.head if shown else None
            fit_members(head, examples, trainer, folder, on_epoch, shown_as)
        except DivergedError:
            withdraw(folder)
            raise
        save_head(folder.path, head)
        draw_instances(store, tuple(labels), rows, folder.path)
    evaluation = evaluate_head(head, description, store, folder.path, config.val_split)
    for checkpoint in folder.path.glob("checkpoint*.safetensors"):
        checkpoint.unlink()
    return Run(
        path=folder.path,
        config=description,
        parameters=sum(p.numel() for p in head.parameters() if p.requires_grad),
        evaluation=evaluation,
    )


def withdraw(folder: RunFolder) -> None:
    """Remove a training that came to nothing, which would come to the same again.

    What is not a run's stays.
    """
    own = (folder.config.name, TRAINED_ON, SUMS, "checkpoint*", "history*.csv", "loss*.png")
    for path in [path for pattern in own for path in folder.path.glob(pattern)]:
        path.unlink()


def open_rows(config: FitConfig) -> Rows:
    """Open the rows that a head is to learn from.

    Raises:
        RequestError: unknown head or option, no such tap or published split, or segments for a
            head of persons.
        StoreError: the store cannot be read.
    """
    options = resolve_options(config.head, config.preset, config.options)
    store = open_labelled(config.store, config.tap, options)
    if reads(config.head, config.preset) == "persons" and store.unit != "persons":
        raise RequestError(
            f"head '{config.head}' reads persons of key frames, and store {store.path} holds "
            "segments: make one of persons with egofeat roi, or choose another head"
        )
    if config.published_split is not None:
        store = by_published(store, config.published_split)
    return store


def divide(
    config: FitConfig, store: Rows, targets: tuple[str, ...], seed: int
) -> tuple[Rows, dict[str, Any]]:
    """Hold the validation part out, if one is wanted; return what config.yaml says of it too.

    Raises:
        RequestError: the split cannot be divided, or there is a validation split already.
    """
    if not config.val_from_train:
        return store, {}
    if store.unit == "persons":
        raise RequestError(
            "--val-from-train divides segments, and persons are judged by all key frames of a "
            f"split that the data set itself has: give {store.dataset} one in the manifest"
        )
    rows = labelled_rows(store, config.train_split, targets)
    groups = choose_groups(store, rows, config.val_from_train, seed)
    store = hold_out(store, groups, config.train_split, config.val_split)
    return store, {"val_from_train": config.val_from_train, "val_groups": groups}


def describe(
    config: FitConfig, trainer: TrainerConfig, store: Rows, targets: tuple[str, ...]
) -> dict[str, Any]:
    """Return what config.yaml says: plain values only."""
    options = resolve_options(config.head, config.preset, config.options)
    stores = describe_stores(store)
    origin = {"fuse": config.fuse, "stores": stores} if len(stores) > 1 else stores[0]
    description = {
        "egofeat": version("egofeat"),
        "head": config.head,
        "preset": config.preset,
        "options": options,
        "normalize": config.normalize,
        "targets": list(targets),
        "train_split": config.train_split,
        "val_split": config.val_split,
        "trainer": asdict(trainer),
        **origin,
        "labels_digest": labels_digest(store, targets),
        "dataset": store.dataset,
        "classes": {target: list(store.classes[target]) for target in targets},
    }
    if config.published_split is not None:
        description["published_split"] = config.published_split
    if config.init is not None:
        description["init"] = describe_file(config.init)
    _refuse_more_than_memory(description)
    make_head(description)  # a head that cannot be is refused before anything is written
    if reads(config.head, config.preset) == "maps+flow":
        _refuse_without_flow(description)
    return description


def _refuse_more_than_memory(description: Mapping[str, Any]) -> None:
    """Refuse a head whose weights this machine cannot hold, before memory is taken for them."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    size = inf  # of what torch cannot even count
    with suppress(RuntimeError), torch.device("meta"):
        size = sum(weight.nbytes for weight in make_head(description).parameters())
    if size > memory:
        raise RequestError(
            f"head '{description['head']}' with these options is larger than the memory of this "
            f"machine ({console.size(memory)}): choose smaller ones"
        )


def _refuse_without_flow(description: Mapping[str, Any]) -> None:
    """Refuse to take the last channel of any maps for the motion that frames are weighted by."""
    last = sources(description)[-1]
    if description.get("fuse") != "features" or last["feature_shape"][-3] != 1:
        raise RequestError(
            f"head '{description['head']}' weighs maps by a grid of flow beside them: name the "
            "store of maps first, then that of backbone flow_grid, with --store each and --fuse "
            "features"
        )


def draw_instances(
    store: Rows,
    targets: tuple[str, ...],
    splits: Mapping[str, NDArray[np.int64]],
    out: Path,
) -> None:
    """Draw how many rows of each class train and validate, a picture a target.

    Args:
        store: whose rows.
        targets: what is trained.
        splits: name to rows that are used.
        out: folder of the pictures.
    """
    for target in targets:
        names = store.classes[target]
        counts = {
            split: class_counts(store.labels[target][rows], len(names)).numpy()
            for split, rows in splits.items()
        }
        picture = out / f"instances-{target}.png"
        # A person may do several things at once, and is then counted with each.
        counted = "labels of persons" if store.unit == "persons" else "segments"
        instances_per_class(counts, names, picture, f"{counted} a class: {target}", counted)

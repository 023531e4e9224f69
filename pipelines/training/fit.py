"""`egofeat fit-head`: a head trained on the features of a store or several, into a run folder."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from math import inf
from pathlib import Path

import torch

from egofeat import console
from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.heads.measures.precision import check_precision
from egofeat.heads.registry import reads, resolve_options
from egofeat.heads.training.examples import Examples
from egofeat.heads.training.losses import class_counts
from egofeat.heads.training.recipes import trainer_config
from egofeat.heads.training.replicas import DivergedError
from egofeat.heads.training.trainer import check_labels
from egofeat.pipelines.figures import style
from egofeat.pipelines.figures.classes import instances_per_class
from egofeat.pipelines.runs.claim import claim
from egofeat.pipelines.runs.config import RunConfig, write_config
from egofeat.pipelines.runs.files import SUMS
from egofeat.pipelines.runs.run import Run, RunFolder, load_run, write_run
from egofeat.pipelines.runs.trained_on import NAME as TRAINED_ON
from egofeat.pipelines.training.evaluate import evaluate_run
from egofeat.pipelines.training.evaluation import Evaluation
from egofeat.pipelines.training.members import Begun, fit_members
from egofeat.pipelines.training.options import FitConfig
from egofeat.pipelines.training.tail import start
from egofeat.pipelines.training.tensorboard import Board, needs_tensorboard
from egofeat.pipelines.training.training_rows import TrainingRows, describe


@dataclass(frozen=True, kw_only=True, repr=False)
class Fitted(Run):
    """A run that was trained, and how good it is on the validation split."""

    evaluation: Evaluation


@dataclass(frozen=True, kw_only=True)
class Diverged:
    """A seed whose training came to nothing."""

    seed: int
    path: Path
    error: DivergedError


def fit_head(
    config: FitConfig,
    *,
    on_epoch: Callable[[Mapping[str, float]], None] = lambda record: None,
    shown: bool = False,
    rows: TrainingRows | None = None,
) -> Fitted:
    """Train a head and leave its run folder.

    A run that was killed goes on where it was, to the same end, when the same thing is
    asked again; a finished one is evaluated and returned.

    Args:
        config: what to train, on what, how.
        on_epoch: told the history record of each evaluation (one an epoch unless iterations
            are counted): epoch, iteration, lr, train/loss, val/loss, `val/<target>/top1` and
            `val/<target>/mean_class_accuracy`, or `val/<target>/mAP` of several classes a row.
        shown: whether a bar and lines of figures tell a person how it goes.
        rows: those of the config, where they are open already.

    Raises:
        RequestError: unknown head, option, target or split, or a folder of another run; or several
            seeds, of which `fit_seeds` makes a run each.
        StoreError: the store cannot be read.
        WeightsError: the published weights cannot be read.
        EgofeatError: the training failed.
    """
    if config.seeds > 1:
        raise RequestError(
            f"`seeds` {config.seeds} makes several runs: call fit_seeds of "
            "egofeat.pipelines.training.seeds, or leave `seeds` out"
        )
    (fitted,) = fit_each(config, on_epoch, shown, rows)
    if isinstance(fitted, Diverged):
        raise fitted.error
    return fitted


def fit_each(
    config: FitConfig,
    on_epoch: Callable[[Mapping[str, float]], None],
    shown: bool,
    rows: TrainingRows | None = None,
) -> list[Fitted | Diverged]:
    """Train a head with each seed that is asked for, all on the same batches.

    Arguments and errors are those of `fit_head`, but that a training whose loss is not finite ends
    alone.
    """
    pairs = zip(config.trainers(), config.outs(), strict=True)
    try:
        return fit_alike(
            [replace(config, seeds=1, trainer=trainer, out=out) for trainer, out in pairs],
            on_epoch,
            shown,
            rows,
        )
    finally:
        if config.out and config.seeds > 1:
            _remove_empty(config.out)


def fit_alike(
    configs: Sequence[FitConfig],
    on_epoch: Callable[[Mapping[str, float]], None] = lambda record: None,
    shown: bool = False,
    rows: TrainingRows | None = None,
) -> list[Fitted | Diverged]:
    """Train heads that differ by their seed alone, and learn from the same rows in one order.

    Args:
        configs: with a trainer, each of one seed.
        on_epoch: see `fit_head`, as for the other arguments and errors.
        shown: see there.
        rows: see there.
    """
    first = configs[0]
    trainers = [config.trainer or trainer_config(config.preset) for config in configs]
    if first.log:
        needs_tensorboard()
    options = resolve_options(first.head, first.preset, first.options)
    if rows is None:
        rows = TrainingRows.open(first, options, trainers[0].order_seed)
        rows.tell_missing()
    check_labels(trainers[0], rows.labels)
    asked = [describe(first, options, trainer, rows) for trainer in trainers]
    check_head(asked[0])
    with ExitStack() as stack:
        stack.enter_context(style.also(first.figures))
        examples = cache(partial(_examples, rows, asked[0]))
        runs = [
            _begin(stack.enter_context(claim(config.out, one)), one, rows, examples)
            for config, one in zip(configs, asked, strict=True)
        ]
        if first.log:
            for run in runs:
                if isinstance(run, Begun):
                    run.board = stack.enter_context(Board(run.folder.path))
        if left := [run for run in runs if isinstance(run, Begun)]:
            fit_members(left, examples(), on_epoch, first.head if shown else None)
        pairs = zip(runs, asked, strict=True)
        return [_end(run, of, rows) for run, of in pairs]


def _remove_empty(folder: Path) -> None:
    """Of seeds that came to nothing, nothing stays."""
    with suppress(OSError):
        folder.rmdir()


def _examples(rows: TrainingRows, asked: RunConfig) -> list[Examples]:
    return rows.examples(asked.make_head(), asked.trainer)


def _begin(
    path: Path, asked: RunConfig, rows: TrainingRows, examples: Callable[[], object]
) -> Run | Begun:
    """Make a fresh head in a folder that is this training's own; or load what is trained there."""
    folder = RunFolder(path)
    if folder.metrics.exists():
        run = load_run(path)
        console.note(f"{path} is trained already: it is only evaluated again")
        rows.trained_on.write(path)
        return run
    head = asked.make_head()
    if asked.init is not None:
        start(head, asked)
    examples()  # are refused before anything is written
    write_config(path, asked)
    rows.trained_on.write(path)
    return Begun(head, asked.trainer, folder)


def _end(run: Run | Begun, asked: RunConfig, rows: TrainingRows) -> Fitted | Diverged:
    """Write a trained head, and evaluate it."""
    board = run.board if isinstance(run, Begun) else None
    if isinstance(run, Begun):
        folder = run.folder
        if run.failed:
            if run.board:
                run.board.withdraw()
            withdraw(folder)
            return Diverged(seed=asked.trainer.seed, path=folder.path, error=run.failed)
        draw_instances(rows, folder.path)
        run = write_run(folder.path, asked, run.head, run.trained, rows.coverage)
    evaluation = evaluate_run(run, rows.store, asked.splits.val)
    if board:
        board.conclude(asked, evaluation.metrics)
    for checkpoint in run.path.glob("checkpoint*.safetensors"):
        checkpoint.unlink()
    return Fitted(**vars(run), evaluation=evaluation)


def withdraw(folder: RunFolder) -> None:
    """Remove a training that came to nothing, which would come to the same again.

    What is not a run's stays.
    """
    own = (folder.config.name, TRAINED_ON, SUMS, "checkpoint*", "history*.csv", "loss*.png")
    for path in [path for pattern in own for path in folder.path.glob(pattern)]:
        path.unlink()


def check_head(asked: RunConfig) -> None:
    """Refuse a head that cannot be, or not here, before anything is written.

    Raises:
        RequestError: it is larger than the memory, cannot read such features, or not compute so.
    """
    _refuse_more_than_memory(asked)
    head = asked.make_head()
    if asked.normalize and any(member.above_tap for member in head.members):
        raise RequestError(
            f"head '{asked.head}' takes maps as its backbone gave them: leave `normalize` out"
        )
    if asked.init == "backbone" and not all(member.above_tap for member in head.members):
        raise RequestError(
            f"`init` backbone gives head tail the blocks above a tap, and '{asked.head}' has none: "
            "leave it out"
        )
    if reads(asked.head, asked.preset) == "maps+flow":
        _refuse_without_flow(asked)
    check_precision(asked.trainer.amp, choose_device(asked.trainer.device), head)


def _refuse_more_than_memory(asked: RunConfig) -> None:
    """Refuse a head whose weights this machine cannot hold, before memory is taken for them."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    size = inf  # of what torch cannot even count
    with suppress(RuntimeError), torch.device("meta"):
        size = sum(weight.nbytes for weight in asked.make_head().parameters())
    if size > memory:
        raise RequestError(
            f"head '{asked.head}' with these options is larger than the memory of this machine "
            f"({console.size(memory)}): choose smaller ones"
        )


def _refuse_without_flow(asked: RunConfig) -> None:
    """Refuse to take the last channel of any maps for the motion that frames are weighted by."""
    single = len(asked.sources) == 1
    if single or asked.fuse != "features" or asked.sources[-1].shape[-3] != 1:
        raise RequestError(
            f"head '{asked.head}' weights maps by a grid of flow: name the store of "
            "maps first, then that of backbone flow_grid, with `store` each and `fuse` features"
        )


def draw_instances(rows: TrainingRows, out: Path) -> None:
    """Draw how many rows of each class train and validate, a picture a target, into a folder."""
    for target, labels in rows.labels.items():
        names = rows.store.classes[target]
        counts = {
            split: class_counts(labels[those], len(names)).numpy()
            for split, those in ((rows.splits.train, rows.train), (rows.splits.val, rows.val))
        }
        # A person may do several things at once, and is then counted with each.
        counted = "labels of persons" if rows.store.unit == "persons" else "segments"
        title = f"{counted} a class: {target}"
        instances_per_class(counts, names, out / f"instances-{target}.png", title, counted)

"""`egofeat fit-head`: a head trained on the features of a store or several, into a run folder."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from math import inf
from pathlib import Path

import torch

from egofeat import console
from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.heads.added import check_added, is_added
from egofeat.heads.measures.precision import autocast, check_precision
from egofeat.heads.registry import choose, reads, resolve_options
from egofeat.heads.solved import SolvedHead
from egofeat.heads.training.examples import Examples
from egofeat.heads.training.feed import as_features
from egofeat.heads.training.recipes import trainer_config
from egofeat.heads.training.trainer import check_labels
from egofeat.pipelines.figures import style
from egofeat.pipelines.runs.claim import claim
from egofeat.pipelines.runs.config import RunConfig
from egofeat.pipelines.training.apart import a_thread_each, crew_for, fit_apart, one_thread
from egofeat.pipelines.training.in_folder import (
    Diverged,
    Fitted,
    begin,
    end,
    end_all,
    examples_of,
)
from egofeat.pipelines.training.members import Begun, fit_members
from egofeat.pipelines.training.options import FitConfig
from egofeat.pipelines.training.tensorboard import needs_tensorboard
from egofeat.pipelines.training.training_rows import TrainingRows, describe


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
            several=config.seeds > 1,
        )
    finally:
        if config.out and config.seeds > 1:
            _remove_empty(config.out)


def fit_alike(
    configs: Sequence[FitConfig],
    on_epoch: Callable[[Mapping[str, float]], None] = lambda record: None,
    shown: bool = False,
    rows: TrainingRows | None = None,
    *,
    several: bool,
) -> list[Fitted | Diverged]:
    """Train heads that differ by their seed alone, and learn from the same rows in one order.

    Args:
        configs: with a trainer, each of one seed.
        on_epoch: see `fit_head`, as for the other arguments and errors.
        shown: see there.
        rows: see there.
        several: whether they are of several seeds, of which these may be what is left: then each
            is computed by one thread, here or in a process, where heads read vectors on a CPU.
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
        examples = examples_of(asked[0], rows)
        check_added_heads(asked[0], examples)
        runs = [
            begin(stack.enter_context(claim(config.out, one)), one, rows, examples)
            for config, one in zip(configs, asked, strict=True)
        ]
        left = [run for run in runs if isinstance(run, Begun)]
        shown_as, crew = first.head if shown else None, 1
        if several and left and a_thread_each(asked[0], rows, left[0]):
            cores = torch.get_num_threads()
            stack.enter_context(one_thread())
            crew = crew_for(left, examples(), cores)
        if crew > 1:
            of_left = [
                replace(config, trainer=one.trainer)
                for config, one, run in zip(configs, asked, runs, strict=True)
                if isinstance(run, Begun)
            ]
            done = iter(fit_apart(of_left, left, examples(), crew, on_epoch, shown_as))
            pairs = zip(runs, asked, strict=True)
            return [next(done) if isinstance(r, Begun) else end(r, one, rows) for r, one in pairs]
        return end_all(
            runs,
            asked,
            rows,
            first.log,
            lambda begun: fit_members(begun, examples(), on_epoch, shown_as),
        )


def _remove_empty(folder: Path) -> None:
    """Of seeds that came to nothing, nothing stays."""
    with suppress(OSError):
        folder.rmdir()


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


def check_added_heads(asked: RunConfig, examples: Callable[[], Sequence[Examples]]) -> None:
    """Refuse heads that are added and give no such logits, or could not learn; see `check_added`.

    They are given rows where they are to be trained, and in its arithmetic, for some can compute
    nowhere else.

    Args:
        asked: what config.yaml of the run is to say.
        examples: gives what each head of the run learns from.
    """
    if not is_added(choose(asked.head, asked.preset)[0]):
        return
    classes = {target: len(names) for target, names in asked.classes.items()}
    device = choose_device(asked.trainer.device)
    for head, of in zip(asked.make_head().members, examples(), strict=True):
        if not isinstance(head, SolvedHead):
            rows = torch.from_numpy(as_features(of.features).take(of.train[:3])).float()
            if asked.normalize:  # by the figures of all rows, which are not known yet
                rows = (rows - rows.mean()) / rows.std()
            with autocast(asked.trainer.amp, device):
                check_added(head.to(device), rows.to(device), classes)


def _refuse_more_than_memory(asked: RunConfig) -> None:
    """Refuse a head whose weights this machine cannot hold, before memory is taken for them."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    size = inf  # of what torch cannot even count
    with suppress(RuntimeError):
        size = sum(weight.nbytes for weight in asked.empty_head().parameters())
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

"""The heads of a run: each standardised and trained to its end, its history written and drawn."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import torch

from egofeat import console
from egofeat.heads.checkpoint import Progress
from egofeat.heads.config import TrainerConfig
from egofeat.heads.fusion import AveragedHeads, WeightedHeads
from egofeat.heads.head import Head, Standardise
from egofeat.heads.training.feed import as_features, channel_statistics
from egofeat.heads.training.trainer import Examples, predict, train
from egofeat.pipelines.figures.runs import loss_curves
from egofeat.pipelines.training.run import RunFolder
from egofeat.pipelines.training.run_config import Training
from egofeat.pipelines.training.run_files import forget, remember
from egofeat.store import PersonRows

FIGURES_EVERY_S = 2.0
"""Seconds between lines of figures while a head trains, at least."""


def fit_members(
    head: Head | AveragedHeads,
    examples: Sequence[Examples],
    config: TrainerConfig,
    folder: RunFolder,
    on_epoch: Callable[[Mapping[str, float]], None],
    shown_as: str | None = None,
) -> list[Training]:
    """Train a run's head, or each of several and then their weights if these are learnt.

    Args:
        head: with fresh weights.
        examples: what each head learns from: the same rows.
        config: how.
        folder: of the run.
        on_epoch: told the history record of each evaluation.
        shown_as: what a bar and lines of figures call the head; None shows nothing.
    """
    members = head.members
    training = []
    for number, (member, of_member) in enumerate(zip(members, examples, strict=True), start=1):
        name = f"-{number}" if len(members) > 1 else ""
        shown = shown_as and f"{shown_as} {number} of {len(members)}" if name else shown_as
        training.append(fit_member(member, of_member, config, folder, name, on_epoch, shown))
    if isinstance(head, WeightedHeads):
        pairs = zip(members, examples, strict=True)
        parts = [predict(member, of.features, of.train) for member, of in pairs]
        head.fit(parts, examples[0].labels_of(examples[0].train, torch.device("cpu")))
    return training


def fit_member(
    head: Head,
    examples: Examples,
    config: TrainerConfig,
    folder: RunFolder,
    member: str,
    on_epoch: Callable[[Mapping[str, float]], None],
    shown_as: str | None = None,
) -> Training:
    """Train a run's head, or one of several, from where its checkpoint is; leave its history.

    A training of no epochs has none. The head ends with the weights of its best epoch; the
    arguments are those of `fit_members`, and `member` is empty or which of several it is, as
    `RunFolder` has it.
    """
    if isinstance(head.standardise, Standardise):
        features = examples.features
        if isinstance(features, PersonRows):  # nobody is all zeros
            features = features.alone
        mean, std = channel_statistics(as_features(features), examples.train)
        head.standardise.mean.copy_(torch.from_numpy(mean))
        head.standardise.std.copy_(torch.from_numpy(std))
    history = folder.history(member)
    forget(history)
    with ExitStack() as stack:
        seen = on_epoch
        if shown_as:
            bar = console.progress(f"training {shown_as}", config.length, f"{config.unit}s")
            seen = watched(on_epoch, config, stack.enter_context(bar))
        progress = train(
            head,
            examples,
            config,
            checkpoint=folder.checkpoint(member),
            history=history,
            on_epoch=seen,
        )
    if shown_as and (stopped := stopped_early(progress, config)):
        console.note(stopped)
    if progress.history:
        remember(history)
        loss_curves(history, folder.losses(member))
    epochs = [0.0, *(record["epoch"] for record in progress.history)]
    return Training(
        best_epoch=epochs[progress.best_round],
        epochs=epochs[-1],
        seconds=round(progress.seconds, 3),
    )


def watched(
    on_epoch: Callable[[Mapping[str, float]], None],
    config: TrainerConfig,
    move: Callable[[int], None],
) -> Callable[[Mapping[str, float]], None]:
    """Tell a bar how far each evaluation's record is from the one before, and say its figures."""
    done, spoke = 0, -FIGURES_EVERY_S

    def seen(record: Mapping[str, float]) -> None:
        nonlocal done, spoke
        on_epoch(record)
        now = int(record[config.unit])
        move(now - done)
        done = now
        if time.monotonic() - spoke >= FIGURES_EVERY_S:
            console.note(f"{config.unit} {now}/{config.length}: {figures_of(record)}")
            spoke = time.monotonic()

    return seen


def figures_of(record: Mapping[str, float]) -> str:
    """What a record says of loss and accuracy, for people."""
    said = [f"loss {record['train/loss']:.3f}, on validation {record['val/loss']:.3f}"]
    for name, value in record.items():
        target, _, figure = name.removeprefix("val/").rpartition("/")
        if figure in ("top1", "mAP"):
            said.append(f"{target} {figure.replace('top', 'top-')} {100 * value:.1f} %")
    return ", ".join(said)


def stopped_early(progress: Progress, config: TrainerConfig) -> str | None:
    """Say that patience has ended a training, and what was best; None where it went to its end."""
    if not progress.history or progress.history[-1][config.unit] >= config.length:
        return None
    unit = config.unit
    done = int(progress.history[-1][unit])
    best = int(progress.history[progress.best_round - 1][unit])
    waited = len(progress.history) - progress.best_round
    return (
        f"stopped after {done} of {config.length} {unit}s: {waited} evaluations were not "
        f"better than {unit} {best}, whose weights are kept"
    )

"""The heads of a run: each standardised and trained to its end, its history written and drawn."""

from collections.abc import Callable, Mapping, Sequence

import torch

from egofeat.heads.config import TrainerConfig
from egofeat.heads.feed import channel_statistics
from egofeat.heads.fusion import AveragedHeads, WeightedHeads
from egofeat.heads.head import Head, Standardise
from egofeat.heads.trainer import Examples, evaluation_feed, predict, train
from egofeat.pipelines.pictures import loss_curves
from egofeat.pipelines.run import RunFolder
from egofeat.pipelines.run_files import forget, remember
from egofeat.store.persons import PersonRows


def fit_members(
    head: Head | AveragedHeads,
    examples: Sequence[Examples],
    config: TrainerConfig,
    folder: RunFolder,
    on_epoch: Callable[[Mapping[str, float]], None],
) -> None:
    """Train a run's head, or each of several and then their weights if these are learnt.

    Args:
        head: with fresh weights.
        examples: what each head learns from: the same rows.
        config: how.
        folder: of the run.
        on_epoch: told the history record of each evaluation.
    """
    members = head.members if isinstance(head, AveragedHeads) else [head]
    for number, (member, of_member) in enumerate(zip(members, examples, strict=True), start=1):
        name = f"-{number}" if len(members) > 1 else ""
        fit_member(member, of_member, config, folder, name, on_epoch)
    if isinstance(head, WeightedHeads):
        device = next(head.parameters()).device
        parts = [
            predict(member, evaluation_feed(of.features, of.train, device=device))
            for member, of in zip(members, examples, strict=True)
        ]
        head.fit(parts, examples[0].labels_of(examples[0].train, torch.device("cpu")))


def fit_member(
    head: Head,
    examples: Examples,
    config: TrainerConfig,
    folder: RunFolder,
    member: str,
    on_epoch: Callable[[Mapping[str, float]], None],
) -> None:
    """Train a run's head, or one of several, from where its checkpoint is; leave its history.

    A training of no epochs has none.

    Args:
        head: with its fresh weights; it ends with those of its best epoch.
        examples: what it learns from.
        config: how.
        folder: of the run.
        member: empty, or which head of several, as `RunFolder` has it.
        on_epoch: told the history record of each evaluation.
    """
    if isinstance(head.standardise, Standardise):
        features = examples.features
        if isinstance(features, PersonRows):  # each alone: nobody is all zeros
            features = PersonRows(features.store)
        mean, std = channel_statistics(features, examples.train)
        head.standardise.mean.copy_(torch.from_numpy(mean))
        head.standardise.std.copy_(torch.from_numpy(std))
    history = folder.history(member)
    forget(history)
    progress = train(
        head,
        examples,
        config,
        checkpoint=folder.checkpoint(member),
        history=history,
        on_epoch=on_epoch,
    )
    if progress.history:
        remember(history)
        loss_curves(history, folder.losses(member))

"""One head of a run: standardised, trained to its end, its history written and drawn."""

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from egofeat.heads.config import TrainerConfig
from egofeat.heads.feed import channel_statistics
from egofeat.heads.files import replace_file
from egofeat.heads.head import Head, Standardise
from egofeat.heads.trainer import Examples, train
from egofeat.pipelines.pictures import loss_curves
from egofeat.pipelines.run import RunFolder


def fit_member(
    head: Head,
    examples: Examples,
    config: TrainerConfig,
    folder: RunFolder,
    member: str,
    on_epoch: Callable[[Mapping[str, float]], None],
) -> None:
    """Train a run's head, or one of several, from where its checkpoint is; leave its history.

    Args:
        head: with its fresh weights; it ends with those of its best epoch.
        examples: what it learns from.
        config: how.
        folder: of the run.
        member: empty, or which head of several, as `RunFolder` has it.
        on_epoch: told the history record of each epoch done.
    """
    if isinstance(head.standardise, Standardise):
        mean, std = channel_statistics(examples.features, examples.train)
        head.standardise.mean.copy_(torch.from_numpy(mean))
        head.standardise.std.copy_(torch.from_numpy(std))
    progress = train(
        head, examples, config, checkpoint=folder.checkpoint(member), on_epoch=on_epoch
    )
    write_history(folder.history(member), progress.history)
    loss_curves(folder.history(member), folder.losses(member))


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Write one line an epoch, with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(history[0]), lineterminator="\n")
    writer.writeheader()
    for record in history:
        writer.writerow({**record, "epoch": int(record["epoch"])})
    replace_file(path, text.getvalue().encode())

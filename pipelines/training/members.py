"""The heads of runs: each standardised and trained to its end, its history written and drawn."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from math import log
from statistics import mean

import torch

from egofeat import console
from egofeat.heads.checkpoint import Progress
from egofeat.heads.config import Length, Loss, Optimizer, Schedule, TrainerConfig
from egofeat.heads.fusion import AveragedHeads, WeightedHeads
from egofeat.heads.head import Head, Standardise
from egofeat.heads.solved import KnnHead, SolvedHead
from egofeat.heads.training.examples import Examples
from egofeat.heads.training.feed import as_features, channel_statistics
from egofeat.heads.training.losses import Labels
from egofeat.heads.training.passes import predict
from egofeat.heads.training.replicas import DivergedError, Replica
from egofeat.heads.training.solving import solve
from egofeat.heads.training.trainer import train_together
from egofeat.pipelines.figures.runs import loss_curves
from egofeat.pipelines.runs.config import Training
from egofeat.pipelines.runs.files import forget, remember
from egofeat.pipelines.runs.run import RunFolder
from egofeat.pipelines.training.tensorboard import Board
from egofeat.store import PersonRows
from egofeat.words import decimals

FIGURES_EVERY_S = 2.0
"""Seconds between lines of figures while a head trains, at least."""

FAR = 10
"""Times the loss of guessing, above which no training ends that has learnt a thing."""

Tell = Callable[[Mapping[str, float]], None]
"""Told the history record of each evaluation."""


@dataclass
class Begun:
    """A run whose heads are in training, alone or beside those of other seeds."""

    head: Head | AveragedHeads
    """With fresh weights; then trained."""
    config: TrainerConfig
    folder: RunFolder
    trained: list[Training] = field(default_factory=list)
    """How that of each of its heads went."""
    failed: DivergedError | None = None
    """Why there is no more to come."""
    board: Board | None = None
    """Where TensorBoard is told too."""

    def told(self, tell: Tell, member: str) -> Tell:
        """Tell the board of a record, and then who is told without one."""
        if (board := self.board) is None:
            return tell

        def both(record: Mapping[str, float]) -> None:
            board.add(record, member)
            tell(record)

        return both


def fit_members(
    runs: Sequence[Begun],
    examples: Sequence[Examples],
    on_epoch: Tell,
    shown_as: str | None = None,
) -> None:
    """Train the head of some runs, or each of several and then their weights if these are learnt.

    Args:
        runs: which differ by their seed alone.
        examples: what each head of a run learns from: the same rows.
        on_epoch: told the history record of each evaluation.
        shown_as: what a bar and lines of figures call the head; None shows nothing.
    """
    several = len(examples) > 1
    for number, of_member in enumerate(examples, start=1):
        shown = shown_as and f"{shown_as} {number} of {len(examples)}" if several else shown_as
        left = [run for run in runs if not run.failed]
        if left:
            fit_member(left, number - 1, of_member, on_epoch, shown)
    for run in runs:
        if isinstance(run.head, WeightedHeads) and not run.failed:
            pairs = zip(run.head.members, examples, strict=True)
            parts = [predict(member, of.features, of.train) for member, of in pairs]
            run.head.fit(parts, examples[0].labels_of(examples[0].train, torch.device("cpu")))


def fit_member(
    runs: Sequence[Begun],
    number: int,
    examples: Examples,
    on_epoch: Tell,
    shown_as: str | None = None,
) -> None:
    """Train a head of each run from where its checkpoint is; leave its history.

    A training of no epochs has none. The heads end with the weights of their best epoch; the
    arguments are those of `fit_members`, and `number` is which of several heads it is, from 0.
    """
    heads = [run.head.members[number] for run in runs]
    member = f"-{number + 1}" if len(runs[0].head.members) > 1 else ""
    standardise(heads, examples)
    config = runs[0].config
    if isinstance(heads[0], SolvedHead):
        _solve(runs, heads, examples, shown_as)
        return
    replicas: list[Replica] = []
    with ExitStack() as stack:
        seen = [on_epoch] * len(runs)
        if shown_as:
            names = [f"seed {run.config.seed}, " if len(runs) > 1 else "" for run in runs]
            more = partial(waited, replicas)
            shown = watched(f"training {shown_as}", on_epoch, config, names, len(runs), more)
            seen = stack.enter_context(shown)
        for head, run, tell in zip(heads, runs, seen, strict=True):
            history = run.folder.history(member)
            forget(history)
            checkpoint = run.folder.checkpoint(member)
            replicas.append(
                Replica(head, run.config.seed, checkpoint, history, run.told(tell, member))
            )
        train_together(replicas, examples, config)
    for run, replica in zip(runs, replicas, strict=True):
        run.failed = replica.failed
        if not run.failed:
            said = f"seed {run.config.seed} " if len(runs) > 1 else ""
            trained = ended(replica.progress, run, member, said if shown_as else None)
            lost = diverged(replica, examples.labels, config)
            run.trained.append(trained.model_copy(update={"diverged": lost}))


def _solve(
    runs: Sequence[Begun],
    heads: Sequence[Head],
    examples: Examples,
    shown_as: str | None,
) -> None:
    """Compute heads that no seed changes; see `fit_member`."""
    solved = [head for head in heads if isinstance(head, SolvedHead)]
    if shown_as:
        idle = [*_of_training(runs[0].config, heads[0]), *(["seeds"] if len(runs) > 1 else [])]
        named = " and ".join(f"`{name}`" for name in idle)
        said = f": {named} change{'' if idle[1:] else 's'} nothing of it" if idle else ""
        console.note(f"head {shown_as} is computed, not trained{said}")
    seconds, chosen = solve(solved, examples, runs[0].config)
    if shown_as and chosen:
        console.note(chosen)
    told = Training(best_epoch=0.0, epochs=0.0, seconds=round(seconds, 3), chosen=chosen or None)
    for run in runs:
        run.trained.append(told)


def _of_training(config: TrainerConfig, head: Head) -> Iterator[str]:
    """Options that were chosen though the head, which is computed, has no use for them."""
    for kind in (Length, Optimizer, Schedule, *([Loss] if isinstance(head, KnnHead) else [])):
        for one in fields(kind):
            if one.name not in ("seed", "data_seed") and getattr(config, one.name) != one.default:
                yield one.name


def standardise(heads: Sequence[Head], examples: Examples) -> None:
    """Give heads that standardise the figures of the training rows."""
    if isinstance(heads[0].standardise, Standardise):
        features = examples.features
        if isinstance(features, PersonRows):  # nobody is all zeros
            features = features.alone
        mean, std = channel_statistics(as_features(features), examples.train)
        for head in heads:
            assert isinstance(head.standardise, Standardise)
            head.standardise.mean.copy_(torch.from_numpy(mean))
            head.standardise.std.copy_(torch.from_numpy(std))


def ended(progress: Progress, run: Begun, member: str, said: str | None) -> Training:
    """Draw a training that has come to its end, and sum it up.

    Args:
        progress: of one head.
        run: which is its.
        member: which of several heads it is, as `RunFolder` has it.
        said: begins the line that says whether patience ended it; None says nothing.
    """
    stopped = stopped_early(progress, run.config)
    if said is not None and stopped:
        console.note(f"{said}{stopped}")
    if progress.history:
        history = run.folder.history(member)
        remember(history)
        loss_curves(history, run.folder.losses(member))
    epochs = [0.0, *(record["epoch"] for record in progress.history)]
    return Training(
        best_epoch=epochs[progress.best_round],
        epochs=epochs[-1],
        seconds=round(progress.seconds, 3),
        waiting=round(progress.waited / progress.seconds, 4) if progress.seconds else None,
        stopped=stopped,
    )


def waited(replicas: Sequence[Replica]) -> str:
    """Say what part of the time so far training waited for features; nothing below one per cent."""
    seconds = sum(one.progress.seconds for one in replicas)
    part = sum(one.progress.waited for one in replicas) / seconds if seconds else 0.0
    return f"waits {100 * part:.0f} % for data" if part >= 0.01 else ""


_LEAST_S = 0.5
"""That a pace is told of: records that other processes wrote come several at once."""


class _Pace:
    """How fast trainings go together: each tells of itself, while others go on beside it."""

    def __init__(self, abreast: int) -> None:
        self._abreast = abreast
        self._began = time.monotonic()
        self._first: dict[int, tuple[float, float]] = {}
        """When each training told first, and how far it was: what was before is no training."""
        self._paces: dict[int, float] = {}

    def tell(self, training: int, done: float) -> None:
        """A training is so far."""
        now = time.monotonic()
        since, before = self._first.get(training, (self._began, 0.0))
        if now - since >= _LEAST_S:
            self._paces[training] = (done - before) / (now - since)
        self._first.setdefault(training, (now, done))

    def __call__(self) -> float | None:
        """Units a second of all that go on; None before one has told."""
        return mean(self._paces.values()) * self._abreast if self._paces else None


@contextmanager
def watched(
    what: str,
    on_epoch: Tell,
    config: TrainerConfig,
    names: Sequence[str],
    abreast: int,
    more: Callable[[], str] = str,
) -> Iterator[list[Tell]]:
    """Show a bar that each evaluation's record moves, and say its figures; yields who is told.

    Args:
        what: is done.
        on_epoch: is told first.
        config: of the trainings.
        names: what the line of figures of each training begins with.
        abreast: how many of them go on at once.
        more: asked for what else there is to say.
    """
    spoke, pace = -FIGURES_EVERY_S, _Pace(abreast)
    total, units = config.length * len(names), f"{config.unit}s"

    def of_one(training: int, name: str) -> Tell:
        done = 0

        def seen(record: Mapping[str, float]) -> None:
            nonlocal done, spoke
            on_epoch(record)
            now = int(record[config.unit])
            pace.tell(training, record[config.unit])
            move(now - done)
            done = now
            if time.monotonic() - spoke >= FIGURES_EVERY_S:
                console.note(f"{name}{config.unit} {now}/{config.length}: {figures_of(record)}")
                spoke = time.monotonic()

        return seen

    with console.progress(what, total, units, more=more, pace=pace) as move:
        yield [of_one(*one) for one in enumerate(names)]


def figures_of(record: Mapping[str, float]) -> str:
    """What a record says of loss and accuracy, for people."""
    train, validation = (decimals(record[f"{split}/loss"]) for split in ("train", "val"))
    said = [f"loss {train}, on validation {validation}"]
    for name, value in record.items():
        target, _, figure = name.removeprefix("val/").rpartition("/")
        if figure in ("top1", "mAP"):
            said.append(f"{target} {figure.replace('top', 'top-')} {100 * value:.1f} %")
    return ", ".join(said)


def diverged(replica: Replica, labels: Mapping[str, Labels], config: TrainerConfig) -> str | None:
    """Say that a training ended far above the loss of guessing; None of one that did not."""
    if not (history := replica.progress.history):
        return None
    guess = sum(
        log(2 if labels[target].ndim == 2 else count)
        for target, count in replica.head.class_totals.items()
    )
    loss = history[-1]["train/loss"]
    if loss <= FAR * guess:
        return None
    return (
        f"has diverged: its last {config.unit} has a loss of {decimals(loss)}, and guessing has "
        f"{decimals(guess)}: lower the learning rate ({config.lr:g})"
    )


def stopped_early(progress: Progress, config: TrainerConfig) -> str | None:
    """Say that patience has ended a training, and what was best; None where it went to its end."""
    if not progress.history or progress.history[-1][config.unit] >= config.length:
        return None
    unit = config.unit
    done = int(progress.history[-1][unit])
    best = int(progress.history[progress.best_round - 1][unit])
    waited = len(progress.history) - progress.best_round
    were = "evaluation was" if waited == 1 else "evaluations were"
    return (
        f"stopped after {done} of {config.length} {unit}s: {waited} {were} not better than "
        f"{unit} {best}, whose weights are kept"
    )

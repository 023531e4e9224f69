"""The training loop: batches of a feed, validation, early stopping, resuming."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor

from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.heads.added import blamed
from egofeat.heads.checkpoint import Progress
from egofeat.heads.config import TrainerConfig
from egofeat.heads.head import Head
from egofeat.heads.measures.metrics import target_metrics
from egofeat.heads.measures.precision import check_precision
from egofeat.heads.training.examples import Examples, condensed
from egofeat.heads.training.feed import Feed, as_features, row_bytes, should_hold
from egofeat.heads.training.losses import Criterion, Labels, class_counts
from egofeat.heads.training.passes import evaluation_feed, pass_over
from egofeat.heads.training.replicas import Batch, DivergedError, InTurn, Replica, Trainee
from egofeat.heads.training.sampling import BatchOrder
from egofeat.heads.training.schedules import count_plateaus, rate_factor
from egofeat.heads.training.stacked import Families, Stacked, can_learn_stacked, family_of
from egofeat.heads.training.threads import threads_for

FIGURES = ("top1", "mean_class_accuracy", "mAP")
"""Of a target, those that the history holds."""


def train(
    head: Head,
    examples: Examples,
    config: TrainerConfig,
    *,
    checkpoint: Path | None = None,
    history: Path | None = None,
    on_epoch: Callable[[Mapping[str, float]], None] = lambda record: None,
) -> Progress:
    """Train a head; it ends with the weights of its best evaluation, on the training device.

    One machine, one seed and one number of threads give the same bits on a CPU, killed
    and resumed or not, with features held or read from the map.

    Args:
        head: with its fresh weights.
        examples: what it learns from.
        config: how.
        checkpoint: file that holds the state after each evaluation; if it is there, training
            goes on from it.
        history: file that each evaluation's record is added to, where there is a checkpoint;
            None is the checkpoint's name with the ending `.csv`.
        on_epoch: told the history record of each evaluation, one an epoch unless iterations
            are counted.

    Raises:
        DivergedError: the loss is no longer finite.
        EgofeatError: the checkpoint is not this head's, or a head that is added raises.
        RequestError: the device is not at hand, or has not the arithmetic asked for, or an option
            has no meaning for the labels.
    """
    replica = Replica(head, config.seed, checkpoint, history, on_epoch)
    train_together([replica], examples, config)
    try:
        if replica.failed:
            raise replica.failed
        return replica.progress
    finally:
        del replica  # which has the error, and this frame is in it


def train_together(replicas: Sequence[Replica], examples: Examples, config: TrainerConfig) -> None:
    """Train heads of one build on the same batches, each of which is read once.

    Each comes to what it would alone, with `data_seed` as it is here: to the bits, or to rounding
    where they are stacked. It stops, fails and goes on by itself.

    Args:
        replicas: the heads and their seeds; afterwards, how each of them went.
        examples: what they learn from.
        config: how; its own seed says the order of rows, where there is no `data_seed`.

    Raises:
        EgofeatError, RequestError: as `train`, but for a loss that is not finite.
    """
    with blamed(type(replicas[0].head)):
        _train_together(replicas, examples, config)


def _train_together(replicas: Sequence[Replica], examples: Examples, config: TrainerConfig) -> None:
    trainer = _Trainer(replicas[0].head, examples, config)
    trainees = [
        Trainee(replica, config, trainer.device, condensed=trainer.condensed)
        for replica in replicas
    ]
    for trainee in trainees:
        trainee.resume(trainer.order.per_epoch)
    on_gpu = [trainer.device] if trainer.device.type == "cuda" else []
    try:
        with trainer.threads, torch.random.fork_rng(on_gpu):
            while left := [one for one in trainees if not trainer.finished(one.replica)]:
                # After a kill between their checkpoints some are one evaluation ahead.
                reached = min(one.progress.iteration for one in left)
                going = [one for one in trainees if one in left or one.progress.iteration > reached]
                trainer.round(going, [one.progress.iteration == reached for one in going])
        trainer.release()
        for trainee in trainees:
            trainee.finish()
    finally:
        for trainee in trainees:
            trainee.end()


class _Trainer:
    """Loss, feeds and order of one training, or of several on the same batches."""

    def __init__(self, head: Head, examples: Examples, config: TrainerConfig) -> None:
        self.config = config
        self.device = choose_device(config.device)
        check_precision(config.amp, self.device, head)
        check_labels(config, examples.labels)
        training = {target: values[examples.train] for target, values in examples.labels.items()}
        self.criterion = make_criterion(head, training, config).to(self.device)
        self.condensed = (
            less := condensed(head, examples, self.device, config.device_cache)
        ) is not None
        examples = less or examples
        features = as_features(examples.features)
        wanted = (len(examples.train) + len(examples.validation)) * row_bytes(features)
        held = should_hold(config.device_cache, self.device, wanted)
        self.feed = Feed(
            features, examples.train, device=self.device, batch_size=config.batch_size, held=held
        )
        self.validation = evaluation_feed(
            features, examples.validation, device=self.device, held=held
        )
        rows = min(config.batch_size, len(examples.train))
        self.threads = threads_for(head, features.row_shape, rows, self.device)
        self.train_labels = examples.labels_of(examples.train, self.device)
        self.validation_labels = examples.labels_of(examples.validation, self.device)
        gaze = examples.gaze if config.gaze_weight else None
        self.gaze = None if gaze is None else torch.from_numpy(gaze).to(self.device)
        self.order = BatchOrder(
            config.sampling, training, seed=config.order_seed, batch_size=config.batch_size
        )
        self.decay = config.decay(self.order.per_epoch)
        self._stacks: dict[int, Stacked] = {}
        """By family."""
        self.length = config.iterations or config.epochs * self.order.per_epoch

    def finished(self, replica: Replica) -> bool:
        """Whether the last iteration is done, or patience at its end, or the loss not finite."""
        patience, progress = self.config.patience, replica.progress
        waited = len(progress.history) - progress.best_round
        at_end = progress.iteration >= self.length or (0 < patience <= waited)
        return at_end or replica.failed is not None

    def round(self, members: Sequence[Trainee], learning: Sequence[bool]) -> None:
        """Train to the next evaluation, validate, and write both into the progress of each.

        Args:
            members: whose training has this part.
            learning: which of them come to it now; the others did.
        """
        began, waited = time.monotonic(), self._waited
        start = min(one.progress.iteration for one in members)
        stop = min(start + (self.config.eval_every or self.order.per_epoch), self.length)
        group = self._group(members, learning, start)
        trainees = group.learners
        plateaus = [self._plateaus(one.progress, start) for one in trainees]
        losses = self._train(group, start, stop, plateaus).tolist()  # all that is waited for
        records = [
            {
                "epoch": stop / self.order.per_epoch,
                "iteration": float(stop),
                "lr": self._rate(stop, passed),
                "train/loss": loss,
                **figures,
            }
            for loss, passed, figures in zip(losses, plateaus, self._validate(group), strict=True)
        ]
        seconds = (time.monotonic() - began) / len(trainees)
        waited = (self._waited - waited) / len(trainees)
        for trainee, record in zip(trainees, records, strict=True):
            trainee.replica.failed = self._diverged(record)
            if not trainee.replica.failed:
                trainee.progress.seconds += seconds
                trainee.progress.waited += waited
                self._add(trainee, record)
                trainee.keep()

    def _group(
        self, members: Sequence[Trainee], learning: Sequence[bool], start: int
    ) -> InTurn | Families:
        """Who learns from a batch, and how: those of a family as one, if all have one rate."""
        if not can_learn_stacked(members):
            self.release()
            return InTurn([one for one, learns in zip(members, learning, strict=True) if learns])
        families: dict[int, list[tuple[Trainee, bool]]] = {}
        for one, learns in zip(members, learning, strict=True):
            families.setdefault(family_of(one.replica.seed), []).append((one, learns))
        groups: list[InTurn | Stacked] = []
        for family, pairs in families.items():
            of_family, learn = [one for one, _ in pairs], [learns for _, learns in pairs]
            rates = {self._plateaus(one.progress, start) for one in of_family}
            if not any(learn):
                continue
            if len(rates) == 1 and can_learn_stacked(of_family):
                groups.append(self._stack_of(family, of_family, learn))
            else:
                self._release(family)
                groups.append(InTurn([one for one, learns in pairs if learns], alone=False))
        return Families(groups)

    def _stack_of(
        self, family: int, members: Sequence[Trainee], learning: Sequence[bool]
    ) -> Stacked:
        """Members as one: as they were stacked before, where they are the same."""
        before = self._stacks.get(family)
        if before is not None and (before.members, before.learning) == (members, learning):
            return before
        self._release(family)
        return self._stacks.setdefault(family, Stacked(members, learning))

    def release(self) -> None:
        """Leave each trainee weights of its own."""
        for family in list(self._stacks):
            self._release(family)

    def _release(self, family: int) -> None:
        if (stack := self._stacks.pop(family, None)) is not None:
            stack.release()

    @property
    def _waited(self) -> float:
        return self.feed.waited + self.validation.waited

    def _diverged(self, record: Mapping[str, float]) -> DivergedError | None:
        """Why a training cannot go on."""
        if math.isfinite(record["train/loss"]) and math.isfinite(record["val/loss"]):
            return None
        unit = self.config.unit
        clip = self.config.clip_norm
        limit = f"`clip_norm` ({clip:g})" if clip else "clip the gradients with `clip_norm` 1"
        more = "" if self.config.amp == "off" else f", or leave `amp` {self.config.amp} out"
        return DivergedError(
            f"the loss is not finite in {unit} {record[unit]:.0f}: "
            f"lower `lr` ({self.config.lr:g}), or {limit}{more}"
        )

    def _add(self, trainee: Trainee, record: dict[str, float]) -> None:
        """Add a record to the progress, and the weights if they are the best."""
        progress, value = trainee.progress, self._monitored(record)
        progress.history.append(record)
        if not progress.best or value > progress.best_value:
            progress.best_round, progress.best_value = len(progress.history), value
            state = trainee.head.state_dict()
            progress.best = {name: tensor.to("cpu", copy=True) for name, tensor in state.items()}

    def _plateaus(self, progress: Progress, iteration: int) -> int:
        """Of the evaluations up to an iteration."""
        history = [one for one in progress.history if one["iteration"] <= iteration]
        values = [self._monitored(record) for record in history]
        return count_plateaus(values, self.config.lr_patience)

    def _rate(self, iteration: int, plateaus: int) -> float:
        """Return the learning rate of an iteration, from 1."""
        step = iteration if self.config.iterations else -(-iteration // self.order.per_epoch)
        return self.config.lr * rate_factor(self.config.schedule, self.decay, step, plateaus)

    def _train(
        self, group: InTurn | Families, start: int, stop: int, plateaus: Sequence[int]
    ) -> Tensor:
        """Train on the batches `[start, stop)`; returns the mean loss of a row, of each `[K]`."""
        batches = self.order.span(start, stop)
        group.train()
        total = torch.zeros(len(plateaus), device=self.device)
        with closing(self.feed.gather(batches)) as gathered:
            for iteration, (features, places) in enumerate(gathered, start + 1):
                labels = {target: values[places] for target, values in self.train_labels.items()}
                points = None if self.gaze is None else self.gaze[places]
                rates = [self._rate(iteration, passed) for passed in plateaus]
                losses = group.step(Batch(features, labels, points), self.criterion, rates)
                total += losses * len(places)
        return total.double() / sum(map(len, batches))

    def _validate(self, group: InTurn | Families) -> list[dict[str, float]]:
        """Return loss and figures on the validation rows, of each."""
        group.eval()
        logits = pass_over(self.validation, group.logits, self.config.amp, stay=True)
        count = next(iter(logits.values())).shape[1]
        return [
            self._judge({target: of[:, one].contiguous() for target, of in logits.items()})
            for one in range(count)
        ]

    def _judge(self, logits: Mapping[str, Tensor]) -> dict[str, float]:
        record = {"val/loss": float(self.criterion(logits, self.validation_labels))}
        for target, values in logits.items():
            truth = self.validation_labels[target]
            figures = dict(target_metrics(target, values, truth, {}, tops=(1,)))
            for figure in FIGURES:
                if f"{target}/{figure}" in figures:
                    record[f"val/{target}/{figure}"] = figures[f"{target}/{figure}"]
        return record

    def _monitored(self, record: Mapping[str, float]) -> float:
        """Return what early stopping watches, greater is better."""
        if self.config.monitor == "loss":
            return -record["val/loss"]
        values = [
            value for name, value in record.items() if name.endswith(f"/{self.config.monitor}")
        ]
        return sum(values) / len(values)


def make_criterion(head: Head, training: Mapping[str, Labels], config: TrainerConfig) -> Criterion:
    """Make the loss, with the class counts of the training rows' labels."""
    return Criterion(
        {target: class_counts(training[target], of) for target, of in head.class_totals.items()},
        several={target: len(rows) for target, rows in training.items() if rows.ndim == 2},
        class_weights=config.class_weights,
        class_weight_cap=config.class_weight_cap,
        logit_adjustment=config.logit_adjustment,
    )


def check_labels(config: TrainerConfig, labels: Mapping[str, Labels]) -> None:
    """Refuse options that have no meaning where rows have several classes, or where they have one.

    Raises:
        RequestError: in one sentence, with what can be used instead.
    """
    several = [target for target, values in labels.items() if values.ndim == 2]
    if several and config.sampling == "balanced":
        raise RequestError(
            f"target '{several[0]}' has several classes a row, which sampling cannot "
            "balance: leave `sampling` balanced out, or choose `class_weights`"
        )
    if several and config.logit_adjustment:
        raise RequestError(
            f"target '{several[0]}' has several classes a row, and `logit_adjustment` is of the "
            "softmax over one: leave it out, or choose `class_weights`"
        )
    figures = {"mAP"} if several else set()
    if len(several) < len(labels):
        figures |= set(FIGURES) - {"mAP"}
    if config.monitor not in figures | {"loss"}:
        raise RequestError(
            f"`monitor` {config.monitor} is not a metric of {', '.join(labels)}: "
            f"choose one of {', '.join(['loss', *sorted(figures)])}"
        )

"""Heads that are trained on the same batches: each has a seed, an optimiser and a progress."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from egofeat import graphs
from egofeat.console import note_once
from egofeat.errors import EgofeatError
from egofeat.heads.checkpoint import Progress, load_checkpoint, save_checkpoint
from egofeat.heads.config import TrainerConfig
from egofeat.heads.gaze import taught
from egofeat.heads.head import Head
from egofeat.heads.measures.precision import autocast
from egofeat.heads.training.history import History
from egofeat.heads.training.losses import Criterion
from egofeat.heads.training.optim import RECORDABLE, clip, make_optimizer, set_rate
from egofeat.heads.training.sampling import dropout_seed


class DivergedError(EgofeatError):
    """The loss is no longer finite."""


@dataclass
class Replica:
    """A head to be trained, alone or beside others; afterwards, how that went."""

    head: Head
    """With its fresh weights."""
    seed: int
    """Of dropout."""
    checkpoint: Path | None = None
    """File that holds the state after each evaluation; if it is there, training goes on from it."""
    history: Path | None = None
    """File that each evaluation's record is added to, where there is a checkpoint; None is the
    checkpoint's name with the ending `.csv`."""
    on_epoch: Callable[[Mapping[str, float]], None] = lambda record: None
    """Told the history record of each evaluation, one an epoch unless iterations are counted."""
    progress: Progress = field(default_factory=Progress)
    failed: DivergedError | None = None
    """Why it ended before its time; the others went on."""


@dataclass(frozen=True)
class Batch:
    """Rows that all replicas learn from at once."""

    features: Tensor
    """`[B, *row_shape]` float32."""
    labels: Mapping[str, Tensor]
    """Target to `[B]`, or `[B,classes]`."""
    points: Tensor | None
    """Of gaze, `[B,T,3]`."""

    def tensors(self) -> list[Tensor]:
        """All that it has."""
        return [
            self.features,
            *self.labels.values(),
            *([] if self.points is None else [self.points]),
        ]

    def of(self, tensors: Sequence[Tensor]) -> "Batch":
        """A batch of other tensors, in the order of `tensors`."""
        features, *rest = tensors
        labels = dict(zip(self.labels, rest, strict=False))
        return Batch(features, labels, None if self.points is None else rest[-1])


class Trainee:
    """What a replica's training has in its hands."""

    def __init__(
        self,
        replica: Replica,
        config: TrainerConfig,
        device: torch.device,
        *,
        condensed: bool = False,
    ) -> None:
        """Make its optimiser.

        Args:
            replica: which it is.
            config: how it is trained.
            device: where.
            condensed: whether batches are what `Head.condense` makes of features.
        """
        self.replica = replica
        self.config = config
        self.device = device
        self.head = replica.head.to(device)
        self.condensed = condensed
        recorder = graphs.recorder_of(device)
        if recorder and config.optimizer not in RECORDABLE:
            recorder = None
            _note(f"iterations of `optimizer` {config.optimizer} are launched kernel by kernel")
        self._recorder = recorder
        self._iteration: graphs.Replayed[Tensor] | None = None
        self.optimizer = make_optimizer(
            config.optimizer,
            self.head,
            lr=config.lr,
            weight_decay=config.weight_decay,
            l2=config.l2,
            recorded=recorder is not None,
        )
        self._weights = [*self.head.parameters()]
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.amp == "fp16")
        self._records: History | None = None
        self._noise: list[Tensor] = []

    @property
    def progress(self) -> Progress:
        """How far it has come."""
        return self.replica.progress

    def resume(self, per_epoch: int) -> None:
        """Go on from the checkpoint, if there is one.

        Args:
            per_epoch: iterations of an epoch.

        Raises:
            EgofeatError: it is not this head's, or its history is not there.
        """
        path = self.replica.checkpoint
        if path is None:
            return
        self._records = History(self.replica.history or path.with_suffix(".csv"), per_epoch)
        if path.exists():
            state = (self.head, self.optimizer, self.scaler)
            self.replica.progress, extent = load_checkpoint(path, *state)
            self.replica.progress.history = self._records.resume(extent)

    def keep(self) -> None:
        """Write the last record and the state after it, if there is a checkpoint; tell of it."""
        record, path = self.progress.history[-1], self.replica.checkpoint
        if path is not None and self._records is not None:
            self._records.append(record)
            state = (self.head, self.optimizer, self.scaler)
            save_checkpoint(path, *state, self.progress, self._records.extent)
        self.replica.on_epoch(record)

    def finish(self) -> None:
        """Take the weights of the best evaluation."""
        if self.progress.best:
            self.head.load_state_dict(self.progress.best)
        self.head.eval()

    def end(self) -> None:
        """Let go of the iteration, which leads back here: all that this holds would stay."""
        self._iteration = None

    def seed_noise(self) -> None:
        """Begin the random numbers of the next part of the training."""
        torch.manual_seed(dropout_seed(self.replica.seed, len(self.progress.history) + 1))
        self._noise = self._drawn()

    @contextmanager
    def noise(self) -> Iterator[None]:
        """Draw from this replica's random numbers, where others have drawn from theirs."""
        torch.set_rng_state(self._noise[0])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(self._noise[1], self.device)
        yield
        self._noise = self._drawn()

    def _drawn(self) -> list[Tensor]:
        on_gpu = self.device.type == "cuda"
        gpu = [torch.cuda.get_rng_state(self.device)] if on_gpu else []
        return [torch.get_rng_state(), *gpu]

    def step(self, batch: Batch, criterion: Criterion, rate: float) -> Tensor:
        """Learn from a batch, of one make each time; returns the loss, a scalar.

        Nothing in it waits for the device, and on a GPU all but the rate is one graph.
        """
        set_rate(self.optimizer, rate)
        if self._iteration is None:
            learn = partial(self._learn, batch.of, criterion)
            self._iteration = graphs.Replayed(learn, self._recorder, _note)
        return self._iteration(*batch.tensors())

    def _learn(
        self,
        of: Callable[[Sequence[Tensor]], Batch],
        criterion: Criterion,
        tensors: Sequence[Tensor],
    ) -> Tensor:
        config, batch = self.config, of(tensors)
        with autocast(config.amp, self.device):
            logits, divergence = self._learnt(batch)
        loss = criterion(logits, batch.labels)
        for weight in self._weights:
            weight.grad = None
        try:
            self._descend(loss + config.gaze_weight * divergence)
        except RuntimeError:
            self._take_back()
            raise
        return loss.detach()

    def _descend(self, loss: Tensor) -> None:
        torch.autograd.backward(self.scaler.scale(loss))
        if self.config.clip_norm:
            self.scaler.unscale_(self.optimizer)
            found = [weight.grad for weight in self._weights if weight.grad is not None]
            clip(found, self.config.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _take_back(self) -> None:
        """Forget, on the host, an iteration that was recorded in vain and is done again."""
        if self.scaler.is_enabled():
            self.scaler._per_optimizer_states.clear()  # that gradients are unscaled by now
        for name in ("grad_scale", "found_inf"):  # what the scaler lends a fused optimiser
            vars(self.optimizer).pop(name, None)

    def _learnt(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor | float]:
        """Logits, and what gaze teaches."""
        if self.condensed:
            return self.head.conclude(batch.features), 0.0
        return taught(self.head, batch.features, batch.points, self.config.gaze_sigma)

    def logits(self, features: Tensor) -> dict[str, Tensor]:
        """Target to `[B,classes]`."""
        forward = self.head.conclude if self.condensed else self.head
        return forward(features)


def _note(text: str) -> None:
    note_once("iterations", text)


class InTurn:
    """Trainees that learn from a batch one after the other.

    Args:
        learners: which they are.
        alone: whether nobody else draws random numbers: those of a single one are torch's own then.
    """

    def __init__(self, learners: Sequence[Trainee], *, alone: bool = True) -> None:
        self.learners = list(learners)
        self._own = alone and len(learners) == 1

    def train(self) -> None:
        """Begin a part of the training, with the random numbers of each."""
        for trainee in self.learners:
            trainee.head.train()
            trainee.seed_noise()

    def step(self, batch: Batch, criterion: Criterion, rates: Sequence[float]) -> Tensor:
        """Learn from a batch at a rate each; returns the losses `[K]`."""
        if self._own:
            return self.learners[0].step(batch, criterion, rates[0])[None]
        losses = []
        for trainee, rate in zip(self.learners, rates, strict=True):
            with trainee.noise():
                losses.append(trainee.step(batch, criterion, rate))
        return torch.stack(losses)

    def eval(self) -> None:
        """End a part of the training."""
        for trainee in self.learners:
            trainee.head.eval()

    def logits(self, features: Tensor) -> dict[str, Tensor]:
        """Target to `[B,K,classes]`."""
        each = [trainee.logits(features) for trainee in self.learners]
        return {t: torch.stack([logits[t] for logits in each], dim=1) for t in each[0]}

"""The training loop: epochs over a feed, validation, early stopping, resuming."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from egofeat.device import choose_device
from egofeat.errors import EgofeatError, RequestError
from egofeat.heads.checkpoint import Progress, load_checkpoint, save_checkpoint
from egofeat.heads.config import TrainerConfig
from egofeat.heads.feed import Features, Feed, row_bytes, should_hold
from egofeat.heads.head import Head
from egofeat.heads.losses import Criterion, class_counts
from egofeat.heads.metrics import target_metrics
from egofeat.heads.optim import SCHEDULES, make_optimizer
from egofeat.heads.precision import autocast
from egofeat.heads.sampling import epoch_order

EVALUATION_BYTES = 64 << 20
"""Float32 bytes of a batch that needs no gradient."""


@dataclass(frozen=True)
class Examples:
    """Rows of a store, their labels, and which of them train and validate."""

    features: Features
    labels: Mapping[str, NDArray[np.int64]]
    """Target to the label of every row of the store, -1 where absent."""
    train: NDArray[np.int64]
    validation: NDArray[np.int64]

    def labels_of(self, rows: NDArray[np.int64], device: torch.device) -> dict[str, Tensor]:
        """Return target to labels `[rows]` on a device."""
        return {t: torch.from_numpy(values[rows]).to(device) for t, values in self.labels.items()}


def train(
    head: Head,
    examples: Examples,
    config: TrainerConfig,
    *,
    checkpoint: Path | None = None,
    on_epoch: Callable[[Mapping[str, float]], None] = lambda record: None,
) -> Progress:
    """Train a head; it ends with the weights of its best epoch, on the training device.

    One machine, one seed and one number of threads give the same bits on a CPU, killed
    and resumed or not, with features held or read from the map.

    Args:
        head: with its fresh weights.
        examples: what it learns from.
        config: how.
        checkpoint: file that holds the state after each epoch; if it is there, training
            goes on from it.
        on_epoch: told the history record of each epoch done.

    Raises:
        EgofeatError: the loss is no longer finite, or the checkpoint is not this head's.
        RequestError: the device is not at hand.
    """
    return Trainer(head, examples, config).run(checkpoint, on_epoch)


class Trainer:
    """Head, optimiser, loss and feeds of one training."""

    def __init__(self, head: Head, examples: Examples, config: TrainerConfig) -> None:
        self.config = config
        self.device = choose_device(config.device)
        recurrent = any(isinstance(module, nn.LSTM) for module in head.modules())
        if config.amp == "fp16" and self.device.type == "cpu" and recurrent:
            raise RequestError("option amp fp16 of an LSTM needs a GPU: use bf16, or off")
        self.head = head.to(self.device)
        self.optimizer = make_optimizer(
            config.optimizer, head, lr=config.lr, weight_decay=config.weight_decay, l2=config.l2
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.amp == "fp16")
        self.criterion = Criterion(
            {
                target: class_counts(examples.labels[target][examples.train], layer.out_features)
                for target, layer in zip(head.targets, head.classifiers, strict=True)
                if isinstance(layer, nn.Linear)
            },
            class_weights=config.class_weights,
            class_weight_cap=config.class_weight_cap,
            logit_adjustment=config.logit_adjustment,
        ).to(self.device)
        wanted = (len(examples.train) + len(examples.validation)) * row_bytes(examples.features)
        held = should_hold(config.device_cache, self.device, wanted)
        self.feed = Feed(
            examples.features,
            examples.train,
            device=self.device,
            batch_size=config.batch_size,
            held=held,
        )
        self.validation = evaluation_feed(
            examples.features, examples.validation, device=self.device, held=held
        )
        self.train_labels = examples.labels_of(examples.train, self.device)
        self.validation_labels = examples.labels_of(examples.validation, self.device)
        self.order_labels = {t: values[examples.train] for t, values in examples.labels.items()}

    def run(
        self, checkpoint: Path | None, on_epoch: Callable[[Mapping[str, float]], None]
    ) -> Progress:
        """Train to the last epoch or the end of patience."""
        progress = Progress()
        if checkpoint is not None and checkpoint.exists():
            progress = load_checkpoint(checkpoint, self.head, self.optimizer, self.scaler)
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            while not self._finished(progress):
                self._epoch(progress)
                if checkpoint is not None:
                    save_checkpoint(checkpoint, self.head, self.optimizer, self.scaler, progress)
                on_epoch(progress.history[-1])
        self.head.load_state_dict(progress.best)
        self.head.eval()
        return progress

    def _finished(self, progress: Progress) -> bool:
        patience = self.config.patience
        waited = progress.epoch - progress.best_epoch
        return progress.epoch >= self.config.epochs or (0 < patience <= waited)

    def _epoch(self, progress: Progress) -> None:
        """Train one epoch, validate, and write both into the progress."""
        config, epoch = self.config, progress.epoch + 1
        factor = SCHEDULES[config.schedule](
            epoch, config.epochs, config.lr_decay, config.lr_decay_from, config.lr_decay_every
        )
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * factor
        record = {
            "epoch": float(epoch),
            "lr": config.lr * factor,
            "train/loss": self._train(epoch),
            **self._validate(),
        }
        if not (math.isfinite(record["train/loss"]) and math.isfinite(record["val/loss"])):
            raise EgofeatError(
                f"the loss is not finite in epoch {epoch}: lower lr ({config.lr}) or clip_norm"
            )
        value = self._monitored(record)
        if not progress.best or value > progress.best_value:
            progress.best_epoch, progress.best_value = epoch, value
            state = self.head.state_dict()
            progress.best = {name: tensor.to("cpu", copy=True) for name, tensor in state.items()}
        progress.epoch = epoch
        progress.history.append(record)

    def _train(self, epoch: int) -> float:
        """One pass over the training rows; returns the mean loss of a row."""
        config = self.config
        rng = np.random.default_rng([config.seed, epoch])
        torch.manual_seed(int(rng.integers(2**62)))
        order = epoch_order(config.sampling, self.order_labels, rng)
        self.head.train()
        total = torch.zeros((), device=self.device)
        for features, places in self.feed.batches(order):
            labels = {target: values[places] for target, values in self.train_labels.items()}
            with autocast(config.amp, self.device):
                logits = self.head(features)
            loss = self.criterion(logits, labels)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(self.scaler.scale(loss))
            if config.clip_norm:
                self.scaler.unscale_(self.optimizer)
                nn.utils.clip_grad_norm_(self.head.parameters(), config.clip_norm)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            total += loss.detach() * len(places)
        return float(total) / len(order)

    def _validate(self) -> dict[str, float]:
        logits = predict(self.head, self.validation, amp=self.config.amp)
        on_device = {target: values.to(self.device) for target, values in logits.items()}
        record = {"val/loss": float(self.criterion(on_device, self.validation_labels))}
        for target, values in logits.items():
            figures = dict(target_metrics(target, values, self.validation_labels[target].cpu(), {}))
            for figure in ("top1", "mean_class_accuracy"):
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


def evaluation_feed(
    features: Features, rows: NDArray[np.int64], *, device: torch.device, held: bool = False
) -> Feed:
    """Make a feed whose batches are sized for passes without gradients."""
    widened = 4 * math.prod(features.row_shape)
    size = max(1, min(256, EVALUATION_BYTES // widened))
    return Feed(features, rows, device=device, batch_size=size, held=held)


def predict(head: Head, feed: Feed, *, amp: str = "off") -> dict[str, Tensor]:
    """Return target to logits `[rows,classes]`, float32 on the CPU, in the feed's order."""
    head.eval()
    parts: dict[str, list[Tensor]] = {target: [] for target in head.targets}
    with torch.inference_mode():
        for features, _ in feed.batches(np.arange(len(feed.rows))):
            with autocast(amp, features.device):
                logits = head(features)
            for target, values in logits.items():
                parts[target].append(values.float().cpu())
    return {target: torch.cat(values) for target, values in parts.items()}

"""Every option of the trainer; the defaults are those of the MobileNetV2 report."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from egofeat.errors import RequestError
from egofeat.heads.training.schedules import FACTORS, Decay
from egofeat.options import Device, Options, Seed, inherited, option

DECAY_FROM, DECAY_EVERY = 35, 20
"""Epochs; the MobileNetV2 report's."""
_USERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "lr_decay": ("schedule", ("step", "multistep", "plateau")),
    "lr_decay_from": ("schedule", ("step",)),
    "lr_decay_every": ("schedule", ("step", "restarts")),
    "warmup_from": ("warmup", ()),
    "lr_milestones": ("schedule", ("multistep",)),
    "lr_patience": ("schedule", ("plateau",)),
    "class_weight_cap": ("class_weights", ()),
    "gaze_sigma": ("gaze_weight", ()),
}
"""Option to the one that uses it, and its values that do; none named: where it is on."""


class Length(Seed, panel="Training"):
    """How long a head is trained, and on what batches."""

    epochs: int = option(
        "Train for at most this many epochs; 0 leaves the head as it is.", default=100, least=0
    )
    iterations: int = option(
        "Train for at most this many batches, not epochs; --lr-… and --warmup then count batches.",
        default=0,
        least=0,
    )
    """0 counts in epochs. What is counted, epochs or iterations, is the unit of every `lr_` option
    and of `warmup`."""
    eval_every: int = option(
        "Evaluate after every so many iterations; 0: after each epoch.", default=0, least=0
    )
    patience: int = option(
        "Stop after this many evaluations without a better one; 0 never stops.", default=10, least=0
    )
    monitor: str = option(
        "Keep the weights that are best on validation by this; mAP needs several classes a row.",
        default="loss",
        choices=("loss", "top1", "mean_class_accuracy", "mAP"),
    )
    batch_size: int = option(
        "Train on this many segments, or persons, per batch.", default=32, least=2
    )
    sampling: str = option(
        "Draw training rows: shuffle, each once per epoch; balanced, each class equally often.",
        default="shuffle",
        choices=("shuffle", "balanced"),
    )
    seed: int = inherited("Draw weights and dropout with this seed.")
    data_seed: int | None = option(
        "Draw the order of rows, and the groups of --val-from-train, with this seed.",
        default=None,
        default_is="--seed",
        least=0,
    )


class Optimizer(Options, panel="Optimizer"):
    """How the weights are moved."""

    optimizer: str = option(
        "Update weights with this optimizer; sgd has Nesterov momentum 0.9, momentum is SGD with "
        "plain momentum 0.9, ranger is RAdam with Lookahead.",
        default="adam",
        choices=("adam", "adamw", "sgd", "momentum", "ranger"),
    )
    lr: float = option("Start at this learning rate.", default=1e-3, above=0)
    clip_norm: float = option("Scale gradients to this norm; 0 leaves them.", default=1.0, least=0)
    """The seed names no figure."""
    l2: float = option(
        "Add λ‖W‖² of the classifiers' weights to the loss, with this λ.", default=1e-3, least=0
    )
    weight_decay: float = option(
        "Apply this weight decay to all other weights.", default=0.0, least=0
    )


class Schedule(Options, panel="Learning rate"):
    """How the rate is lowered."""

    schedule: str = option(
        "Lower the learning rate by this schedule.",
        default="step",
        choices="egofeat.heads.training.schedules:SCHEDULES",
    )
    lr_decay: float | None = option(
        "Multiply the rate by this each time it is lowered.",
        default=None,
        default_is="0.2 of step, 0.1 of multistep, 0.5 of plateau",
        above=0,
    )
    lr_decay_from: int | None = option(
        "step: lower the rate from this epoch or iteration on, counted from 1.",
        default=None,
        default_is="epoch 35",
        least=1,
    )
    lr_decay_every: int | None = option(
        "step, restarts: lower the rate again, or begin anew, after every so many epochs or "
        "iterations.",
        default=None,
        default_is="20 epochs",
        least=1,
    )
    lr_milestones: tuple[int, ...] | None = option(
        "multistep: lower the rate after these epochs or iterations, such as 300,1000.",
        default=None,
    )
    lr_patience: int = option(
        "plateau: lower the rate after more than this many evaluations without a better one.",
        default=5,
        least=0,
    )
    warmup: int = option(
        "Raise the rate linearly over this many epochs or iterations.", default=0, least=0
    )
    warmup_from: float = option(
        "Begin --warmup at this part of the rate.", default=0.0, least=0, below=1
    )


class Loss(Options, panel="Loss"):
    """What is minimised."""

    class_weights: bool = option("Weight the loss by inverse class frequency.", default=False)
    class_weight_cap: float = option("Limit class weights to this.", default=10.0, above=0)
    logit_adjustment: float = option(
        "Adjust logits by class frequency with this τ: 1 aims at balanced error, 0 is plain "
        "cross-entropy.",
        default=0.0,
        least=0,
    )
    gaze_weight: float = option(
        "Add KL(gaze ‖ attention) with this weight, which teaches attention over maps; 0 "
        "leaves gaze out.",
        default=0.0,
        least=0,
    )
    gaze_sigma: float = option(
        "Blur fixations by a Gaussian with this σ, in cells of the map.", default=1.0, above=0
    )


class Precision(Device, panel="Compute"):
    """Where and in what arithmetic a head is trained."""

    amp: str = option(
        "Train in mixed precision; fp16 also scales the loss.",
        default="off",
        choices=("off", "bf16", "fp16"),
    )
    device_cache: str = option(
        "Keep features on the device; auto: if they fit.",
        default="auto",
        choices=("auto", "on", "off"),
    )


class TrainerConfig(Length, Optimizer, Schedule, Loss, Precision):
    """How a head is trained.

    Raises:
        RequestError: a value that the option cannot take.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_schedule()

    def _check_schedule(self) -> None:
        if self.eval_every and not self.iterations:
            raise RequestError(
                "`eval_every` counts iterations, and epochs are evaluated one by one: "
                "give `iterations` in place of `epochs`"
            )
        steps = self.lr_milestones
        if self.schedule == "multistep" and not steps:
            raise RequestError("`schedule` multistep needs `lr_milestones`, as 300,1000")
        said = ",".join(map(str, steps or ()))
        if steps and (steps[0] < 1 or list(steps) != sorted(set(steps))):
            raise RequestError(f"`lr_milestones` must ascend from 1 or more, not {said}")

    def refuse_idle(self) -> None:
        """Refuse what would change nothing, and what makes up for rare classes twice.

        It is asked of what a person chooses; runs of before may say anything.

        Raises:
            RequestError: in one sentence, with what uses the option.
        """
        for name in idle(vars(self)):
            user, values = _USERS[name]
            needed = f"`{user}` {' or '.join(values)}".strip()
            raise RequestError(f"`{name}` does nothing without {needed}: give that too, or neither")
        if self.class_weights and self.sampling == "balanced":
            raise RequestError(
                "`class_weights` and `sampling` balanced both make up for rare classes, which "
                "would count twice: leave one out"
            )

    @property
    def order_seed(self) -> int:
        """What the order of rows is drawn with, and the groups that validate."""
        return self.seed if self.data_seed is None else self.data_seed

    @property
    def unit(self) -> str:
        """What the training is counted in, `epoch` or `iteration`; columns of its history."""
        return "iteration" if self.iterations else "epoch"

    @property
    def length(self) -> int:
        """Of the whole training, in its unit."""
        return self.iterations or self.epochs

    def decay(self, per_epoch: int) -> Decay:
        """Return how the learning rate is lowered.

        Args:
            per_epoch: iterations of an epoch.
        """
        epoch = per_epoch if self.iterations else 1
        return Decay(
            length=self.length,
            factor=self.lr_decay or FACTORS.get(self.schedule, 1.0),
            start=self.lr_decay_from or 1 + (DECAY_FROM - 1) * epoch,
            every=self.lr_decay_every or DECAY_EVERY * epoch,
            milestones=self.lr_milestones or (),
            warmup=self.warmup,
            warmup_from=self.warmup_from,
        )


def idle(chosen: Mapping[str, Any]) -> list[str]:
    """Names of options of a trainer that are not their default, and that nothing chosen uses."""
    defaults = {one.name: one.default for one in fields(TrainerConfig)}
    known = {**defaults, **chosen}
    return [
        name
        for name, (user, values) in _USERS.items()
        if known[name] != defaults[name]
        and (known[user] not in values if values else not known[user])
    ]

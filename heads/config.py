"""Every knob of the trainer; the defaults are the seed's recipe."""

from collections.abc import Collection
from dataclasses import dataclass
from math import inf

from egofeat.errors import RequestError
from egofeat.heads.measures.precision import AMP_DTYPES
from egofeat.heads.training.optim import OPTIMIZERS
from egofeat.heads.training.schedules import FACTORS, SCHEDULES, Decay

MONITORS = ("loss", "top1", "mean_class_accuracy", "mAP")
SAMPLINGS = ("shuffle", "balanced")
CACHES = ("auto", "on", "off")
DECAY_FROM, DECAY_EVERY = 35, 20
"""Epochs; the MobileNetV2 report's."""
_TOO_MUCH = 2**63
"""Of what torch counts by; a seed too."""


def said(option: str) -> str:
    """Name of an option as the command line has it."""
    return f"--{option.replace('_', '-')}"


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """How a head is trained.

    Raises:
        RequestError: a value that the option cannot take.
    """

    epochs: int = 100
    """0 leaves the head as it is."""
    iterations: int = 0
    """Batches to train on, in place of `epochs`; 0 counts in epochs. What is counted, epochs or
    iterations, is the unit of every `lr_` option and of `warmup`."""
    eval_every: int = 0
    """Iterations between evaluations, where iterations are counted; 0 is an epoch's."""
    batch_size: int = 32
    optimizer: str = "adam"
    """`adam`, `adamw`, `sgd` (Nesterov momentum 0.9) or `ranger` (RAdam and Lookahead)."""
    lr: float = 1e-3
    schedule: str = "step"
    """`step`, `multistep`, `plateau`, `cosine` or `constant`."""
    lr_decay: float | None = None
    """Factor of each lowering; None is the schedule's own: 0.2 of `step`, 0.1 of `multistep`,
    0.5 of `plateau`."""
    lr_decay_from: int | None = None
    """First epoch or iteration of `step`, from 1, with a lowered rate; None is epoch 35."""
    lr_decay_every: int | None = None
    """Epochs or iterations of `step` between lowerings; None is 20 epochs."""
    lr_milestones: tuple[int, ...] | None = None
    """Epochs or iterations of `multistep` after which the rate is lowered."""
    lr_patience: int = 5
    """`plateau` lowers the rate when more evaluations than these bring nothing better."""
    warmup: int = 0
    """Epochs or iterations of a linear rise to the full rate, under any schedule."""
    clip_norm: float = 1.0
    """Gradients are scaled to at most this norm; 0 leaves them. The seed names no figure."""
    l2: float = 1e-3
    """λ of λ‖W‖² on the classifiers' weights."""
    weight_decay: float = 0.0
    """Of all other weights."""
    patience: int = 10
    """Stop after so many evaluations without a better one; 0 never stops."""
    monitor: str = "loss"
    """What is better on validation: `loss`, `top1`, `mean_class_accuracy` or, of targets with
    several classes a row, `mAP` (mean over the targets that have it)."""
    sampling: str = "shuffle"
    """`shuffle`: every row once an epoch; `balanced`: drawn so that classes come up alike."""
    class_weights: bool = False
    """Weigh the loss by inverse class frequency."""
    class_weight_cap: float = 10.0
    logit_adjustment: float = 0.0
    """τ of the logit-adjusted loss; 1 aims at balanced error, 0 is plain cross-entropy."""
    gaze_weight: float = 0.0
    """Of KL(gaze ‖ attention) in the training loss; 0 is the control without gaze."""
    gaze_sigma: float = 1.0
    """Cells, of the Gaussian that stands for a fixation."""
    amp: str = "off"
    """`off`, `bf16` or `fp16` (with loss scaling)."""
    device: str = "auto"
    device_cache: str = "auto"
    """Keep features on the device: `on`, `off`, or `auto` when they fit."""
    seed: int = 0

    def __post_init__(self) -> None:
        words: dict[str, Collection[str]] = {
            "optimizer": OPTIMIZERS,
            "schedule": SCHEDULES,
            "monitor": MONITORS,
            "sampling": SAMPLINGS,
            "amp": AMP_DTYPES,
            "device_cache": CACHES,
        }
        for option, known in words.items():
            if getattr(self, option) not in known:
                raise RequestError(
                    f"{said(option)} must be one of {', '.join(known)}, "
                    f"not '{getattr(self, option)}'"
                )
        self._check_bounds()
        self._check_schedule()

    def _check_bounds(self) -> None:
        least = {"batch_size": 2, "lr_decay_from": 1, "lr_decay_every": 1}
        for option in (
            "epochs",
            "iterations",
            "eval_every",
            "lr_patience",
            "warmup",
            "clip_norm",
            "l2",
        ):
            least[option] = 0
        for option in ("weight_decay", "patience", "logit_adjustment", "gaze_weight", "seed"):
            least[option] = 0
        for option, bound in least.items():
            value = getattr(self, option)
            if value is not None and not value >= bound:
                raise RequestError(f"{said(option)} must be at least {bound}, not {value}")
            if value is not None and not value < _TOO_MUCH:
                raise RequestError(f"{said(option)} must be less than 2**63, not {value}")
        for option in ("lr", "lr_decay", "class_weight_cap", "gaze_sigma"):
            value = getattr(self, option)
            if value is not None and not 0 < value < inf:
                raise RequestError(f"{said(option)} must be above 0 and finite, not {value}")

    def _check_schedule(self) -> None:
        if self.eval_every and not self.iterations:
            raise RequestError(
                "--eval-every counts iterations, and epochs are evaluated one by one: "
                "give --iterations in place of --epochs"
            )
        steps = self.lr_milestones
        if self.schedule == "multistep" and not steps:
            raise RequestError("--schedule multistep needs --lr-milestones, as 300,1000")
        if steps and (steps[0] < 1 or list(steps) != sorted(set(steps))):
            raise RequestError(f"--lr-milestones must ascend from 1 or more, not {steps}")

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
        )

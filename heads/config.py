"""Every knob of the trainer; the defaults are the seed's recipe."""

from collections.abc import Collection
from dataclasses import dataclass

from egofeat.errors import RequestError
from egofeat.heads.optim import OPTIMIZERS, SCHEDULES
from egofeat.heads.precision import AMP_DTYPES

MONITORS = ("loss", "top1", "mean_class_accuracy")
SAMPLINGS = ("shuffle", "balanced")
CACHES = ("auto", "on", "off")


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """How a head is trained.

    Raises:
        RequestError: a value that the option cannot take.
    """

    epochs: int = 100
    batch_size: int = 32
    optimizer: str = "adam"
    """`adam`, `adamw` or `sgd` (Nesterov momentum 0.9)."""
    lr: float = 1e-3
    schedule: str = "step"
    """`step`, `cosine` or `constant`."""
    lr_decay: float = 0.2
    """Factor of each step of `step`."""
    lr_decay_from: int = 35
    """First epoch, counted from 1, with a lowered rate."""
    lr_decay_every: int = 20
    clip_norm: float = 1.0
    """Gradients are scaled to at most this norm; 0 leaves them. The seed names no figure."""
    l2: float = 1e-3
    """λ of λ‖W‖² on the classifiers' weights."""
    weight_decay: float = 0.0
    """Of all other weights."""
    patience: int = 10
    """Stop after so many epochs without a better validation; 0 never stops."""
    monitor: str = "loss"
    """What is better on validation: `loss`, `top1` or `mean_class_accuracy` (mean over targets)."""
    sampling: str = "shuffle"
    """`shuffle`: every row once an epoch; `balanced`: drawn so that classes come up alike."""
    class_weights: bool = False
    """Weigh the loss by inverse class frequency."""
    class_weight_cap: float = 10.0
    logit_adjustment: float = 0.0
    """τ of the logit-adjusted loss; 1 aims at balanced error, 0 is plain cross-entropy."""
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
                    f"option {option} must be one of {', '.join(known)}, "
                    f"not '{getattr(self, option)}'"
                )
        least = {"epochs": 1, "batch_size": 2, "lr_decay_from": 1, "lr_decay_every": 1}
        for option in ("clip_norm", "l2", "weight_decay", "patience", "logit_adjustment", "seed"):
            least[option] = 0
        for option, bound in least.items():
            if not getattr(self, option) >= bound:
                raise RequestError(
                    f"option {option} must be at least {bound}, not {getattr(self, option)}"
                )
        for option in ("lr", "lr_decay", "class_weight_cap"):
            if not getattr(self, option) > 0:
                raise RequestError(f"option {option} must be above 0, not {getattr(self, option)}")

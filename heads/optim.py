"""Optimisers and learning-rate schedules by name; a schedule is a function of the epoch."""

import math
from collections.abc import Callable

import torch
from torch import nn

from egofeat.heads.head import Head

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": lambda groups, lr: torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True),
}


def make_optimizer(
    name: str, head: Head, *, lr: float, weight_decay: float, l2: float
) -> torch.optim.Optimizer:
    """Make an optimiser over the head's trainable parameters.

    Args:
        name: a key of `OPTIMIZERS`.
        head: whose parameters.
        lr: learning rate of the first epoch.
        weight_decay: of all weights that are not the classifiers'.
        l2: λ of the penalty λ‖W‖² on the classifiers' weights. Its gradient is 2λW, which
            is what a weight decay of 2λ adds under Adam and SGD; AdamW decouples it.
    """
    classifiers = [layer.weight for layer in head.classifiers if isinstance(layer, nn.Linear)]
    own = {id(weight) for weight in classifiers}
    rest = [p for p in head.parameters() if p.requires_grad and id(p) not in own]
    groups = [
        {"params": rest, "weight_decay": weight_decay},
        {"params": classifiers, "weight_decay": 2 * l2},
    ]
    return OPTIMIZERS[name]([group for group in groups if group["params"]], lr=lr)


def step_factor(epoch: int, epochs: int, decay: float, start: int, every: int) -> float:
    """Return 1 before epoch `start`, then decay once there and again `every` epochs."""
    return 1.0 if epoch < start else float(decay ** (1 + (epoch - start) // every))


def cosine_factor(epoch: int, epochs: int, decay: float, start: int, every: int) -> float:
    """Return half a cosine from 1 in the first epoch towards 0 after the last."""
    return 0.5 * (1 + math.cos(math.pi * (epoch - 1) / epochs))


def constant_factor(epoch: int, epochs: int, decay: float, start: int, every: int) -> float:
    """Return 1."""
    return 1.0


SCHEDULES: dict[str, Callable[[int, int, float, int, int], float]] = {
    "step": step_factor,
    "cosine": cosine_factor,
    "constant": constant_factor,
}
"""Name to factor(epoch from 1, epochs, decay, start, every) on the learning rate."""

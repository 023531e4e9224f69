"""Optimisers by name, over a head's parameters."""

from collections.abc import Callable

import torch
from torch import nn

from egofeat.heads.head import Head
from egofeat.heads.training.ranger import Ranger

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": lambda groups, lr: torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True),
    "ranger": Ranger,
}


def make_optimizer(
    name: str, head: Head, *, lr: float, weight_decay: float, l2: float
) -> torch.optim.Optimizer:
    """Make an optimiser over the head's trainable parameters.

    Args:
        name: a key of `OPTIMIZERS`.
        head: whose parameters.
        lr: learning rate of the first step.
        weight_decay: of all weights that are not the classifiers'.
        l2: λ of the penalty λ‖W‖² on the classifiers' weights. Its gradient is 2λW, which
            is what a weight decay of 2λ adds under Adam and SGD; AdamW and Ranger decouple it.
    """
    classifiers = [layer.weight for layer in head.classifiers if isinstance(layer, nn.Linear)]
    own = {id(weight) for weight in classifiers}
    rest = [p for p in head.parameters() if p.requires_grad and id(p) not in own]
    groups = [
        {"params": rest, "weight_decay": weight_decay},
        {"params": classifiers, "weight_decay": 2 * l2},
    ]
    return OPTIMIZERS[name]([group for group in groups if group["params"]], lr=lr)

"""What a head is trained on: cross-entropy over targets, with remedies for imbalance."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

ABSENT = -1
"""Label of a segment that is not annotated for a target; it adds nothing to the loss."""


def class_counts(labels: NDArray[np.int64], classes: int) -> Tensor:
    """Count the training segments of each class, `[classes]` int64; absent labels are left out."""
    return torch.from_numpy(np.bincount(labels[labels >= 0], minlength=classes))


def inverse_frequency(counts: Tensor, cap: float) -> Tensor:
    """Return weights `[classes]`: mean count ÷ count, at most `cap`.

    The cap is what keeps a class of three segments from ruling the gradient; a class
    without segments never meets its weight.
    """
    counts = counts.float()
    return (counts.mean() / counts.clamp(min=1)).clamp(max=cap)


def log_prior(counts: Tensor) -> Tensor:
    """Return log frequencies `[classes]`; a class without segments counts as seen once."""
    counts = counts.clamp(min=1).double()
    return (counts / counts.sum()).log().float()


class Criterion:
    """Sum over targets of the mean cross-entropy of the segments that are labelled.

    With `class_weights`, each segment weighs the capped inverse frequency of its class.
    With `logit_adjustment` τ > 0, τ·log prior is added to the logits in the loss only, so
    that the plain logits are fit for balanced error (Menon et al., 2021,
    arXiv:2007.07314, equation 10).
    """

    def __init__(
        self,
        counts: Mapping[str, Tensor],
        *,
        class_weights: bool = False,
        class_weight_cap: float = 10.0,
        logit_adjustment: float = 0.0,
    ) -> None:
        self._weights: dict[str, Tensor] = {}
        self._shifts: dict[str, Tensor] = {}
        for target, count in counts.items():
            weight = inverse_frequency(count, class_weight_cap)
            self._weights[target] = weight if class_weights else torch.ones_like(weight)
            self._shifts[target] = logit_adjustment * log_prior(count)

    def to(self, device: torch.device) -> "Criterion":
        """Move the class figures to a device; returns self."""
        self._weights = {target: weight.to(device) for target, weight in self._weights.items()}
        self._shifts = {target: shift.to(device) for target, shift in self._shifts.items()}
        return self

    def __call__(self, logits: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> Tensor:
        """Loss of logits `[B,classes]` against int64 labels `[B]`, -1 where absent."""
        return torch.stack([self._of_target(t, logits[t], labels[t]) for t in logits]).sum()

    def _of_target(self, target: str, logits: Tensor, labels: Tensor) -> Tensor:
        weight = self._weights[target]
        total = F.cross_entropy(
            logits.float() + self._shifts[target],
            labels,
            weight=weight,
            ignore_index=ABSENT,
            reduction="sum",
        )
        weights = weight[labels.clamp(min=0)] * (labels != ABSENT)
        return total / weights.sum().clamp(min=torch.finfo(torch.float32).tiny)

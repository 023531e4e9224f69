"""What a head is trained on, summed over targets, with remedies for imbalance.

Cross-entropy where a row has one class of a target, binary cross-entropy where it may have several.
"""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

ABSENT = -1
"""Label of a segment that is not annotated for a target; it adds nothing to the loss."""

Labels = NDArray[np.int64] | NDArray[np.bool_]
"""Of one target: the class of each row `[rows]`, or, where a row may have several, which of them it
has `[rows,classes]` bool."""


def class_counts(labels: Labels, classes: int) -> Tensor:
    """Count the training rows of each class, `[classes]` int64; absent labels are left out."""
    if labels.ndim == 2:
        return torch.from_numpy(labels.sum(axis=0, dtype=np.int64))
    return torch.from_numpy(np.bincount(labels[labels >= 0], minlength=classes))


def inverse_frequency(counts: Tensor, cap: float) -> Tensor:
    """Return weights `[classes]`: mean count ÷ count, at most `cap`.

    The cap is what keeps a class of three segments from ruling the gradient; a class
    without segments never meets its weight.
    """
    counts = counts.float()
    return (counts.mean() / counts.clamp(min=1)).clamp(max=cap)


def positive_weights(counts: Tensor, rows: int, cap: float) -> Tensor:
    """Return weights `[classes]` of the rows that have a class: rows without ÷ rows with it.

    They make those with and those without it weigh alike, as far as the cap lets them.

    Args:
        counts: rows with each class `[classes]`.
        rows: of all.
        cap: the largest weight; 1 ÷ cap is the least.
    """
    counts = counts.float()
    return ((rows - counts) / counts.clamp(min=1)).clamp(1 / cap, cap)


def log_prior(counts: Tensor) -> Tensor:
    """Return log frequencies `[classes]`; one without segments counts as the most frequent.

    A rare class is lifted so that it is found where it is; of one that never comes up nothing is
    known that would lift it.
    """
    counts = torch.where(counts > 0, counts, counts.max()).clamp(min=1).double()
    return (counts / counts.sum()).log().float()


class Criterion:
    """Sum over targets of the mean loss of the rows that are labelled.

    Of a target with one class a row it is the cross-entropy. With `class_weights`, each row
    weighs the capped inverse frequency of its class. With `logit_adjustment` τ > 0, τ·log prior
    is added to the logits in the loss only, so that the plain logits are fit for balanced error
    (Menon et al., 2021, arXiv:2007.07314, equation 10).

    Of a target with several classes a row it is the binary cross-entropy, averaged over classes
    and then over rows, as SlowFast's detection training takes it (PySlowFast: `LOSS_FUNC: bce`, the
    mean over boxes × classes). With `class_weights`, the rows that have a class weigh
    `positive_weights`.
    """

    def __init__(
        self,
        counts: Mapping[str, Tensor],
        *,
        several: Mapping[str, int] | None = None,
        class_weights: bool = False,
        class_weight_cap: float = 10.0,
        logit_adjustment: float = 0.0,
    ) -> None:
        """Take the training rows' class counts.

        Args:
            counts: target to training rows of each class `[classes]`.
            several: targets of several classes a row, to the number of training rows.
            class_weights: whether classes weigh other than alike.
            class_weight_cap: the largest weight.
            logit_adjustment: τ, of targets with one class a row; 0 leaves the logits.
        """
        self._weights: dict[str, Tensor] = {}
        """Of classes that do not weigh alike."""
        self._shifts: dict[str, Tensor] = {}
        for target, count in counts.items():
            rows = (several or {}).get(target)
            if class_weights and rows is None:
                self._weights[target] = inverse_frequency(count, class_weight_cap)
            elif class_weights and rows is not None:
                self._weights[target] = positive_weights(count, rows, class_weight_cap)
            if logit_adjustment:
                self._shifts[target] = logit_adjustment * log_prior(count)

    def to(self, device: torch.device) -> "Criterion":
        """Move the class figures to a device; returns self."""
        self._weights = {target: weight.to(device) for target, weight in self._weights.items()}
        self._shifts = {target: shift.to(device) for target, shift in self._shifts.items()}
        return self

    def shift(self, target: str) -> Tensor | float:
        """What the loss adds to a target's logits, `[classes]`."""
        return self._shifts.get(target, 0.0)

    def __call__(self, logits: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> Tensor:
        """Loss of logits `[B,classes]`, or the losses `[K]` of `[B,K,classes]`.

        Labels are `[B]`, -1 where absent, or `[B,classes]`.
        """
        return torch.stack([self._of_target(t, logits[t], labels[t]) for t in logits]).sum(dim=0)

    def _of_target(self, target: str, logits: Tensor, labels: Tensor) -> Tensor:
        weight, several = self._weights.get(target), labels.ndim == 2
        beside = logits.shape[1:-1]  # heads
        rows = labels.unsqueeze(1).expand(-1, *beside, *labels.shape[1:]) if beside else labels
        if several:
            return F.binary_cross_entropy_with_logits(
                logits.float(), rows.float(), pos_weight=weight, reduction="none"
            ).mean(dim=(0, -1))
        logits = logits.float()
        if (shift := self._shifts.get(target)) is not None:
            logits = logits + shift
        each = F.cross_entropy(
            logits.flatten(0, -2),
            rows.flatten(),
            weight=weight,
            ignore_index=ABSENT,
            reduction="none",
        )
        counts = labels != ABSENT
        total = (counts if weight is None else weight[labels.clamp(min=0)] * counts).sum()
        least = torch.finfo(torch.float32).tiny
        return each.view_as(rows).sum(dim=0) / total.float().clamp(min=least)

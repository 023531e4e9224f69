"""The loss against its closed forms."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from egofeat.heads.training.losses import Criterion, class_counts, inverse_frequency, log_prior

COUNTS = torch.tensor([6, 3, 1])


def test_plain_loss_is_the_sum_of_the_targets_mean_cross_entropies():
    logits = {"verb": torch.randn(8, 3), "noun": torch.randn(8, 3)}
    labels = {"verb": torch.randint(3, (8,)), "noun": torch.randint(3, (8,))}
    loss = Criterion({"verb": COUNTS, "noun": COUNTS})(logits, labels)
    expected = sum(F.cross_entropy(logits[target], labels[target]) for target in logits)
    assert torch.allclose(loss, expected)


def test_absent_labels_add_nothing():
    logits = {"verb": torch.randn(4, 3, requires_grad=True)}
    criterion = Criterion({"verb": COUNTS}, class_weights=True)
    some = criterion(logits, {"verb": torch.tensor([0, -1, 2, -1])})
    same = criterion({"verb": logits["verb"][[0, 2]]}, {"verb": torch.tensor([0, 2])})
    assert torch.allclose(some, same)
    none = criterion(logits, {"verb": torch.full((4,), -1)})
    torch.autograd.backward(none)
    assert none.item() == 0
    assert not logits["verb"].grad.any()


def test_logit_adjusted_loss_equals_its_closed_form():
    """Menon et al. (2021), equation 10: log(1 + Σ (π'/π)^τ · exp(f' − f)) over other classes."""
    tau, logits = 1.5, torch.randn(5, 3)
    labels = torch.tensor([0, 1, 2, 1, 0])
    prior = COUNTS / COUNTS.sum()
    expected = 0.0
    for row, label in zip(logits, labels, strict=True):
        others = [k for k in range(3) if k != label]
        ratios = [(prior[k] / prior[label]) ** tau * math.exp(row[k] - row[label]) for k in others]
        expected += math.log(1 + sum(ratios)) / len(labels)
    loss = Criterion({"verb": COUNTS}, logit_adjustment=tau)({"verb": logits}, {"verb": labels})
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_class_weights_are_capped_inverse_frequencies():
    weights = inverse_frequency(torch.tensor([100, 20, 0, 0]), cap=10)
    assert weights.tolist() == pytest.approx([0.3, 1.5, 10, 10])
    logits, labels = torch.randn(6, 3), torch.tensor([0, 0, 0, 1, 1, 2])
    loss = Criterion({"verb": COUNTS}, class_weights=True)({"verb": logits}, {"verb": labels})
    expected = F.cross_entropy(logits, labels, weight=inverse_frequency(COUNTS, 10))
    assert torch.allclose(loss, expected)


def test_a_class_never_seen_has_a_finite_prior():
    half = math.log(0.5)
    assert log_prior(torch.tensor([9, 0])).tolist() == pytest.approx([half, half])


def test_counts_leave_absent_labels_out():
    assert class_counts(np.array([2, -1, 0, 2]), 4).tolist() == [1, 0, 2, 0]

"""How well each class is found, by hand and against torchmetrics."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional import classification as reference

from egofeat.heads.measures.classes import average_precision, by_class, class_scores, curve
from egofeat.heads.measures.metrics import metrics


def test_a_case_by_hand():
    # Truth a a a b; taken for a a b b; c neither occurs nor is predicted.
    logits = torch.tensor([[3.0, 0, -9], [2, 0, -9], [0, 1, -9], [0, 2, -9], [5, 0, 0]])
    found = by_class(logits, torch.tensor([0, 0, 0, 1, -1]))
    assert found.confusion.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert found.instances.tolist() == [3, 1, 0]
    assert found.predicted.tolist() == [2, 2, 0]
    np.testing.assert_allclose(found.precision, [1, 0.5, np.nan])
    np.testing.assert_allclose(found.recall, [2 / 3, 1, np.nan])
    np.testing.assert_allclose(found.f1, [0.8, 2 / 3, np.nan])
    np.testing.assert_allclose(found.average_precision, [1, 1, np.nan])
    assert found.macro() == pytest.approx(
        {"macro_precision": 0.75, "macro_F1": 11 / 15, "macro_average_precision": 1}
    )


def test_a_class_that_is_never_predicted_counts_as_nothing_in_the_mean():
    found = by_class(torch.tensor([[1.0, 0], [1, 0]]), torch.tensor([0, 1]))
    assert np.isnan(found.precision[1])
    assert found.macro()["macro_precision"] == 0.25
    assert by_class(torch.zeros(2, 2), torch.tensor([-1, -1])).macro() == {}


def test_equal_scores_are_one_step():
    truth = np.array([True, False, True, False])
    precision, recall = curve(np.array([0.5, 0.5, 0.2, 0.1]), truth)
    assert precision.tolist() == [0.5, 2 / 3, 0.5]
    assert recall.tolist() == [0.5, 1, 1]
    assert average_precision(precision, recall) == pytest.approx(0.5 * 0.5 + 0.5 * 2 / 3)


def test_what_is_very_sure_stays_ranked():
    logits = torch.tensor([[60.0, 0], [80, 0], [70, 0]])
    assert by_class(logits, torch.tensor([1, 0, 0])).average_precision[0] == 1


@settings(max_examples=40)
@given(seed=st.integers(0, 2**31), rows=st.integers(2, 60), classes=st.integers(2, 6))
def test_it_is_what_torchmetrics_says(seed, rows, classes):
    torch.manual_seed(seed)
    # Rows are alike now and then, and no two classes of a row.
    logits = torch.randn(rows, classes).round() + torch.linspace(0, 0.5, classes)
    labels = torch.randint(classes, (rows,))
    found = by_class(logits, labels)
    settings_ = {"num_classes": classes, "average": "none"}
    for ours, name in (("precision", "precision"), ("recall", "recall"), ("f1", "f1_score")):
        theirs = getattr(reference, f"multiclass_{name}")(logits, labels, **settings_)
        np.testing.assert_allclose(np.nan_to_num(getattr(found, ours)), theirs, rtol=1e-5)
    # A sigmoid of equals is not always equal to the last bit.
    scores = torch.from_numpy(class_scores(logits)).sigmoid().round(decimals=12)
    occur = found.instances > 0
    for label in np.flatnonzero(occur):
        theirs = reference.binary_average_precision(scores[:, label], labels == label)
        assert found.average_precision[label] == pytest.approx(float(theirs), abs=1e-5)
    accuracy = dict(metrics({"verb": logits}, {"verb": labels}))
    assert found.recall[occur].mean() == pytest.approx(accuracy["verb/mean_class_accuracy"])
    assert found.right.sum() / rows == pytest.approx(accuracy["verb/top1"])

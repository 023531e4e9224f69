"""Gaze maps, their divergence from attention, and figures of how well attention foretells gaze."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from egofeat.heads import build_head
from egofeat.heads.gaze import (
    fixation_auc,
    gaze_loss,
    gaze_maps,
    gaze_metrics,
    mean_places,
    peaks,
    taught,
)

SIDES = st.integers(1, 9)
FRACTIONS = st.floats(0, 1, width=32)


@given(rows=SIDES, columns=SIDES, x=FRACTIONS, y=FRACTIONS, sigma=st.floats(0.3, 4))
def test_a_gaze_map_is_a_gaussian_round_its_point(rows, columns, x, y, sigma):
    """By its definition, one cell at a time."""
    drawn = gaze_maps(torch.tensor([[[x, y, 1.0]]]), (rows, columns), sigma)[0, 0]
    expected = [
        [
            -((x * columns - j - 0.5) ** 2 + (y * rows - i - 0.5) ** 2) / (2 * sigma**2)
            for j in range(columns)
        ]
        for i in range(rows)
    ]
    most = max(map(max, expected))
    weights = torch.tensor([[math.exp(e - most) for e in row] for row in expected])
    assert torch.allclose(drawn, weights / weights.sum(), atol=1e-4)


def test_the_divergence_is_nought_for_the_gaze_map_itself_and_known_for_a_flat_one():
    points = torch.tensor([[[0.3, 0.6, 1.0], [0.9, 0.1, 1.0]]])
    gaze = gaze_maps(points, (4, 5), 0.8)
    assert gaze_loss(gaze.log()[None], points, 0.8) == pytest.approx(0, abs=1e-6)
    flat = torch.full((1, 1, 2, 4, 5), -math.log(20))
    entropy = float(-(gaze * gaze.log()).sum(dim=(2, 3)).mean())
    assert float(gaze_loss(flat, points, 0.8)) == pytest.approx(math.log(20) - entropy, rel=1e-5)


def test_steps_without_a_fixation_teach_nothing():
    torch.manual_seed(0)
    points = torch.rand(3, 4, 3)
    points[..., 2] = 0
    points[1, 2, 2] = points[2, 0, 2] = 1
    points[0, 0, :2] = math.nan
    scores = torch.randn(2, 3, 4, 5, 5, requires_grad=True)
    log_attention = scores.flatten(3).log_softmax(3).view_as(scores)
    loss = gaze_loss(log_attention, points, 1.0)
    loss.backward()
    taught_steps = scores.grad.abs().sum(dim=(0, 3, 4)) > 0
    assert taught_steps.nonzero().tolist() == [[1, 2], [2, 0]]
    each = [
        gaze_loss(log_attention[:, b, None, t, None], points[b, None, t, None], 1.0)
        for b, t in ((1, 2), (2, 0))
    ]
    assert loss.item() == pytest.approx(sum(each).item() / 2, rel=1e-5)
    points[..., 2] = 0
    assert gaze_loss(log_attention, points, 1.0) == 0


def test_figures_of_attention_that_is_right_wrong_and_flat():
    points = torch.tensor([[[0.125, 0.875, 1.0], [0.6, 0.4, 0.0]]])
    right = gaze_maps(points, (4, 4), 0.5)
    figures = dict(gaze_metrics(right, points))
    assert figures["gaze/auc"] == 1
    assert figures["gaze/error"] == pytest.approx(0)
    assert figures["gaze/steps"] == 0.5
    assert figures["gaze/centre_error"] == pytest.approx(math.hypot(0.375, 0.375))
    wrong = dict(gaze_metrics(right.flip(3), points))
    assert wrong["gaze/auc"] < 0.95
    assert wrong["gaze/error"] == pytest.approx(0.75)
    flat = dict(gaze_metrics(torch.full((1, 2, 4, 4), 1 / 16), points))
    assert flat["gaze/auc"] == 0.5
    assert flat["gaze/mean_error"] == pytest.approx(math.hypot(0.375, 0.375))
    assert dict(gaze_metrics(right, points * torch.tensor([1, 1, 0]))) == {}


@given(cells=st.lists(st.integers(0, 3), min_size=4, max_size=12), place=st.integers(0, 11))
def test_auc_is_the_chance_to_outrank_another_cell(cells, place):
    own = place % len(cells)
    others = [cell for number, cell in enumerate(cells) if number != own]
    wins = sum((other < cells[own]) + (other == cells[own]) / 2 for other in others)
    attention = torch.tensor(cells, dtype=torch.float32).view(1, 1, -1)
    places = torch.tensor([[(own + 0.5) / len(cells), 0.5]])
    assert float(fixation_auc(attention, places)) == pytest.approx(wins / len(others))


def test_a_map_of_one_cell_says_nothing():
    assert fixation_auc(torch.ones(2, 1, 1), torch.rand(2, 2)).tolist() == [0.5, 0.5]


def test_a_point_on_the_far_edge_is_in_the_last_cell():
    attention = torch.zeros(1, 3, 3)
    attention[0, 2, 2] = 1
    assert fixation_auc(attention, torch.tensor([[1.0, 1.0]])) == 1


@given(x=st.integers(0, 4), y=st.integers(0, 2))
def test_peak_and_mean_place_of_one_cell_are_its_middle(x, y):
    attention = torch.zeros(1, 3, 5)
    attention[0, y, x] = 1
    middle = torch.tensor([[(x + 0.5) / 5, (y + 0.5) / 3]])
    assert torch.allclose(peaks(attention), middle)
    assert torch.allclose(mean_places(attention), middle)


def test_a_head_without_attention_is_not_taught():
    head = build_head("linear", (2, 3), {"v": 2})
    features = torch.randn(4, 2, 3)
    logits, loss = taught(head, features, torch.ones(4, 2, 3), 1.0)
    assert torch.equal(logits["v"], head(features)["v"])
    assert loss == 0

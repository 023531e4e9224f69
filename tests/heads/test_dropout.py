"""Dropout on a processor keeps the odds and the mean, and repeats with its seed."""

import pytest
import torch

from egofeat.heads.dropout import Dropout
from egofeat.heads.registry import build_head


@pytest.mark.parametrize("odds", [0.1, 0.3, 0.5])
def test_dropout_zeroes_that_share_and_raises_the_others(odds: float) -> None:
    torch.manual_seed(0)
    values = torch.full((401, 997), 3.0, requires_grad=True)
    dropped = Dropout(odds)(values)
    zero = dropped == 0
    assert float(zero.double().mean()) == pytest.approx(odds, abs=0.004)
    assert torch.allclose(dropped[~zero], torch.tensor(3 / (1 - odds)))
    dropped.sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad * 3, dropped.detach())


def test_dropout_repeats_with_its_seed_and_leaves_evaluation_alone() -> None:
    layer, values = Dropout(0.5), torch.rand(7, 5)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(layer(values))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(layer.eval()(values), values)


def test_lstm_trains_on_the_numbers_that_it_predicts_with() -> None:
    torch.manual_seed(0)
    head = build_head("lstm", (6, 40), {"verb": 3}, dropout=0.0)
    features = torch.randn(9, 6, 40)
    enabled = torch.backends.mkldnn.is_available() and torch._C._get_mkldnn_enabled()
    states = []
    for training in (True, False):
        head.lstm.zero_grad()
        head.train(training)
        head.norm.eval()
        logits = head(features)["verb"]
        logits.square().sum().backward()
        states.append([logits.detach(), head.lstm.weight_ih_l0.grad.clone()])
    for trained, predicted in zip(*states, strict=True):
        torch.testing.assert_close(trained, predicted, rtol=1e-4, atol=1e-6)
    assert enabled == (torch.backends.mkldnn.is_available() and torch._C._get_mkldnn_enabled())

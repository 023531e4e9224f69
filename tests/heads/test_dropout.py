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
    # Neighbours are of one random number, and know nothing of each other.
    both = (zero[:, :-1] & zero[:, 1:]).double().mean()
    assert float(both) == pytest.approx(odds**2, abs=0.004)
    torch.testing.assert_close(dropped[~zero], torch.full_like(dropped[~zero], 3 / (1 - odds)))
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
    assert not torch.equal(drawn[2], layer(values))
    assert torch.equal(layer.eval()(values), values)


@pytest.mark.parametrize("odds", [0.0, 1.0])
def test_dropout_of_nothing_and_of_everything(odds: float) -> None:
    values = torch.rand(3, 4)
    assert torch.equal(Dropout(odds)(values), values * (1 - odds))


def test_values_of_half_the_width_stay_so() -> None:
    assert Dropout(0.5)(torch.ones(8, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_every_layer_of_a_transformer_drops_out_so() -> None:
    head = build_head("transformer", (4, 6), {"verb": 3}, width=8, heads_count=2, layers=2)
    layers = [module for module in head.modules() if isinstance(module, torch.nn.Dropout)]
    assert len(layers) == 7
    assert {type(layer) for layer in layers} == {Dropout}


@pytest.mark.parametrize("odds", [0.1, 0.3, 0.5])
def test_masks_know_nothing_of_other_places_rows_and_steps(odds: float) -> None:
    torch.manual_seed(1)
    layer, steps = Dropout(odds), torch.ones(8, 20, 128)
    kept = torch.stack([(layer(steps) != 0).double() for _ in range(60)])
    apart = (kept - (1 - odds)) / (odds * (1 - odds)) ** 0.5
    words = apart.flatten(1).unflatten(1, (-1, 4))  # four values are of one random number
    pairs = [words[..., one] * words[..., other] for one in range(4) for other in range(one)]
    rows = [apart[:, :-1] * apart[:, 1:], apart[:, :, :-1] * apart[:, :, 1:]]
    calls = [apart[:-back] * apart[back:] for back in (1, 2, 7)]
    for products in (*pairs, *rows, *calls, *words.unbind(-1)):
        assert abs(float(products.mean())) * products.numel() ** 0.5 < 4.5

"""Attention over time, over motion, and weights between heads."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from egofeat.errors import RequestError
from egofeat.heads import Examples, TrainerConfig, build_head, train
from egofeat.heads.flow_attention import curved_weights, flow_weights
from egofeat.heads.fusion import (
    AveragedHeads,
    Concatenated,
    WeightedHeads,
    concatenate,
    concatenated_shape,
)
from egofeat.heads.head import Standardise


def accuracy(head, examples, target):
    rows = examples.validation
    with torch.inference_mode():
        logits = head(torch.from_numpy(examples.features.take(rows)).float())[target]
    return float((logits.argmax(1).numpy() == examples.labels[target][rows]).mean())


def test_the_transformer_learns_order_which_attention_pooling_cannot(order_task):
    task = order_task()
    config = TrainerConfig(epochs=20, lr=3e-3, device="cpu", patience=0)
    torch.manual_seed(0)
    transformer = build_head("transformer", (20, 12), {"order": 2}, width=32, dropout=0.1)
    train(transformer, task, config)
    assert accuracy(transformer, task, "order") > 0.85
    pool = build_head("attention_pool", (20, 12), {"order": 2}, width=16)
    train(pool, task, config)
    assert accuracy(pool, task, "order") < 0.65


def test_attention_pooling_finds_the_step_that_tells(array_features):
    """One step in twenty bears class and mark; the others bear another class and no mark."""
    rng = np.random.default_rng(0)
    array = rng.normal(0, 0.3, (400, 20, 6)).astype(np.float32)
    labels = rng.integers(0, 4, 400)
    moments = rng.integers(0, 20, 400)
    for row, (label, moment) in enumerate(zip(labels, moments, strict=True)):
        decoys = rng.integers(0, 4, 20)
        array[row, np.arange(20), decoys] += 2
        array[row, moment, decoys[moment]] -= 2
        array[row, moment, [label, 4]] += (2, 3)
    task = Examples(array_features(array), {"v": labels}, np.arange(300), np.arange(300, 400))
    config = TrainerConfig(epochs=30, lr=1e-2, device="cpu", patience=0)
    torch.manual_seed(0)
    pool = build_head("attention_pool", (20, 6), {"v": 4}, width=16, dropout=0.0)
    linear = build_head("linear", (20, 6), {"v": 4})
    for head in (pool, linear):
        train(head, task, config)
    assert accuracy(pool, task, "v") > accuracy(linear, task, "v") + 0.2


def test_the_probe_sees_order_where_it_is_asked_to(order_task):
    task = order_task()
    config = TrainerConfig(epochs=20, lr=3e-3, device="cpu", patience=0)
    reached = {}
    for order in (True, False):
        torch.manual_seed(0)
        probe = build_head("probe", (20, 12), {"order": 2}, width=32, blocks=2, order=order)
        train(probe, task, config)
        reached[order] = accuracy(probe, task, "order")
    assert reached[True] > 0.85
    assert reached[False] < 0.65


def test_the_probe_asks_each_target_s_question_of_every_place():
    torch.manual_seed(0)
    probe = build_head("probe", (2, 8, 3, 3), {"verb": 4, "noun": 5}, width=16, blocks=3).eval()
    maps = torch.randn(1, 2, 8, 3, 3)
    logits = probe(maps)
    assert {target: tuple(of.shape) for target, of in logits.items()} == {
        "verb": (1, 4),
        "noun": (1, 5),
    }
    with torch.no_grad(), FlopCounterMode(display=False) as counter:  # as a sweep counts it
        probe(maps)
    assert counter.get_total_flops() > 0
    shuffled = maps.flatten(3)[..., torch.randperm(9)].view_as(maps).flip(1)
    for target, right in logits.items():
        torch.testing.assert_close(probe(shuffled)[target], right, rtol=1e-4, atol=1e-5)
    maps[0, 1, :, 2, 2] += 1  # one token of eighteen
    assert not torch.allclose(probe(maps)["verb"], logits["verb"], atol=1e-6)
    sum(of.square().sum() for of in [probe(maps)["verb"]]).backward()
    verb, noun = probe.queries.grad
    assert verb.any()
    assert not noun.any()


def test_a_fresh_attention_pool_averages():
    head = build_head("attention_pool", (5, 6), {"v": 2}).eval()
    features = torch.randn(3, 5, 6)
    assert torch.allclose(head.embed(features), features.mean(dim=1), atol=1e-6)


@pytest.mark.parametrize("name", ["transformer", "probe"])
def test_a_transformer_wants_a_width_of_whole_heads(name):
    with pytest.raises(RequestError, match=r"width .* multiple of heads_count 3, not 32"):
        build_head(name, (5, 6), {"v": 2}, width=32, heads_count=3)


def test_flow_weighs_places_from_a_half_to_one():
    grid = torch.zeros(1, 2, 2, 2)
    grid[0, 1] = torch.tensor([[2.0, 8.0], [6.0, 3.0]])
    assert flow_weights(grid)[0].tolist() == [
        [[0.5, 0.5], [0.5, 0.5]],
        [[0.5, 1.0], [0.75, 0.5]],
    ]
    assert torch.allclose(flow_weights(3 * grid + 7), flow_weights(grid))
    assert (flow_weights(torch.ones(2, 3, 4, 4)) == 0.5).all()


def test_a_curve_takes_a_pixel_for_still_and_five_for_the_most():
    motion = torch.tensor([0.0, 0.1, 1.0, 1.8, 2.0, 2.4, 5.0, 60.0])
    parts = (motion / 800**0.5).double().clamp(max=1)
    bent = ((-0.006 / (parts**2 + 1e-5)).exp() + parts**0.3) / 2
    weights = curved_weights(motion.view(1, 1, 1, -1)).flatten()
    assert torch.allclose(weights, (bent + bent).clamp(0.5, 1).float())
    assert weights[:3].tolist() == [0.5, 0.5, 0.5]
    assert 0.5 < weights[3] < weights[4] < weights[5] < 1
    assert weights[6:].tolist() == [1, 1]


def test_a_curve_sees_pixels_however_features_are_standardised():
    torch.manual_seed(0)
    options = {"weights": "curved"}
    head = build_head("flow_attention", (3, 5, 4, 4), {"v": 2}, **options).eval()
    features = 4 * torch.rand(2, 3, 5, 4, 4)
    before = head.prepare(features)
    head.standardise = Standardise(5)
    head.standardise.std.copy_(torch.tensor([1.0, 1, 1, 1, 9]))
    head.standardise.mean.copy_(torch.tensor([0.0, 0, 0, 0, 2]))
    assert torch.equal(head.prepare(features), before)
    expected = features[:, :, :-1] * curved_weights(features[:, :, -1])[:, :, None]
    assert torch.equal(before, expected)
    assert torch.equal(head.prepare(features.unflatten(1, (1, 3))), before)


@pytest.mark.parametrize(("preset", "steps"), [(None, 3), ("seed", 20)])
def test_flow_attention_is_the_one_dimensional_network_on_weighted_maps(preset, steps):
    torch.manual_seed(0)
    options = {"filters": 64} if preset else {"width": 64}
    head = build_head("flow_attention", (steps, 7, 4, 4), {"v": 3}, preset).eval()
    plain = build_head("conv1d", (steps, 6, 4, 4), {"v": 3}, preset, **options).eval()
    plain.load_state_dict(head.state_dict())
    maps, grid = torch.randn(2, steps, 6, 4, 4), torch.rand(2, steps, 1, 4, 4)
    weighted = maps * flow_weights(grid[:, :, 0])[:, :, None]
    both = torch.cat([maps, grid], dim=2)
    assert torch.allclose(head(both)["v"], plain(weighted)["v"], atol=1e-5)
    attention = head.attention(both)
    assert torch.allclose(attention.sum(dim=(2, 3)), torch.ones(2, steps))
    clips = both.unflatten(1, (1, steps))
    assert torch.equal(head.attention(clips), attention)


@pytest.mark.parametrize("shape", [(4, 6), (4, 1, 3, 3)])
def test_flow_attention_needs_maps_and_a_grid(shape):
    with pytest.raises(RequestError, match=r"maps and the grid of flow.*`backbone` flow_grid"):
        build_head("flow_attention", shape, {"v": 2})


def test_a_grid_of_one_channel_is_averaged_to_the_maps(array_features):
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(5, 4, 3, 2, 2)).astype(np.float32)
    grid = rng.normal(size=(5, 2, 1, 6, 4)).astype(np.float16)
    assert concatenated_shape([maps.shape[1:], grid.shape[1:]]) == (4, 4, 2, 2)
    joined = concatenate([torch.from_numpy(maps), torch.from_numpy(grid)])
    assert torch.equal(joined[:, :, :3], torch.from_numpy(maps))
    means = grid.astype(np.float32).reshape(5, 2, 2, 3, 2, 2).mean(axis=(3, 5))
    assert np.allclose(joined[:, :, 3], np.repeat(means, 2, axis=1), atol=1e-6)
    both = Concatenated([array_features(maps), array_features(grid)])
    assert np.array_equal(both.take(np.arange(5)), joined.numpy())
    assert both.longest.array is maps
    with pytest.raises(RequestError, match="vectors"):
        concatenated_shape([(4, 3), (4, 1, 2, 2)])


def test_learnt_weights_lean_to_the_head_that_knows():
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(0, 3, 200))
    knows = 2 * torch.nn.functional.one_hot(labels, 3) + torch.randn(200, 3)
    guesses = 2 * torch.randn(200, 3)
    heads = [build_head("linear", (2, 4), {"a.b": 3, "c": 3}) for _ in range(2)]
    fused = WeightedHeads(heads)
    parts = [{"a.b": knows, "c": guesses}, {"a.b": guesses, "c": guesses.flip(0)}]
    mean = AveragedHeads(heads).combine(parts)
    fresh = fused.combine(parts)
    assert all(torch.allclose(fresh[target], mean[target]) for target in mean)
    absent = torch.full_like(labels, -1)
    fused.fit(parts, {"a.b": labels, "c": absent})
    weights = fused.weights()
    assert weights["a.b"][0] > 0.9
    assert weights["a.b"].sum().item() == pytest.approx(1)
    assert weights["c"].tolist() == [0.5, 0.5]  # nothing to learn from
    first = fused.combine(parts)["a.b"]
    expected = weights["a.b"][0] * knows + weights["a.b"][1] * guesses
    assert torch.allclose(first, expected, atol=1e-5)
    again = WeightedHeads(heads)
    again.fit(parts, {"a.b": labels, "c": absent})
    assert torch.equal(again.scores[0], fused.scores[0])

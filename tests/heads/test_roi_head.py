"""The head of persons: what it computes, whom it looks at, what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from egofeat.errors import RequestError
from egofeat.heads import Examples, TrainerConfig, build_head, train
from egofeat.heads.head import Standardise

CLASSES = {"action": 5}


def made(*shape, seed=0, **options):
    torch.manual_seed(seed)
    return build_head("roi", shape, CLASSES, **options).eval()


def batch(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(1, 2304), (1, 2304, 7, 7)])
@pytest.mark.parametrize("preset", [None, "ava"])
def test_the_default_is_the_published_head(shape, preset):
    head = build_head("roi", shape, {"action": 80}, preset)
    assert sum(p.numel() for p in head.parameters() if p.requires_grad) == 184_400
    assert head.dropout.p == 0.5
    (layer,) = head.classifiers
    maps = batch(3, *shape)
    by_hand = (maps.amax((3, 4)) if len(shape) == 4 else maps)[:, 0]
    assert torch.allclose(head.eval()(maps)["action"], layer(by_hand), atol=1e-5)


def test_vectors_of_a_store_are_what_the_head_would_make_of_maps():
    head, maps = made(1, 6, 7, 7), batch(4, 1, 6, 7, 7)
    on_vectors = made(1, 6)
    on_vectors.load_state_dict(head.state_dict())
    assert torch.equal(head(maps)["action"], on_vectors(maps.amax((3, 4)))["action"])


def test_fresh_attention_averages_the_places_and_learns_to_choose():
    maps = batch(4, 1, 6, 7, 7)
    fresh, mean = made(1, 6, 7, 7, pool="attention"), made(1, 6, 7, 7, pool="mean")
    assert torch.allclose(fresh.embed(maps), mean.embed(maps), atol=1e-6)
    assert torch.allclose(mean.embed(maps), maps.mean((3, 4))[:, 0])
    with torch.no_grad():  # a score that is channel 0, and high
        fresh.places.hidden.weight.zero_()[0, 0] = 0.01
        fresh.places.hidden.bias.zero_()
        fresh.places.score.weight[0, 0] = 1e5
    flat = maps[:, 0].flatten(2)
    chosen = flat[torch.arange(4), :, flat[:, 0].argmax(1)]
    assert torch.allclose(fresh.embed(maps), chosen, atol=1e-2)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 99),
    others=st.integers(1, 4),
    pool=st.sampled_from(["max", "mean", "attention"]),
)
def test_the_order_of_others_and_who_is_absent_change_nothing(seed, others, pool):
    head = made(1 + others, 6, 3, 3, seed=seed, pool=pool, others=others, hidden=8)
    rows = batch(3, 1 + others, 6, 3, 3, seed=seed)
    shuffled = rows[:, [0, *(1 + torch.randperm(others)).tolist()]]
    assert torch.allclose(head(rows)["action"], head(shuffled)["action"], atol=1e-5)
    with_nobody = torch.cat([rows, torch.zeros(3, 2, 6, 3, 3)], 1)
    wider = made(3 + others, 6, 3, 3, seed=seed, pool=pool, others=others + 2, hidden=8)
    wider.load_state_dict(head.state_dict())
    assert torch.allclose(head(rows)["action"], wider(with_nobody)["action"], atol=1e-5)


@pytest.mark.parametrize("standardised", [False, True])
def test_nobody_else_is_a_zero_vector_with_a_finite_gradient(standardised):
    head = made(4, 6, 3, 3, others=3, hidden=8)
    if standardised:
        head.standardise = Standardise(6)
        head.standardise.mean.copy_(torch.arange(1.0, 7.0))
    rows = batch(2, 4, 6, 3, 3)
    rows[0, 1:] = 0
    rows.requires_grad_()
    vectors = head.embed(head.prepare(rows))
    assert vectors.shape == (2, 6 + 8)
    assert not vectors[0, 6:].any()
    assert vectors[1, 6:].any()
    vectors.square().sum().backward()
    gradients = [p.grad for p in head.parameters() if p.grad is not None]
    assert len(gradients) == 3, "query, key and value"
    assert all(g.isfinite().all() for g in [rows.grad, *gradients])


def test_a_head_without_others_looks_at_the_person_alone():
    head, rows = made(3, 6), batch(4, 3, 6)
    assert torch.equal(head(rows)["action"], made(1, 6)(rows[:, :1])["action"])


def test_a_person_weighs_others_by_query_and_key():
    head = made(3, 4, others=2, hidden=4)
    with torch.no_grad():
        for layer in (head.company.query, head.company.key, head.company.value):
            layer.weight.copy_(torch.eye(4))
    rows = batch(5, 3, 4)
    scores = torch.stack([(rows[:, 0] * rows[:, k]).sum(1) / 2 for k in (1, 2)], 1)
    weights = scores.softmax(1)
    found = weights[:, :1] * rows[:, 1] + weights[:, 1:] * rows[:, 2]
    assert torch.allclose(head.embed(rows), torch.cat([rows[:, 0], found], 1), atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "options", "says"),
    [
        ((1, 8), {"pool": "attention"}, "pool attention of head 'roi' needs maps.*`tap` roi_map"),
        ((1, 8), {"pool": "mean"}, "pool mean of head 'roi' needs maps"),
        ((1, 8, 7, 7), {"pool": "min"}, "pool .* 'max', 'mean' or 'attention'"),
        ((2, 8), {"others": 3}, "rows of 4 persons, and these are of 2"),
        ((2, 8), {"others": -1}, "others .* greater than or equal to 0"),
    ],
)
def test_what_cannot_be_is_one_sentence(shape, options, says):
    with pytest.raises(RequestError, match=says):
        build_head("roi", shape, CLASSES, **options)


QUICK = TrainerConfig(epochs=12, lr=0.01, device="cpu", patience=0, monitor="mAP")


def judged(examples, **options):
    torch.manual_seed(0)
    head = build_head("roi", examples.features.row_shape, {"action": 4}, **options)
    return train(head, examples, QUICK).history[-1]["val/action/mAP"]


def split(array_features, array, actions):
    """Two thirds train, one third validates."""
    cut = len(array) * 2 // 3
    rows = np.arange(len(array))
    return Examples(
        array_features(array.astype(np.float16)), {"action": actions}, rows[:cut], rows[cut:]
    )


def test_a_small_thing_in_a_map_is_found_by_the_maximum_and_lost_in_the_mean(array_features):
    rng = np.random.default_rng(0)
    array = rng.normal(0, 1, (900, 1, 8, 7, 7))
    actions = rng.random((900, 4)) < 0.4
    for row, action in np.argwhere(actions):
        array[row, 0, action, rng.integers(7), rng.integers(7)] = 5
    task = split(array_features, array, actions)
    assert judged(task) > 0.95
    assert judged(task, pool="mean") < 0.85


def test_what_others_do_is_learned_where_it_matters_alone(array_features):
    """Half of the rows have nobody else: they do what they do."""
    rng = np.random.default_rng(0)
    array = rng.normal(0, 0.3, (900, 3, 8))
    own, beside = rng.random((2, 900, 2)) < 0.5
    beside[::2] = False
    array[:, 0, :2] += 2 * own
    array[:, 2, 4:6] += 2 * beside
    array[::2, 1:] = 0
    task = split(array_features, array, np.concatenate([own, beside], axis=1))
    assert judged(task, others=2, hidden=16) > 0.95
    assert judged(task) < 0.8


def test_mixed_precision_and_resuming_with_others(array_features, tmp_path):
    rng = np.random.default_rng(0)
    array = rng.normal(0, 1, (60, 3, 8, 3, 3))
    array[::3, 1:] = 0
    task = split(array_features, array, rng.random((60, 4)) < 0.4)
    config = replace(QUICK, epochs=4, amp="bf16")

    def fitted(checkpoint, config):
        torch.manual_seed(0)
        options = {"others": 2, "pool": "attention", "hidden": 8}
        head = build_head("roi", task.features.row_shape, {"action": 4}, **options)
        return head, train(head, task, config, checkpoint=tmp_path / checkpoint)

    class Cut(Exception):
        pass

    def cut(record):
        if record["epoch"] == 2:
            raise Cut

    whole, progress = fitted("whole", config)
    torch.manual_seed(0)
    options = {"others": 2, "pool": "attention", "hidden": 8}
    head = build_head("roi", task.features.row_shape, {"action": 4}, **options)
    with pytest.raises(Cut):
        train(head, task, config, checkpoint=tmp_path / "cut", on_epoch=cut)
    resumed, after = fitted("cut", config)
    assert after.history == progress.history
    assert all(torch.equal(whole.state_dict()[k], v) for k, v in resumed.state_dict().items())

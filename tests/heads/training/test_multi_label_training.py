"""Targets of several classes a row: loss, figures, training, what has no meaning there."""

import math
from dataclasses import replace

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from egofeat.errors import EgofeatError, RequestError
from egofeat.heads import Examples, TrainerConfig, build_head, train
from egofeat.heads.measures.metrics import metrics
from egofeat.heads.training.losses import Criterion, class_counts, positive_weights
from egofeat.heads.training.optim import make_optimizer
from egofeat.heads.training.recipes import trainer_config
from egofeat.heads.training.schedules import rate_factor

QUICK = TrainerConfig(epochs=20, lr=0.05, device="cpu", patience=0)


def test_the_loss_is_the_mean_over_classes_then_rows():
    logits, labels = torch.randn(6, 4), torch.rand(6, 4) < 0.5
    loss = Criterion({"action": labels.sum(0)}, several={"action": 6})(
        {"action": logits}, {"action": labels}
    )
    truth = labels.float()
    by_hand = -(truth * logits.sigmoid().log() + (1 - truth) * (-logits).sigmoid().log())
    assert torch.allclose(loss, by_hand.mean(dim=1).mean())


def test_class_weights_are_of_the_rows_that_have_the_class_and_capped():
    labels = torch.zeros(100, 4, dtype=torch.bool)
    labels[:50, 0] = labels[:20, 1] = labels[:1, 2] = labels[:, 3] = True
    weights = positive_weights(class_counts(labels.numpy(), 4), 100, cap=10)
    assert weights.tolist() == pytest.approx([1, 4, 10, 0.1])
    logits = torch.randn(100, 4)
    criterion = Criterion({"action": labels.sum(0)}, several={"action": 100}, class_weights=True)
    truth = labels.float()
    by_hand = -(weights * truth * F.logsigmoid(logits) + (1 - truth) * F.logsigmoid(-logits))
    assert torch.allclose(criterion({"action": logits}, {"action": labels}), by_hand.mean())


def test_a_target_of_one_class_beside_it_keeps_its_loss():
    logits = {"action": torch.randn(6, 4), "verb": torch.randn(6, 3)}
    labels = {"action": torch.rand(6, 4) < 0.5, "verb": torch.tensor([0, 1, -1, 2, 2, 0])}
    counts = {"action": labels["action"].sum(0), "verb": torch.tensor([2, 1, 2])}
    both = Criterion(counts, several={"action": 6})(logits, labels)
    verb = F.cross_entropy(logits["verb"], labels["verb"], ignore_index=-1)
    action = F.binary_cross_entropy_with_logits(logits["action"], labels["action"].float())
    assert torch.allclose(both, verb + action)


def average_precision(scores, truth):
    """Step area: recall's gain at each distinct score times the precision down to it."""
    area, recalled = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        chosen = scores >= threshold
        recall = (truth & chosen).sum() / truth.sum()
        area += (recall - recalled) * (truth & chosen).sum() / chosen.sum()
        recalled = recall
    return area


@given(
    # Few distinct values: scores that are equal must be taken together.
    hnp.arrays(np.float32, (9, 3), elements=st.integers(-4, 4).map(float)),
    hnp.arrays(np.bool_, (9, 3)),
)
def test_map_is_the_mean_of_the_classes_that_occur(scores, truth):
    found = dict(metrics({"action": torch.from_numpy(scores)}, {"action": torch.from_numpy(truth)}))
    occur = np.flatnonzero(truth.any(0))
    if not len(occur):
        assert found == {}
        return
    each = [average_precision(scores[:, of], truth[:, of]) for of in occur]
    assert list(found) == ["action/mAP"]
    assert found["action/mAP"] == pytest.approx(np.mean(each), abs=1e-6)


def test_large_logits_are_not_equal():
    """The sigmoid of 20 and of 25 is 1 in single precision."""
    logits = torch.tensor([[25.0], [20.0], [21.0], [-1.0]])
    truth = torch.tensor([[True], [False], [True], [False]])
    assert dict(metrics({"action": logits}, {"action": truth})) == {"action/mAP": 1.0}


@pytest.fixture
def actions(array_features):
    """Each class is the sign of a channel; rows have none to four of them."""
    rng = np.random.default_rng(3)
    array = rng.normal(0, 1, (300, 1, 12)).astype(np.float32)
    return Examples(
        array_features(array),
        {"action": array[:, 0, :4] > 0.8},
        np.arange(200),
        np.arange(200, 300),
    )


def fitted(examples, config=QUICK, **given):
    torch.manual_seed(config.seed)
    classes = {
        target: labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1
        for target, labels in examples.labels.items()
    }
    head = build_head("linear", examples.features.row_shape, classes)
    return head, train(head, examples, config, **given)


def test_it_learns_and_its_history_has_map(actions):
    _, progress = fitted(actions)
    assert list(progress.history[0]) == [
        "epoch", "iteration", "lr", "train/loss", "val/loss", "val/action/mAP",
    ]  # fmt: skip
    assert progress.history[-1]["val/action/mAP"] > 0.95
    assert progress.history[0]["val/loss"] < math.log(2), "the mean over classes, not their sum"
    assert progress.history[-1]["val/loss"] < progress.history[0]["val/loss"]


@pytest.mark.parametrize("changed", [{}, {"class_weights": True, "amp": "bf16"}])
def test_the_same_seed_gives_the_same_bits_held_mapped_or_resumed(actions, tmp_path, changed):
    class Cut(Exception):
        pass

    def cut(record):
        if record["epoch"] == 2:
            raise Cut

    config = replace(QUICK, epochs=4, monitor="mAP", **changed)
    held, progress = fitted(actions, replace(config, device_cache="on"))
    mapped, _ = fitted(actions, replace(config, device_cache="off"))
    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Cut):
        fitted(actions, config, checkpoint=checkpoint, on_epoch=cut)
    resumed, after = fitted(actions, config, checkpoint=checkpoint)
    assert after.history == progress.history
    for other in (mapped, resumed):
        assert all(torch.equal(held.state_dict()[k], v) for k, v in other.state_dict().items())


def test_the_best_epoch_is_that_of_the_figure_that_is_monitored(actions):
    config = replace(QUICK, epochs=60, lr=2.0, patience=3, monitor="mAP")
    head, progress = fitted(actions, config)
    precisions = [record["val/action/mAP"] for record in progress.history]
    assert progress.best_value == max(precisions)
    assert len(progress.history) == progress.best_round + 3 < 60
    assert not head.training


def test_rows_without_any_class_train_too(actions):
    nothing = actions.labels["action"].copy()
    nothing[:, 3] = False
    _, progress = fitted(replace(actions, labels={"action": nothing}))
    assert progress.history[-1]["val/action/mAP"] > 0.95, "of the three classes that occur"


def test_a_loss_that_is_not_finite_is_still_said(actions, array_features):
    array = actions.features.array.copy()
    array[7] = np.nan
    with pytest.raises(EgofeatError, match=r"not finite in epoch 1.*lower `lr`"):
        fitted(replace(actions, features=array_features(array)))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"sampling": "balanced"}, "'action' has several classes.*`sampling` balanced out"),
        ({"logit_adjustment": 1.0}, "'action' has several classes.*softmax over one"),
        ({"monitor": "top1"}, "`monitor` top1 is not a metric of action: choose one of loss, mAP"),
    ],
)
def test_what_has_no_meaning_is_refused(actions, changed, says):
    with pytest.raises(RequestError, match=says):
        fitted(actions, replace(QUICK, **changed))


def test_map_is_refused_where_rows_have_one_class(actions):
    verbs = replace(actions, labels={"verb": np.arange(300) % 3})
    with pytest.raises(RequestError, match="`monitor` mAP is not a metric of verb: choose one of"):
        fitted(verbs, replace(QUICK, monitor="mAP"))


def test_no_epochs_leave_the_head_as_it_is(actions):
    before = build_head("linear", (1, 12), {"action": 4})
    state = {name: tensor.clone() for name, tensor in before.state_dict().items()}
    progress = train(before, actions, replace(QUICK, epochs=0))
    assert progress.history == []
    assert all(torch.equal(state[name], tensor) for name, tensor in before.state_dict().items())


def test_the_ava_recipe_is_the_published_one():
    config = trainer_config("ava")
    assert (config.optimizer, config.schedule, config.iterations) == ("sgd", "cosine", 14_000)
    assert (config.lr, config.batch_size, config.warmup) == (0.1, 64, 1000)
    decay = config.decay(1)
    factors = [rate_factor("cosine", decay, step, 0) for step in (1, 500, 1000, 1001, 7501, 14_000)]
    assert factors == pytest.approx([0.001, 0.5, 1, 1, 0.5, 0], abs=1e-6)
    head = build_head("roi", (3, 8, 7, 7), {"action": 4}, pool="attention", others=2)
    optimizer = make_optimizer(
        config.optimizer, head, lr=config.lr, weight_decay=config.weight_decay, l2=config.l2
    )
    assert isinstance(optimizer, torch.optim.SGD)
    assert {group["weight_decay"] for group in optimizer.param_groups} == {1e-7}
    assert {group["momentum"] for group in optimizer.param_groups} == {0.9}
    in_groups = sum(len(group["params"]) for group in optimizer.param_groups)
    assert in_groups == len(list(head.parameters()))


def test_the_rate_of_the_ava_recipe_follows_the_batch_and_its_warm_up_the_length():
    assert trainer_config("ava", batch_size=32).lr == pytest.approx(0.05)
    assert trainer_config("ava", batch_size=256).lr == pytest.approx(0.4)
    assert trainer_config("ava", batch_size=32, lr=0.3).lr == 0.3, "what is said is meant"
    assert trainer_config("ava", iterations=700).warmup == 50
    assert trainer_config("ava", epochs=28).warmup == 2
    assert trainer_config("ava", epochs=28).unit == "epoch"
    assert trainer_config("ava", epochs=28, warmup=0).warmup == 0
    assert trainer_config("ava", epochs=0).length == 0
    assert trainer_config("stam-egtea", batch_size=64).lr == 1e-2, "names no batch"

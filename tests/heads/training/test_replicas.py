"""Heads of several seeds on the same batches: each comes to what it would alone.

To the bits where they learn in turn, and to rounding where their weights are stacked.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from egofeat.heads import Examples, TrainerConfig, build_head, predict, train
from egofeat.heads.linear import LinearHead
from egofeat.heads.training import trainer
from egofeat.heads.training.replicas import Replica
from egofeat.heads.training.trainer import train_together

QUICK = TrainerConfig(epochs=3, device="cpu", lr=3e-3, batch_size=16, device_cache="off")


def fresh(name, task, seed, **options):
    torch.manual_seed(seed)
    kind, _, preset = name.partition(":")
    return build_head(kind, task.features.row_shape, {"order": 2}, preset or None, **options)


def together(name, task, config, seeds, **options):
    replicas = [Replica(fresh(name, task, seed, **options), seed) for seed in seeds]
    train_together(replicas, task, config)
    return replicas


def same_bits(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def as_alone(replica, name, task, config, within, **options):
    """Train the replica's seed alone and compare; returns the history of that."""
    head = fresh(name, task, replica.seed, **options)
    alone = train(head, task, replace(config, seed=replica.seed, data_seed=config.seed))
    progress = replica.progress
    assert progress.best_round == alone.best_round
    assert [list(record) for record in progress.history] == [list(one) for one in alone.history]
    figures, same = (np.array([list(r.values()) for r in of.history]) for of in (progress, alone))
    assert np.abs(figures - same).max() <= within
    if within:
        logits, expected = (predict(of, task.features.array) for of in (replica.head, head))
        assert all((logits[t] - expected[t]).abs().max() <= within for t in expected)
    else:
        assert same_bits(replica.head.state_dict(), head.state_dict())
    return alone.history


IN_TURN = [
    ("lstm", {"hidden": 8}),
    ("transformer", {"layers": 1, "width": 8}),
    ("probe", {"blocks": 2, "width": 8}),
    ("convlstm", {"filters": 4}),
    ("conv1d", {"width": 8, "blocks": 1}),
    ("conv1d:seed", {"width": 8, "filters": 4}),
]
STACKED = [
    ("linear", {}),
    ("linear", {"dropout": 0.3}),
    ("attention_pool", {"width": 8}),
]


def task_of(name, order_task):
    frames = 20 if name == "conv1d:seed" else 5
    return order_task(80, frames, (2, 2) if name == "convlstm" else ())


@pytest.fixture
def stacks(monkeypatch):
    """The members of each stack that is made, and which of them learn."""
    made, usual = [], trainer.Stacked

    def counted(members, learning):
        made.append(learning)
        return usual(members, learning)

    monkeypatch.setattr(trainer, "Stacked", counted)
    return made


@pytest.mark.parametrize(("name", "options"), IN_TURN)
def test_in_turn_each_has_the_bits_that_it_has_alone(order_task, stacks, name, options):
    task = task_of(name, order_task)
    replicas = together(name, task, QUICK, (4, 5, 6), **options)
    histories = [as_alone(replica, name, task, QUICK, 0, **options) for replica in replicas]
    assert histories[0] != histories[1]
    assert not stacks


@pytest.mark.parametrize("counted", [{}, {"iterations": 14, "eval_every": 5}])
@pytest.mark.parametrize(("name", "options"), STACKED)
def test_stacked_each_is_as_alone(order_task, stacks, name, options, counted):
    task, config = task_of(name, order_task), replace(QUICK, **counted)
    replicas = together(name, task, config, (4, 5, 6), **options)
    histories = [as_alone(replica, name, task, config, 1e-5, **options) for replica in replicas]
    assert abs(histories[0][-1]["val/loss"] - histories[1][-1]["val/loss"]) > 1e-4
    assert stacks == [[True] * 3]


@pytest.mark.parametrize(("name", "options"), STACKED)
def test_stacked_or_not_a_seed_has_the_same_bits_beside_any_others(
    order_task, stacks, name, options
):
    """Which seeds are stacked follows from their numbers."""
    task, config = task_of(name, order_task), replace(QUICK, patience=2, epochs=6, lr=0.02)
    families = [(0, 1, 2, 3), (4, 5, 6), (8,)]
    apart = [one for of in families for one in together(name, task, config, of, **options)]
    made = len(stacks)
    mixed = together(name, task, config, (4, 0, 8, 1, 5, 2, 6, 3), **options)
    by_seed = {replica.seed: replica for replica in mixed}
    assert made
    assert sorted(map(len, stacks[:made])) == sorted(map(len, stacks[made:]))
    for one in apart:
        assert one.progress.history == by_seed[one.seed].progress.history
        assert same_bits(one.head.state_dict(), by_seed[one.seed].head.state_dict())


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "momentum", "ranger"])
@pytest.mark.parametrize("name", ["linear", "lstm"])
def test_with_each_optimizer(order_task, optimizer, name):
    task = order_task(80, 5)
    config = replace(QUICK, optimizer=optimizer, l2=1e-2, weight_decay=1e-2, clip_norm=0.1)
    for replica in together(name, task, config, (4, 5)):
        as_alone(replica, name, task, config, 0 if name == "lstm" else 1e-5)


def test_rates_that_differ_are_had_in_turn(order_task, stacks):
    """Each lowers its rate where it stands on a plateau; before the first they are stacked."""
    task = order_task(80, 5)
    config = replace(QUICK, schedule="plateau", lr_patience=0, lr=0.1, epochs=12, patience=0)
    replicas = together("linear", task, config, (4, 5, 6))
    for replica in replicas:
        as_alone(replica, "linear", task, config, 1e-5)
    rates = [[record["lr"] for record in one.progress.history] for one in replicas]
    assert rates[0] != rates[1]
    assert stacks


def test_half_precision_is_had_in_turn(order_task, stacks):
    config = replace(QUICK, amp="bf16")
    task = order_task(80, 5)
    for replica in together("linear", task, config, (4, 5), dropout=0.3):
        as_alone(replica, "linear", task, config, 0, dropout=0.3)
    assert not stacks


def test_a_class_of_its_own_says_itself_whether_it_stacks(order_task, stacks):
    class Twice(LinearHead):
        def embed(self, features):
            return 2 * super().embed(features)

    task, heads = order_task(80, 5), []
    for _ in range(4):
        torch.manual_seed(len(heads) % 2)
        heads.append(Twice(task.features.row_shape, {"order": 2}))
    train_together([Replica(head, 0) for head in heads[:2]], task, QUICK)
    for head in heads[2:]:
        train(head, task, QUICK)
    assert all(same_bits(heads[n].state_dict(), heads[n + 2].state_dict()) for n in (0, 1))
    assert not stacks


def test_when_done_each_has_weights_of_its_own(order_task):
    for replica in together("linear", order_task(80, 5), QUICK, (4, 5)):
        for weight in replica.head.state_dict().values():
            assert weight.untyped_storage().nbytes() == weight.nbytes


class Killed(BaseException):
    pass


def test_those_that_are_ahead_after_a_kill_are_computed_along(order_task, stacks, tmp_path):
    """So that sums are rounded as without it; they themselves stay as they are."""
    task, ends = order_task(80, 5), []
    for folder in ("whole", "cut"):
        (tmp_path / folder).mkdir()
        replicas = [
            Replica(fresh("linear", task, seed), seed, tmp_path / folder / f"{seed}.safetensors")
            for seed in (4, 5, 6)
        ]
        if folder == "cut":

            def kill(record):
                if record["epoch"] == 2:
                    raise Killed

            replicas[1].on_epoch = kill
            with pytest.raises(Killed):
                train_together(replicas, task, QUICK)
            del stacks[:]
            for replica in replicas:
                replica.head.load_state_dict(fresh("linear", task, 9).state_dict())
                replica.on_epoch = lambda record: None
        train_together(replicas, task, QUICK)
        ends.append(replicas)
    assert stacks == [[False, False, True], [True, True, True]]
    for one, other in zip(*ends, strict=True):
        assert one.progress.history == other.progress.history
        assert same_bits(one.head.state_dict(), other.head.state_dict())


def test_rows_are_read_once_for_all(order_task, array_features):
    task = order_task(80, 5)
    train(fresh("conv1d", task, 0, width=8), task, QUICK)
    by_one = list(task.features.taken)
    del task.features.taken[:]
    together("conv1d", task, QUICK, range(4), width=8)
    assert task.features.taken == by_one


def test_the_callers_random_state_is_left_alone(order_task):
    task = order_task(40, 5)
    torch.manual_seed(1)
    heads = [build_head("linear", task.features.row_shape, {"order": 2}) for _ in range(2)]
    before = torch.get_rng_state()
    replicas = [Replica(head, seed) for seed, head in enumerate(heads)]
    train_together(replicas, task, replace(QUICK, epochs=1))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["linear", "lstm"])
def test_labels_of_several_targets_and_absent_ones(array_features, name):
    rng = np.random.default_rng(0)
    features = array_features(rng.standard_normal((60, 4, 6), np.float32).astype(np.float16))
    labels = {"verb": rng.integers(-1, 3, 60), "noun": rng.integers(-1, 5, 60)}
    labels["verb"][:16] = -1
    compare(features, labels, {"verb": 3, "noun": 5}, name, class_weights=True, monitor="top1")
    compare(features, labels, {"verb": 3, "noun": 5}, name, logit_adjustment=1.0)


@pytest.mark.parametrize("name", ["linear", "lstm"])
def test_labels_of_several_classes_a_row(array_features, name):
    rng = np.random.default_rng(0)
    features = array_features(rng.standard_normal((60, 4, 6), np.float32).astype(np.float16))
    labels = {"action": rng.random((60, 3)) < 0.4, "noun": rng.integers(-1, 5, 60)}
    compare(features, labels, {"action": 3, "noun": 5}, name, class_weights=True)


def compare(features, labels, classes, name, **changed):
    task = Examples(features, labels, np.arange(45), np.arange(45, 60))
    config = replace(QUICK, **changed)

    def head(seed):
        torch.manual_seed(seed)
        return build_head(name, (4, 6), classes)

    replicas = [Replica(head(seed), seed) for seed in (0, 1)]
    train_together(replicas, task, config)
    for replica in replicas:
        alone = train(head(replica.seed), task, replace(config, seed=replica.seed, data_seed=0))
        for record, same in zip(replica.progress.history, alone.history, strict=True):
            assert record == pytest.approx(same, rel=0, abs=0 if name == "lstm" else 1e-5)

"""Heads of several seeds on the same batches: each comes to the bits that it would alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from egofeat.heads import Examples, TrainerConfig, build_head, train
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


@pytest.mark.parametrize("schedule", ["step", "plateau"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("linear", {"dropout": 0.3}),
        ("attention_pool", {"width": 8}),
        ("conv1d", {"width": 8, "blocks": 1}),
        ("conv1d:seed", {"width": 8, "filters": 4}),
        ("lstm", {"hidden": 8}),
        ("transformer", {"layers": 1, "width": 8}),
        ("probe", {"blocks": 2, "width": 8}),
        ("convlstm", {"filters": 4}),
    ],
)
def test_each_is_as_alone(order_task, name, options, schedule):
    frames = 20 if name == "conv1d:seed" else 5
    task = order_task(80, frames, (2, 2) if name == "convlstm" else ())
    config = replace(QUICK, schedule=schedule, lr_patience=0 if schedule == "plateau" else 5)
    replicas = together(name, task, config, (4, 5, 6), **options)
    for replica in replicas:
        head = fresh(name, task, replica.seed, **options)
        alone = train(head, task, replace(config, seed=replica.seed, data_seed=config.seed))
        assert replica.progress.history == alone.history
        assert replica.progress.best_round == alone.best_round
        assert same_bits(replica.head.state_dict(), head.state_dict())
    assert replicas[0].progress.history != replicas[1].progress.history


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "ranger"])
def test_with_each_optimizer(order_task, optimizer):
    task = order_task(80, 5)
    config = replace(QUICK, optimizer=optimizer, l2=1e-2, weight_decay=1e-2, clip_norm=0.1)
    for replica in together("conv1d", task, config, (4, 5), width=8):
        head = fresh("conv1d", task, replica.seed, width=8)
        train(head, task, replace(config, seed=replica.seed, data_seed=config.seed))
        assert same_bits(replica.head.state_dict(), head.state_dict())


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


def test_labels_of_several_targets_and_absent_ones(array_features):
    rng = np.random.default_rng(0)
    features = array_features(rng.standard_normal((60, 4, 6), np.float32).astype(np.float16))
    labels = {"verb": rng.integers(-1, 3, 60), "noun": rng.integers(-1, 5, 60)}
    task = Examples(features, labels, np.arange(45), np.arange(45, 60))
    config = replace(QUICK, class_weights=True, monitor="top1")

    def head(seed):
        torch.manual_seed(seed)
        return build_head("attention_pool", (4, 6), {"verb": 3, "noun": 5}, width=4)

    replicas = [Replica(head(seed), seed) for seed in (0, 1)]
    train_together(replicas, task, config)
    for replica in replicas:
        alone = train(head(replica.seed), task, replace(config, seed=replica.seed, data_seed=0))
        assert replica.progress.history == alone.history

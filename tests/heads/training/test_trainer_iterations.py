"""Iterations as the unit: the same training cut elsewhere, and resumed where it was cut."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from egofeat.errors import RequestError
from egofeat.heads import TrainerConfig, build_head, train
from egofeat.heads.training.recipes import RECIPES, trainer_config
from egofeat.heads.training.sampling import BatchOrder
from egofeat.heads.training.schedules import SCHEDULES

QUICK = TrainerConfig(epochs=3, device="cpu", patience=0, lr=3e-3, batch_size=16)


def fitted(task, config, **more):
    torch.manual_seed(config.seed)
    head = build_head("conv1d", task.features.row_shape, {"order": 2}, width=8)
    return head, train(head, task, config, **more)


def bits(head):
    return [tensor.numpy().tobytes() for tensor in head.state_dict().values()]


@given(
    rows=st.integers(2, 50),
    size=st.integers(2, 60),
    seed=st.integers(0, 9),
    start=st.integers(0, 40),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    sampling=st.sampled_from(["shuffle", "balanced"]),
)
def test_spans_are_pieces_of_one_sequence(rows, size, seed, start, lengths, sampling):
    labels = {"verb": np.arange(rows) % 3}
    order = BatchOrder(sampling, labels, seed=seed, batch_size=size)
    pieces = []
    stop = start
    for length in lengths:
        pieces += order.span(stop, stop + length)
        stop += length
    whole = order.span(start, stop)
    assert [piece.tolist() for piece in pieces] == [piece.tolist() for piece in whole]
    epoch = order.span(order.per_epoch, 2 * order.per_epoch)
    assert len(np.concatenate(epoch)) == rows
    assert all(len(batch) > 1 for batch in epoch)
    if sampling == "shuffle":
        assert sorted(np.concatenate(epoch).tolist()) == list(range(rows))


def test_iterations_of_whole_epochs_are_the_epochs(order_task):
    """80 training rows in batches of 16: 5 iterations an epoch."""
    task = order_task(120)
    by_epoch, one = fitted(task, QUICK)
    by_iteration, other = fitted(task, replace(QUICK, iterations=15))
    assert bits(by_epoch) == bits(by_iteration)
    assert one.history == other.history
    assert [(r["epoch"], r["iteration"]) for r in one.history] == [(1, 5), (2, 10), (3, 15)]


def test_evaluations_come_every_so_many_iterations_and_at_the_end(order_task):
    config = replace(QUICK, iterations=12, eval_every=5)
    _, progress = fitted(order_task(120), replace(config, batch_size=20))
    assert [record["iteration"] for record in progress.history] == [5, 10, 12]
    assert [record["epoch"] for record in progress.history] == [1.25, 2.5, 3]


def test_patience_counts_evaluations(order_task):
    config = replace(QUICK, iterations=90, eval_every=2, patience=2, lr=1e-9)
    _, progress = fitted(order_task(120), config)
    assert len(progress.history) == progress.best_round + 2 < 45


@pytest.mark.parametrize("stopped", [1, 3])
def test_a_training_cut_within_an_epoch_resumes_to_the_same_bits(order_task, tmp_path, stopped):
    class Cut(Exception):
        pass

    def cut(record):
        seen.append(record)
        if len(seen) == stopped:
            raise Cut

    task, seen, checkpoint = order_task(120), [], tmp_path / "checkpoint.safetensors"
    config = replace(QUICK, iterations=13, eval_every=3, schedule="cosine", warmup=4)
    with pytest.raises(Cut):
        fitted(task, config, checkpoint=checkpoint, on_epoch=cut)
    assert seen[-1]["iteration"] % 5, "the cut falls within an epoch"
    resumed, after = fitted(task, config, checkpoint=checkpoint)
    straight, before = fitted(task, config)
    assert bits(resumed) == bits(straight)
    assert after.history == before.history
    held, _ = fitted(task, replace(config, device_cache="off"))
    assert bits(held) == bits(straight)


def test_a_loss_that_is_not_finite_is_said_with_its_iteration(array_features):
    from egofeat.errors import EgofeatError
    from egofeat.heads import Examples

    array = np.full((8, 2, 3), np.nan, np.float32)
    task = Examples(
        array_features(array), {"order": np.arange(8) % 2}, np.arange(6), np.arange(6, 8)
    )
    with pytest.raises(EgofeatError, match="not finite in iteration 2: lower `lr`"):
        fitted(task, replace(QUICK, iterations=4, eval_every=2))


def test_epochs_are_evaluated_one_by_one():
    with pytest.raises(RequestError, match="`eval_every` counts iterations"):
        TrainerConfig(eval_every=10)


def test_the_stam_recipes_are_the_reports():
    original, ranger = trainer_config("stam-egtea"), trainer_config("stam-egtea-ranger")
    assert (original.optimizer, original.lr_milestones) == ("sgd", (300, 1000))
    assert (ranger.optimizer, ranger.schedule, ranger.lr_patience) == ("ranger", "plateau", 5)
    assert ranger.decay(80).factor == 0.5
    assert original.iterations == ranger.iterations == 3000
    assert trainer_config("stam-egtea-expanded") == ranger
    assert trainer_config("seed") == trainer_config(None) == TrainerConfig()
    assert set(RECIPES) == {
        "stam-egtea",
        "stam-egtea-ranger",
        "stam-egtea-expanded",
        "ava",
        "kinetics",
    }
    assert all(TrainerConfig(**recipe).schedule in SCHEDULES for recipe in RECIPES.values())


def test_what_is_said_wins_over_the_recipe():
    said = trainer_config("stam-egtea-ranger", lr=0.5, iterations=10)
    assert (said.lr, said.iterations, said.optimizer) == (0.5, 10, "ranger")
    epochs = trainer_config("stam-egtea-ranger", epochs=7)
    assert (epochs.unit, epochs.epochs, epochs.optimizer) == ("epoch", 7, "ranger")
    with pytest.raises(RequestError, match="`epochs` and `iterations` are both given"):
        trainer_config(None, epochs=7, iterations=7)

"""Training: what is learned, when it stops, and that a kill changes nothing."""

import gc
import signal
import subprocess
import sys
import textwrap
import weakref
from contextlib import suppress
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from tests.timeless import timeless

from egofeat.errors import EgofeatError, RequestError
from egofeat.heads import Examples, TrainerConfig, build_head, predict, train
from egofeat.heads.measures.precision import cpu_runs_lstm
from egofeat.heads.training.optim import OPTIMIZERS
from egofeat.heads.training.replicas import Replica
from egofeat.heads.training.trainer import train_together

QUICK = TrainerConfig(epochs=10, device="cpu", patience=0, lr=3e-3)


def fitted(name, examples, config=QUICK, *, preset=None, checkpoint=None, **options):
    classes = {target: int(labels.max()) + 1 for target, labels in examples.labels.items()}
    torch.manual_seed(config.seed)
    head = build_head(name, examples.features.row_shape, classes, preset, **options)
    return head, train(head, examples, config, checkpoint=checkpoint)


@pytest.mark.parametrize("name", ["lstm", "conv1d"])
def test_heads_that_see_order_learn_it(order_task, name):
    _, progress = fitted(name, order_task())
    assert progress.history[-1]["val/order/top1"] > 0.9


def test_convlstm_learns_order_on_maps(order_task):
    _, progress = fitted("convlstm", order_task(400, 8, (2, 2)), filters=16)
    assert progress.history[-1]["val/order/top1"] > 0.9


def test_linear_is_at_chance_on_order(order_task):
    _, progress = fitted("linear", order_task())
    assert abs(progress.history[-1]["val/order/top1"] - 0.5) < 0.12


def test_the_same_seed_gives_the_same_bits_held_or_mapped(order_task):
    config = replace(QUICK, epochs=2)
    task = order_task(200)
    states = [
        fitted("conv1d", task, replace(config, device_cache=cache))[0].state_dict()
        for cache in ("on", "off")
    ]
    other = fitted("conv1d", task, replace(config, seed=1))[0].state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], other[name]) for name in other)


def test_training_leaves_the_callers_random_state_alone(order_task):
    task = order_task(100)
    head = build_head("linear", task.features.row_shape, {"order": 2})
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train(head, task, replace(QUICK, epochs=1))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("seeds", [1, 2])
def test_what_a_training_held_is_free_before_python_looks_for_garbage(order_task, seeds):
    """Weights and what the optimiser remembers of them: a sweep trains many heads."""
    task = order_task(100)
    config = replace(QUICK, epochs=2)
    gc.collect()
    gc.disable()
    try:
        heads = [build_head("linear", task.features.row_shape, {"order": 2}) for _ in range(seeds)]
        replicas = [Replica(head, seed) for seed, head in enumerate(heads)]
        train_together(replicas, task, config)
        left = [weakref.ref(head) for head in heads]
        del heads, replicas
        assert [one() for one in left] == [None] * seeds
    finally:
        gc.enable()


@pytest.mark.parametrize("why", ["diverges", "has no memory"])
def test_what_a_training_held_that_failed_is_free_too(order_task, why):
    task = order_task(100)
    head = build_head("linear", task.features.row_shape, {"order": 2})
    left = weakref.ref(head)
    gc.collect()
    gc.disable()
    try:
        with suppress(EgofeatError, MemoryError):
            if why == "diverges":
                train(head, task, replace(QUICK, lr=1e30, optimizer="sgd", clip_norm=0.0))
            else:
                train(head, task, QUICK, on_epoch=no_memory)
            pytest.fail("it did not fail")
        del head
        assert left() is None
    finally:
        gc.enable()


def no_memory(_record):
    raise MemoryError


KILLED_AFTER_THREE = """
    import os, signal, sys
    from pathlib import Path
    import numpy as np, torch
    from egofeat.heads import Examples, TrainerConfig, build_head, predict, train

    class Source:
        array = np.load(sys.argv[1])
        row_shape, dtype, nbytes = array.shape[1:], array.dtype, array.nbytes

        def take(self, rows, out=None):
            if out is None:
                return self.array[rows]
            out[:] = self.array[rows]
            return out

        def advise_random(self, rows):
            pass

    def kill(record):
        if record["epoch"] == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    torch.manual_seed(0)
    head = build_head("conv1d", Source.row_shape, {"order": 2}, "seed")
    task = Examples(Source(), {"order": np.load(sys.argv[2])}, np.arange(60), np.arange(60, 90))
    config = TrainerConfig(epochs=5, device="cpu")
    train(head, task, config, checkpoint=Path(sys.argv[3]), on_epoch=kill)
"""


def test_a_killed_training_resumes_to_the_same_bits(order_task, tmp_path):
    task, config = order_task(90), TrainerConfig(epochs=5, device="cpu")
    np.save(tmp_path / "features.npy", task.features.array)
    np.save(tmp_path / "labels.npy", task.labels["order"])
    killed, whole = tmp_path / "killed.safetensors", tmp_path / "whole.safetensors"
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(KILLED_AFTER_THREE))
    command = [sys.executable, script, tmp_path / "features.npy", tmp_path / "labels.npy", killed]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL

    resumed, after = fitted("conv1d", task, config, preset="seed", checkpoint=killed)
    straight, before = fitted("conv1d", task, config, preset="seed", checkpoint=whole)
    assert after.history == before.history
    assert after.best_round == before.best_round
    assert all(torch.equal(resumed.state_dict()[k], v) for k, v in straight.state_dict().items())
    assert timeless(killed) == timeless(whole)  # the optimiser's state too


@pytest.mark.parametrize(
    ("name", "options", "changed"),
    [
        ("conv1d", {"width": 16}, {"optimizer": "sgd", "amp": "bf16"}),
        ("lstm", {}, {"optimizer": "adamw", "schedule": "cosine"}),
    ],
)
def test_a_training_cut_between_epochs_resumes_to_the_same_bits(
    order_task, tmp_path, name, options, changed
):
    class Cut(Exception):
        pass

    def cut(record):
        if record["epoch"] == 2:
            raise Cut

    task, config = order_task(90), replace(QUICK, epochs=4, **changed)
    checkpoint = tmp_path / "checkpoint.safetensors"
    torch.manual_seed(config.seed)
    head = build_head(name, task.features.row_shape, {"order": 2}, **options)
    with pytest.raises(Cut):
        train(head, task, config, checkpoint=checkpoint, on_epoch=cut)
    resumed, after = fitted(name, task, config, checkpoint=checkpoint, **options)
    straight, before = fitted(name, task, config, **options)
    assert after.history == before.history
    assert all(torch.equal(resumed.state_dict()[k], v) for k, v in straight.state_dict().items())


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_a_training_of_before_optimisers_were_fused_goes_on(
    order_task, tmp_path, monkeypatch, name
):
    """With a loss scaler, which leaves it to a fused step to scale gradients back."""
    task = order_task(60)
    config = replace(QUICK, epochs=4, optimizer=name, amp="fp16")
    straight, _ = fitted("linear", task, config)
    checkpoint = tmp_path / "checkpoint.safetensors"
    with monkeypatch.context() as before:
        apart = partial(OPTIMIZERS[name].func, **OPTIMIZERS[name].keywords | {"fused": None})
        before.setitem(OPTIMIZERS, name, apart)
        fitted("linear", task, replace(config, epochs=2), checkpoint=checkpoint)
    resumed, progress = fitted("linear", task, config, checkpoint=checkpoint)
    assert len(progress.history) == 4
    for key, expected in straight.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[key], expected)


def test_a_checkpoint_of_another_head_is_refused(order_task, tmp_path):
    task, config = order_task(60), replace(QUICK, epochs=1)
    checkpoint = tmp_path / "checkpoint.safetensors"
    fitted("linear", task, config, checkpoint=checkpoint)
    with pytest.raises(EgofeatError, match=r"not a checkpoint of this head.*remove it"):
        fitted("lstm", task, config, checkpoint=checkpoint)
    checkpoint.write_bytes(b"torn")
    with pytest.raises(EgofeatError, match="not a checkpoint of this head"):
        fitted("linear", task, config, checkpoint=checkpoint)


def test_early_stopping_keeps_the_best_round(array_features):
    """Labels are noise: validation soon gets worse, and the best epoch's head comes back."""
    rng = np.random.default_rng(0)
    task = Examples(
        array_features(rng.normal(size=(120, 4, 30)).astype(np.float32)),
        {"verb": rng.integers(0, 2, 120)},
        np.arange(60),
        np.arange(60, 120),
    )
    config = TrainerConfig(epochs=200, patience=3, lr=0.02, device="cpu")
    head, progress = fitted("conv1d", task, config)
    losses = [record["val/loss"] for record in progress.history]
    assert len(losses) == progress.best_round + 3 < 200
    assert losses[progress.best_round - 1] == min(losses)
    _, shorter = fitted("conv1d", task, replace(config, epochs=progress.best_round, patience=0))
    assert all(torch.equal(shorter.best[name], value) for name, value in head.state_dict().items())


@pytest.mark.parametrize(
    "remedy", [{"class_weights": True}, {"sampling": "balanced"}, {"logit_adjustment": 1.0}]
)
def test_each_remedy_for_imbalance_lifts_mean_class_accuracy(array_features, remedy):
    rng = np.random.default_rng(0)
    labels = rng.choice(4, 800, p=[0.88, 0.06, 0.04, 0.02])
    array = rng.normal(0, 1, (800, 2, 6))
    array[np.arange(800), :, labels] += 1.1
    # Validation holds the classes alike.
    validation = np.concatenate([np.flatnonzero(labels[400:] == c)[:5] + 400 for c in range(4)])
    task = Examples(
        array_features(array.astype(np.float32)), {"verb": labels}, np.arange(400), validation
    )
    config = TrainerConfig(epochs=12, lr=1e-2, device="cpu", patience=0)
    figures = [
        fitted("linear", task, chosen)[1].history[-1]["val/verb/mean_class_accuracy"]
        for chosen in (config, replace(config, **remedy))
    ]
    assert figures[1] > figures[0] + 0.1


@pytest.mark.parametrize("monitor", ["top1", "mean_class_accuracy"])
def test_another_monitor(order_task, monitor):
    _, progress = fitted("lstm", order_task(150), replace(QUICK, epochs=4, monitor=monitor))
    values = [record[f"val/order/{monitor}"] for record in progress.history]
    assert progress.best_value == max(values)
    assert progress.best_round == 1 + values.index(max(values))


def test_mixed_precision_learns_too(order_task):
    config = replace(QUICK, epochs=8, amp="bf16")
    _, progress = fitted("conv1d", order_task(300), config, width=32)
    assert progress.history[-1]["val/order/top1"] > 0.8


def test_half_precision_scales_its_loss_and_keeps_the_scale(order_task, tmp_path):
    task, checkpoint = order_task(90), tmp_path / "checkpoint.safetensors"
    config = replace(QUICK, epochs=1, amp="fp16")
    fitted("linear", task, config, checkpoint=checkpoint)
    more = replace(config, epochs=3)
    resumed, _ = fitted("linear", task, more, checkpoint=checkpoint)
    whole, _ = fitted("linear", task, more)
    weights = (head.state_dict()["classifiers.0.weight"] for head in (resumed, whole))
    assert torch.equal(*weights)


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_an_lstm_in_arithmetic_that_the_processor_has_not_is_refused(order_task, amp):
    config = replace(QUICK, epochs=1, amp=amp)
    if cpu_runs_lstm(amp):
        assert fitted("lstm", order_task(90), config)[1].history
    else:
        with pytest.raises(RequestError, match=f"`amp` {amp} for an LSTM: use (bf16, or )?off"):
            fitted("lstm", order_task(90), config)


def test_trying_the_processor_leaves_random_numbers_alone():
    before = torch.get_rng_state()
    cpu_runs_lstm.__wrapped__("bf16")
    assert torch.equal(before, torch.get_rng_state())


def test_a_loss_that_is_not_finite_is_said(array_features):
    array = np.ones((8, 2, 3), np.float32)
    array[3] = np.nan
    task = Examples(
        array_features(array), {"verb": np.arange(8) % 2}, np.arange(6), np.arange(6, 8)
    )
    says = r"not finite in epoch 1: lower `lr` \(0.*\), or `clip_norm` \(1\)$"
    with pytest.raises(EgofeatError, match=says):
        fitted("linear", task, replace(QUICK, epochs=1))


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("optimizer", "lion", "`optimizer` is lion: choose adam, adamw, sgd, momentum or ranger"),
        ("amp", "on", "`amp` is on: choose off, bf16 or fp16"),
        ("epochs", -1, "`epochs` is -1: give 0 or more"),
        ("clip_norm", -1, "`clip_norm` is -1: give 0 or more"),
        ("lr", 0, "`lr` is 0: give more than 0"),
        ("lr", float("nan"), "`lr` is nan: give a finite number"),
        ("lr", float("inf"), "`lr` is inf: give a finite number"),
        ("batch_size", 2**64, "`batch_size` is .*: give less than"),
    ],
)
def test_wrong_options_are_refused(option, value, says):
    with pytest.raises(RequestError, match=says):
        TrainerConfig(**{option: value})


def test_arrays_train_as_a_store_does(order_task):
    task = order_task(rows=60, frames=4)
    plain = replace(task, features=task.features.array)
    config = TrainerConfig(epochs=2, device="cpu")
    heads = [build_head("lstm", (4, 12), {"order": 2}, hidden=4) for _ in range(2)]
    heads[1].load_state_dict(heads[0].state_dict())
    stored, held = (train(head, of, config) for head, of in zip(heads, (task, plain), strict=True))
    assert stored.history == held.history
    logits = predict(heads[1], task.features.array)["order"]
    assert torch.equal(logits, predict(heads[0], task.features, np.arange(60))["order"])

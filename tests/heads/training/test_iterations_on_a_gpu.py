"""Iterations as a GPU wants them: the host waits for none, and all are one graph."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.recorder import NoWaiting, StandIn
from torch import nn

from egofeat import graphs
from egofeat.heads import Examples, TrainerConfig, build_head, train
from egofeat.heads.dropout import Dropout
from egofeat.heads.training.replicas import Replica
from egofeat.heads.training.trainer import _Trainer, train_together

QUICK = TrainerConfig(epochs=2, device="cpu", lr=3e-3, batch_size=16, schedule="cosine")
HEADS = [
    ("linear", {"dropout": 0.3}, (4, 6)),
    ("attention_pool", {"width": 8}, (4, 6)),
    ("conv1d", {"width": 8, "blocks": 1}, (4, 6)),
    ("conv1d:seed", {"width": 8, "filters": 4}, (20, 6)),
    ("lstm", {"hidden": 8}, (4, 6)),
    ("transformer", {"layers": 1, "width": 8}, (4, 6)),
    ("probe", {"blocks": 2, "width": 8}, (4, 6)),
    ("roi", {"others": 1, "hidden": 8}, (2, 6)),
    ("convlstm", {"filters": 4}, (3, 6, 3, 3)),
    ("stam", {"width": 8}, (3, 6, 4, 4)),
    ("flow_attention", {"width": 8, "blocks": 1}, (3, 6, 3, 3)),
]
CHANGED = [
    {},
    {"optimizer": "adamw", "class_weights": True, "clip_norm": 0.1},
    {"optimizer": "sgd", "logit_adjustment": 1.0, "weight_decay": 1e-2},
    {"optimizer": "momentum", "amp": "bf16", "clip_norm": 0.0},
    {"amp": "fp16", "device_cache": "off"},
]
"""One after the other, so that each head has several of them."""


@pytest.fixture(autouse=True)
def _dropout_of_a_gpu(monkeypatch):
    """There it is PyTorch's own, and here the processor stands for a GPU."""
    monkeypatch.setattr(Dropout, "forward", nn.Dropout.forward)


def task(shape, several=False):
    """Two targets, one of which a row may lack; 75 rows that train, in batches of 16 and 11."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((90, *shape), np.float32).astype(np.float16)
    labels = {"verb": rng.integers(-1, 3, 90), "noun": rng.integers(-1, 5, 90)}
    if several:
        labels = {"verb": rng.random((90, 3)) < 0.4}
    return Examples(features, labels, np.arange(75), np.arange(75, 90))


def fitted(name, options, shape, config, several=False):
    examples = task(shape, several)
    torch.manual_seed(0)
    kind, _, preset = name.partition(":")
    classes = {"verb": 3} if several else {"verb": 3, "noun": 5}
    head = build_head(kind, shape, classes, preset or None, **options)
    return head, train(head, examples, config)


@pytest.fixture
def never_waits(monkeypatch):
    """Iterations of all that is trained run where waiting raises."""
    mode, usual = NoWaiting(), _Trainer._train

    def watched(*args):
        with mode:
            return usual(*args)

    monkeypatch.setattr(_Trainer, "_train", watched)
    yield
    assert mode.seen > 100


@pytest.fixture
def recorder(monkeypatch):
    stand_in = StandIn()
    monkeypatch.setattr(graphs, "recorder_of", lambda device: stand_in)
    return stand_in


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("number", range(len(HEADS)))
@pytest.mark.usefixtures("never_waits")
def test_the_host_waits_for_no_iteration(number, several):
    name, options, shape = HEADS[number]
    changed = CHANGED[(number + several) % len(CHANGED)]
    if several:
        changed = {k: v for k, v in changed.items() if k != "logit_adjustment"}
    if name == "lstm":  # in half precision not every processor has one
        changed = {}
    fitted(name, options, shape, replace(QUICK, epochs=1, **changed), several)


@pytest.mark.parametrize("number", range(len(HEADS)))
def test_replayed_iterations_learn_what_others_do(monkeypatch, number):
    """To single precision's rounding of the rate; the last batch of an epoch has another shape."""
    name, options, shape = HEADS[number]
    changed = {} if name == "lstm" else CHANGED[number % len(CHANGED)]
    config = replace(QUICK, **changed)
    head, progress = fitted(name, options, shape, config)
    recorder = StandIn()
    monkeypatch.setattr(graphs, "recorder_of", lambda device: recorder)
    same, again = fitted(name, options, shape, config)
    assert (recorder.recorded, recorder.replayed, recorder.apart_) == (1, 5, 3 + 2)
    for one, other in zip(progress.history, again.history, strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    for key, expected in head.state_dict().items():
        if not key.endswith("in_proj_bias"):  # a key's has a gradient of rounding errors alone
            torch.testing.assert_close(same.state_dict()[key], expected, rtol=1e-4, atol=1e-5)


def test_a_training_that_was_cut_goes_on_with_a_graph(recorder, tmp_path):
    """The rate is a tensor then, in a file a number."""
    examples = task((4, 6))
    states = []
    for stops in ((1, 3), (3,)):
        torch.manual_seed(0)
        head = build_head("conv1d", (4, 6), {"verb": 3, "noun": 5}, width=8)
        for epochs in stops:
            config = replace(QUICK, epochs=epochs, schedule="constant")
            train(head, examples, config, checkpoint=tmp_path / f"{len(stops)}.safetensors")
        states.append(head.state_dict())
    assert recorder.recorded == 3
    for key, expected in states[1].items():
        torch.testing.assert_close(states[0][key], expected)


def test_each_of_several_seeds_has_a_graph(recorder):
    examples, replicas = task((4, 6)), []
    for seed in (4, 5):
        torch.manual_seed(seed)
        replicas.append(Replica(build_head("linear", (4, 6), {"verb": 3, "noun": 5}), seed))
    train_together(replicas, examples, QUICK)
    assert recorder.recorded == 2
    for replica in replicas:
        torch.manual_seed(replica.seed)
        alone = build_head("linear", (4, 6), {"verb": 3, "noun": 5})
        train(alone, examples, replace(QUICK, seed=replica.seed, data_seed=QUICK.seed))
        for key, expected in alone.state_dict().items():
            assert torch.equal(replica.head.state_dict()[key], expected)


@pytest.mark.parametrize(
    ("refused", "changed"),
    [
        ("_log_softmax_backward_data", {"amp": "fp16"}),
        ("_amp_foreach_non_finite_check_and_unscale_", {"amp": "fp16"}),
        ("linalg_vector_norm", {"amp": "fp16", "clip_norm": 1.0}),
        ("_fused_adam_", {}),
        ("_fused_adam_", {"amp": "fp16", "clip_norm": 0.0}),
        ("_fused_adam_", {"amp": "fp16", "clip_norm": 1.0}),
        ("_fused_sgd_", {"amp": "fp16", "optimizer": "momentum", "clip_norm": 0.0}),
        ("_amp_update_scale_", {"amp": "fp16"}),
    ],
)
def test_after_a_recording_that_failed_all_is_learnt_kernel_by_kernel(
    monkeypatch, capsys, refused, changed
):
    """Wherever it fails, the iteration is done again as if it had never begun."""
    config = replace(QUICK, **changed)
    head, progress = fitted("linear", {"dropout": 0.0}, (4, 6), config)
    recorder = StandIn(refused)
    monkeypatch.setattr(graphs, "recorder_of", lambda device: recorder)
    monkeypatch.setattr("egofeat.console._noted", set())
    same, again = fitted("linear", {"dropout": 0.0}, (4, 6), config)
    assert (recorder.recorded, recorder.replayed, recorder.apart_) == (0, 0, 3 + 1)
    assert capsys.readouterr().err.count("launched one by one") == 1
    for one, other in zip(progress.history, again.history, strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    for key, expected in head.state_dict().items():
        torch.testing.assert_close(same.state_dict()[key], expected, rtol=1e-4, atol=1e-5)


def test_ranger_is_launched_kernel_by_kernel_and_that_is_said(recorder, capsys, monkeypatch):
    monkeypatch.setattr("egofeat.console._noted", set())
    fitted("linear", {}, (4, 6), replace(QUICK, optimizer="ranger"))
    assert recorder.recorded == recorder.apart_ == 0
    assert capsys.readouterr().err.count("kernel by kernel") == 1


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["linear", "conv1d", "lstm", "transformer"])
def test_a_gpu_learns_the_same_with_a_graph_and_without(gpu, monkeypatch, name):
    config = replace(QUICK, device=str(gpu), device_cache="on")
    graph, _ = fitted(name, {}, (4, 6), config)
    monkeypatch.setattr(graphs, "recorder_of", lambda device: None)
    usual, _ = fitted(name, {}, (4, 6), config)
    for key, expected in usual.state_dict().items():
        torch.testing.assert_close(graph.state_dict()[key], expected, rtol=1e-3, atol=1e-4)

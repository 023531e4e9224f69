"""Mixed precision: what it may change, and what a device has not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from egofeat.errors import RequestError
from egofeat.heads import Examples, TrainerConfig, build_head, train
from egofeat.heads.measures.precision import check_precision

LINEAR = build_head("linear", (2, 4), {"verb": 2})


@pytest.fixture
def close_classes(array_features):
    """Four classes that overlap: nine in ten can be told apart, on 2,000 rows to judge by."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 2600)
    array = rng.normal(0, 1, (2600, 6, 16))
    array[np.arange(2600), :, labels] += 0.9
    source = array_features(array.astype(np.float16))
    return Examples(source, {"verb": labels}, np.arange(600), np.arange(600, 2600))


@pytest.mark.parametrize(
    ("head", "amp"), [("linear", "bf16"), ("linear", "fp16"), ("conv1d", "bf16")]
)
def test_mixed_precision_changes_accuracy_by_under_a_point(close_classes, head, amp):
    """Judged when the rate has come down: before, rounding sends two trainings different ways."""
    config = TrainerConfig(epochs=6, lr=1e-2, schedule="cosine", device="cpu", patience=0)
    options = {"width": 32} if head == "conv1d" else {}
    accuracies = []
    for chosen in (config, replace(config, amp=amp)):
        torch.manual_seed(0)
        built = build_head(head, close_classes.features.row_shape, {"verb": 4}, **options)
        record = train(built, close_classes, chosen).history[-1]
        accuracies.append(record["val/verb/top1"])
    assert 0.7 < accuracies[0] < 0.99, "neither at chance nor so easy that nothing can be lost"
    assert abs(accuracies[0] - accuracies[1]) < 0.01


def test_weights_stay_in_single_precision(close_classes):
    head = build_head("linear", close_classes.features.row_shape, {"verb": 4})
    train(head, close_classes, TrainerConfig(epochs=1, amp="bf16", device="cpu"))
    assert {parameter.dtype for parameter in head.parameters()} == {torch.float32}


def test_bf16_is_refused_of_a_gpu_that_has_it_not(monkeypatch):
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.version, "cuda", "12.0")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla V100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 0))
    with pytest.raises(RequestError, match="newer GPU than Tesla V100: use fp16, or off"):
        check_precision("bf16", gpu, LINEAR)
    check_precision("fp16", gpu, LINEAR)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    check_precision("bf16", gpu, LINEAR)


@pytest.mark.gpu
@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_a_gpu_trains_in_mixed_precision(gpu, close_classes, amp):
    config = TrainerConfig(epochs=4, lr=3e-3, device=str(gpu), patience=0, amp=amp)
    head = build_head("lstm", close_classes.features.row_shape, {"verb": 4})
    assert train(head, close_classes, config).history[-1]["val/verb/top1"] > 0.7

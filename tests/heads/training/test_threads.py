"""A head computes with the threads that its size is worth, whatever the machine has."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from egofeat.heads import Examples, TrainerConfig, build_head, predict, train
from egofeat.heads.training import threads
from egofeat.heads.training.solving import solve
from egofeat.heads.training.threads import threads_for, threads_worth

CLASSES = {"verb": 97, "noun": 300}
CPU = torch.device("cpu")
VECTORS = ("linear", "attention_pool", "conv1d", "transformer", "lstm", "probe")
QUICK = TrainerConfig(epochs=1, batch_size=8, device="cpu")


@pytest.fixture(autouse=True)
def _four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def task() -> Examples:
    rng = np.random.default_rng(0)
    labels = {"verb": rng.integers(0, 3, 40)}
    features = rng.standard_normal((40, 6, 8), np.float32)
    return Examples(features, labels, np.arange(30), np.arange(30, 40))


@pytest.mark.parametrize("head", VECTORS)
def test_heads_of_vectors_are_worth_one_thread_at_the_default_batch(head: str) -> None:
    built = build_head(head, (20, 1280), CLASSES)
    assert threads_worth(built, (20, 1280), TrainerConfig().batch_size) == 1


def test_a_head_is_worth_more_threads_with_more_rows_steps_and_weights() -> None:
    conv1d = build_head("conv1d", (20, 1280), CLASSES)
    assert threads_worth(conv1d, (20, 1280), 256) == 2
    assert threads_worth(conv1d, (20, 1280), 1024) == 8
    assert threads_worth(conv1d, (80, 1280), 256) == 8
    assert threads_worth(conv1d, (20, 1280, 7, 7), 256) == 2  # averaged over space first
    assert threads_worth(conv1d, (4, 5, 1280, 7, 7), 256) == 2
    assert threads_worth(build_head("conv1d", (20, 1280), CLASSES, width=512), (20, 1280), 256) > 10
    stam = build_head("stam", (8, 96, 8, 8), CLASSES)
    assert threads_worth(stam, (8, 96, 8, 8), 256) > threads_worth(stam, (8, 96, 2, 2), 256)


def test_rows_that_a_head_remembers_count_as_weights() -> None:
    knn = build_head("knn", (20, 1280), {"verb": 97})
    assert threads_worth(knn, (20, 1280), 256) == 1
    knn.get_submodule("bank").grow(50_000)  # type: ignore[operator]
    assert threads_worth(knn, (20, 1280), 256) == 15


def test_threads_are_never_more_than_there_were_and_come_back() -> None:
    head = build_head("lstm", (20, 1280), CLASSES)
    for rows, inside in ((8, 1), (70, 2), (4096, 4)):
        with threads_for(head, (20, 1280), rows, CPU):
            assert torch.get_num_threads() == inside
        assert torch.get_num_threads() == 4


def test_threads_come_back_from_a_training_that_ends_in_an_error(task: Examples) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(build_head("linear", (6, 8), {"verb": 3}), task, QUICK, on_epoch=stop)
    assert torch.get_num_threads() == 4


def test_threads_of_a_processor_beside_a_gpu_are_left() -> None:
    head = build_head("linear", (20, 1280), CLASSES)
    with threads_for(head, (20, 1280), 8, torch.device("cuda")):
        assert torch.get_num_threads() == 4


@pytest.mark.parametrize(("worth", "inside"), [(1 << 30, 1), (1, 4)])
def test_training_and_prediction_have_the_threads_that_batches_are_worth(
    task: Examples, monkeypatch: pytest.MonkeyPatch, worth: int, inside: int
) -> None:
    monkeypatch.setattr(threads, "WORTH", worth)
    seen: list[int] = []
    head = build_head("linear", (6, 8), {"verb": 3})
    head.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    on_epoch: list[int] = []
    train(head, task, QUICK, on_epoch=lambda _: on_epoch.append(torch.get_num_threads()))
    assert on_epoch == [inside]
    predict(head, task.features, task.validation)
    assert seen
    assert set(seen) == {inside}
    assert torch.get_num_threads() == 4


def test_a_head_that_is_solved_has_threads_by_all_of_its_rows(
    task: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = build_head("logistic", (6, 8), {"verb": 3}, l2=0.01)
    seen: list[int] = []
    forward = torch.nn.functional.linear

    def linear(*of: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return forward(*of)

    monkeypatch.setattr(torch.nn.functional, "linear", linear)
    solve([head], task, QUICK)  # type: ignore[list-item]
    weights = 3 * 8 + 3
    monkeypatch.setattr(threads, "WORTH", weights * 10)
    solve([head], task, QUICK)  # type: ignore[list-item]
    assert set(seen) == {1, 3}


@pytest.mark.parametrize("head", ["conv1d", "transformer", "lstm"])
def test_a_training_has_the_same_bits_with_one_thread_allowed_and_with_four(head: str) -> None:
    rng = np.random.default_rng(0)
    labels = {"verb": rng.integers(0, 3, 96)}
    features = rng.standard_normal((96, 8, 256), np.float32)
    task = Examples(features, labels, np.arange(64), np.arange(64, 96))
    came = []
    for allowed in (1, 4):
        torch.set_num_threads(allowed)
        torch.manual_seed(0)
        built = build_head(head, (8, 256), {"verb": 3})
        train(built, task, replace(QUICK, batch_size=32))
        came.append([*built.state_dict().values(), predict(built, features)["verb"]])
    assert all(map(torch.equal, *came))

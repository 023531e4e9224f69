"""Optimisers: Ranger against the two papers' own updates, restated here one number at a time."""

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.timeless import timeless
from torch.nn.functional import cross_entropy

from egofeat.heads import TrainerConfig, build_head, train
from egofeat.heads.measures.precision import AMP_DTYPES
from egofeat.heads.training.optim import OPTIMIZERS, Ranger, clip, make_optimizer
from egofeat.options import declared

BETA1, BETA2, EPSILON = 0.95, 0.999, 1e-5


class RectifiedAdam:
    """Algorithm 2 of Liu et al. (2020), in float64; rectified from a length of 5 on.

    The paper's text says 4, its authors' code 5; one step in a training differs.
    """

    def __init__(self, theta, lr, decay):
        self.theta, self.lr, self.decay = theta.astype(np.float64), lr, decay
        self.m, self.v, self.t = np.zeros_like(self.theta), np.zeros_like(self.theta), 0

    def step(self, gradient):
        self.t += 1
        self.m = BETA1 * self.m + (1 - BETA1) * gradient
        self.v = BETA2 * self.v + (1 - BETA2) * gradient**2
        rho_inf = 2 / (1 - BETA2) - 1
        rho = rho_inf - 2 * self.t * BETA2**self.t / (1 - BETA2**self.t)
        self.theta = self.theta * (1 - self.lr * self.decay)
        unbiased = self.m / (1 - BETA1**self.t)
        if rho <= 5:
            self.theta = self.theta - self.lr * unbiased
            return
        long = (rho - 4) * (rho - 2) * rho_inf
        r = math.sqrt(long / ((rho_inf - 4) * (rho_inf - 2) * rho))
        adaptive = math.sqrt(1 - BETA2**self.t) / (np.sqrt(self.v) + EPSILON)
        self.theta = self.theta - self.lr * r * unbiased * adaptive


class Reference:
    """Algorithm 1 of Zhang et al. (2019) around it."""

    def __init__(self, theta, lr, k=6, alpha=0.5, decay=0.0):
        self.fast, self.slow = RectifiedAdam(theta, lr, decay), theta.astype(np.float64)
        self.k, self.alpha = k, alpha

    @property
    def theta(self):
        return self.fast.theta

    def step(self, gradient):
        self.fast.step(gradient)
        if self.fast.t % self.k == 0:
            self.slow = self.slow + self.alpha * (self.fast.theta - self.slow)
            self.fast.theta = self.slow.copy()


@settings(max_examples=25, deadline=None)
@given(
    k=st.integers(1, 7),
    alpha=st.sampled_from([0.25, 0.5, 1.0]),
    decay=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 99),
)
def test_ranger_takes_the_papers_steps(k, alpha, decay, seed):
    """Whatever the gradients are, every one of the first 40 steps is the restatement's."""
    rng = np.random.default_rng(seed)
    start = rng.normal(size=5)
    theta = torch.tensor(start, requires_grad=True)
    ours = Ranger([{"params": [theta], "weight_decay": decay}], lr=0.01, k=k, alpha=alpha)
    reference = Reference(start, 0.01, k, alpha, decay)
    for _ in range(40):
        gradient = rng.normal(size=5)
        theta.grad = torch.tensor(gradient)
        ours.step()
        reference.step(gradient)
        assert theta.detach().numpy() == pytest.approx(reference.theta, rel=1e-12, abs=1e-14)


def descend(gradient_of, loss_of, start, lr, steps):
    """Return losses of Ranger and of the restatement, side by side, `[steps][2]`."""
    theta = torch.tensor(start, requires_grad=True)
    ours, reference = Ranger([theta], lr=lr), Reference(start, lr)
    losses = []
    for _ in range(steps):
        theta.grad = torch.tensor(gradient_of(theta.detach().numpy()))
        ours.step()
        reference.step(gradient_of(reference.theta))
        losses.append((loss_of(theta.detach().numpy()), loss_of(reference.theta)))
    return losses


def test_a_convex_problem_is_solved_as_by_the_reference():
    """A quadratic of condition number 100, to a thousandth of its first loss."""
    scale = np.geomspace(0.1, 10, 8)
    losses = descend(
        lambda x: scale * x, lambda x: float((scale * x**2).sum() / 2), np.ones(8), 0.05, 600
    )
    ours, theirs = zip(*losses, strict=True)
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-9)
    reached = [next(n for n, loss in enumerate(of) if loss < 1e-3 * of[0]) for of in (ours, theirs)]
    assert reached[0] == reached[1]


def test_a_head_reaches_a_loss_when_the_reference_does():
    """A small network with its own gradients on either side, weights and classifiers decayed."""
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(0, 4, 200))
    array = rng.normal(0, 1, (200, 6, 8))
    array[np.arange(200), :, labels] += 0.9
    features = torch.from_numpy(array)
    torch.manual_seed(0)
    head, mirror = (
        build_head("conv1d", (6, 8), {"verb": 4}, width=4, blocks=1, dropout=0).double()
        for _ in range(2)
    )
    mirror.load_state_dict(head.state_dict())
    optimizer = make_optimizer("ranger", head, lr=0.1, weight_decay=1e-3, l2=1e-3)
    references = {
        parameter: Reference(
            parameter.detach().numpy().copy(),
            0.1,
            decay=2e-3 if parameter is mirror.classifiers[0].weight else 1e-3,
        )
        for parameter in mirror.parameters()
    }
    losses = []
    for _ in range(250):
        pair = [cross_entropy(one(features)["verb"], labels) for one in (head, mirror)]
        optimizer.zero_grad()
        mirror.zero_grad()
        torch.autograd.backward(pair)
        optimizer.step()
        for parameter, reference in references.items():
            reference.step(parameter.grad.numpy())
            parameter.data.copy_(torch.from_numpy(reference.theta))
        losses.append([loss.item() for loss in pair])
    ours, theirs = np.array(losses).T
    assert ours == pytest.approx(theirs, rel=1e-6)
    assert ours.min() < 0.7 < 1.2 < ours[0], ours.min()
    assert np.argmax(ours < 0.7) == np.argmax(theirs < 0.7)


def test_a_closure_is_called_once_a_step():
    theta = torch.ones(3, requires_grad=True)
    optimizer, calls = Ranger([theta], lr=0.1), []

    def closure():
        optimizer.zero_grad()
        loss = theta.square().sum()
        torch.autograd.backward(loss)
        calls.append(loss.item())
        return loss

    assert optimizer.step(closure).item() == calls[0] == 3
    assert len(calls) == 1
    assert (theta < 1).all()


def test_weights_without_a_gradient_stay_and_join_later():
    theta, late = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    optimizer = Ranger([theta, late], lr=0.1, k=2)
    for step in range(4):
        theta.grad = torch.ones(2)
        late.grad = torch.ones(2) if step > 1 else None
        optimizer.step()
        assert torch.equal(late, torch.ones(2)) == (step < 2)


@pytest.mark.parametrize("unit", [{"epochs": 5}, {"iterations": 25, "eval_every": 4}])
def test_a_ranger_training_that_was_cut_resumes_to_the_same_bits(order_task, tmp_path, unit):
    """Cut where the slow weights lag behind the fast ones: between two multiples of k."""

    class Cut(Exception):
        pass

    def cut(record):
        if len(seen) == 2:
            raise Cut
        seen.append(record)

    task, checkpoint = order_task(120), tmp_path / "checkpoint.safetensors"
    config = TrainerConfig(
        optimizer="ranger", schedule="plateau", lr_patience=0, lr=0.02, device="cpu", patience=0
    )
    config = replace(config, batch_size=16, **unit)

    def fit(**more):
        torch.manual_seed(0)
        head = build_head("conv1d", task.features.row_shape, {"order": 2}, width=8)
        return head, train(head, task, config, **more)

    seen = []
    with pytest.raises(Cut):
        fit(checkpoint=checkpoint, on_epoch=cut)
    resumed, after = fit(checkpoint=checkpoint)
    straight, before = fit(checkpoint=tmp_path / "straight.safetensors")
    assert after.history == before.history
    assert all(torch.equal(resumed.state_dict()[k], v) for k, v in straight.state_dict().items())
    assert timeless(checkpoint) == timeless(tmp_path / "straight.safetensors")


def test_options_name_every_optimizer_and_precision():
    choices = {one.name: one.option.choices for one in declared(TrainerConfig)}
    assert choices["optimizer"] == tuple(OPTIMIZERS)
    assert choices["amp"] == tuple(AMP_DTYPES)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3, float("inf"), float("nan")])
def test_gradients_are_clipped_to_the_bits_of_torch(scale: float) -> None:
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((3, 40), (40,), (2, 5, 7))]
    for weight in weights:
        weight.grad = torch.randn(weight.shape)
    weights[0].grad = torch.randn(40, 3).t()  # as a product leaves it
    weights[1].grad.mul_(scale)
    ours = [weight.grad.clone() for weight in weights]
    clip(ours, 1.0)
    torch.nn.utils.clip_grad_norm_(weights, 1.0)
    for own, weight in zip(ours, weights, strict=True):
        torch.testing.assert_close(own, weight.grad, rtol=0, atol=0, equal_nan=True)


TRAINED = """
import sys
import torch
from egofeat.heads.registry import build_head
from egofeat.heads.training.optim import make_optimizer
head = build_head("linear", (4, 6), {"verb": 3}, None)
optimizer = make_optimizer(sys.argv[1], head, lr=0.1, weight_decay=0.0, l2=0.0)
optimizer.load_state_dict(optimizer.state_dict())
before = head.classifiers[0].bias.clone()
optimizer.zero_grad()
torch.autograd.backward(head(torch.randn(2, 4, 6))["verb"].sum())
optimizer.step()
assert not torch.equal(before, head.classifiers[0].bias)
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_training_does_not_import_the_compiler(name):
    """Which takes as long as torch itself."""
    command = [sys.executable, "-c", TRAINED, name]
    assert subprocess.check_output(command, text=True) == "[]\n"

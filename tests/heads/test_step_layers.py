"""Convolutions and norms over steps against PyTorch's over channels first."""

import pytest
import torch
from torch import nn

from egofeat.heads.step_layers import StepConv, StepLayers, StepNorm

EVEN = {"kernel_size": 4, "padding": "same", "dilation": 2}


@pytest.mark.parametrize(("incoming", "outgoing"), [(12, 3), (3, 12), (4, 4)])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"padding": "same", "dilation": 2},
        {"bias": False},
        {"dilation": 3},
        {"kernel_size": 4},
        EVEN,
    ],
)
def test_convolution_over_steps_is_that_of_torch(
    incoming: int, outgoing: int, how: dict[str, object]
) -> None:
    own = StepConv(incoming, outgoing, **{"kernel_size": 3, **how})  # type: ignore[arg-type]
    plain = nn.Conv1d(incoming, outgoing, **{"kernel_size": 3, **how})  # type: ignore[arg-type]
    plain.load_state_dict(own.state_dict())
    steps = torch.randn(5, 9, incoming, requires_grad=True)
    turned = steps.detach().transpose(1, 2).clone().requires_grad_()
    ours, theirs = own(steps), plain(turned).transpose(1, 2)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    assert steps.grad is not None
    assert turned.grad is not None
    torch.testing.assert_close(steps.grad, turned.grad.transpose(1, 2), rtol=1e-4, atol=1e-5)
    for mine, other in zip(own.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-5)


def test_batch_norm_over_steps_is_that_of_torch() -> None:
    own, plain = StepNorm(6), nn.BatchNorm1d(6)
    steps = torch.randn(4, 7, 6)
    torch.testing.assert_close(own(steps), plain(steps.transpose(1, 2)).transpose(1, 2))
    torch.testing.assert_close(own.running_var, plain.running_var)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_layers_in_one_operation_are_those_of_torch(bias: bool, padding: str) -> None:
    """Narrow and wide convolutions, with and without a slope, one with nothing before it."""
    torch.manual_seed(0)

    def built(conv: type[nn.Conv1d], norm: type[nn.BatchNorm1d]) -> list[nn.Module]:
        how = {"padding": padding, "bias": bias}
        return [
            conv(20, 6, 3, **how),  # type: ignore[arg-type]
            norm(6),
            conv(6, 9, 2, dilation=2, **how),  # type: ignore[arg-type]
            norm(9),
            nn.LeakyReLU(0.1),
            nn.Tanh(),
            conv(9, 4, 1, **how),  # type: ignore[arg-type]
            norm(4),
            nn.LeakyReLU(0.1),
        ]

    own, plain = (
        StepLayers(*built(StepConv, StepNorm)),
        nn.Sequential(*built(nn.Conv1d, nn.BatchNorm1d)),
    )
    for weight in own.parameters():
        nn.init.normal_(weight)
    plain.load_state_dict(own.state_dict())
    steps = torch.randn(5, 9, 20, requires_grad=True)
    turned = steps.detach().transpose(1, 2).clone().requires_grad_()
    for _ in range(2):
        ours, theirs = own(steps), plain(turned).transpose(1, 2)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    assert steps.grad is not None
    assert turned.grad is not None
    torch.testing.assert_close(steps.grad, turned.grad.transpose(1, 2), rtol=1e-3, atol=1e-4)
    for (name, mine), other in zip(own.named_parameters(), plain.parameters(), strict=True):
        if name in {"0.bias", "2.bias", "6.bias"}:
            assert mine.grad is None
            torch.testing.assert_close(other.grad, torch.zeros_like(other), rtol=0, atol=1e-3)
        else:
            torch.testing.assert_close(mine.grad, other.grad, rtol=1e-3, atol=1e-4)
    state = plain.state_dict()
    for name, mine in own.state_dict().items():
        torch.testing.assert_close(mine, state[name], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        own.eval()(steps), plain.eval()(turned).transpose(1, 2), rtol=1e-4, atol=1e-4
    )


def test_what_a_tower_cannot_do_is_said():
    layers = StepLayers(StepConv(3, 2, 1), StepNorm(2), nn.LeakyReLU(0.01))
    with pytest.raises(ValueError, match="more than one row"):
        layers(torch.ones(1, 1, 3))
    steps = torch.randn(2, 4, 3, requires_grad=True)
    (first,) = torch.autograd.grad(layers(steps).square().sum(), steps, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_a_norm_that_does_not_learn_keeps_its_figures():
    layers = StepLayers(StepConv(3, 2, 1), StepNorm(2), StepConv(2, 2, 1), StepNorm(2))
    layers[3].eval()
    layers(torch.randn(5, 4, 3))
    assert layers[1].running_mean.any()
    assert not layers[3].running_mean.any()

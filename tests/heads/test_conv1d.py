"""Convolutions over steps against PyTorch's over channels first."""

import pytest
import torch
from torch import nn

from egofeat.heads.conv1d import StepConv, StepNorm

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

"""The arithmetic that a head's forward pass runs in."""

import functools
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from egofeat.errors import RequestError

AMP_DTYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Automatic mixed precision by name; fp16 goes with loss scaling."""
BF16_CAPABILITY = 8
"""NVIDIA's compute capability (Ampere) from which a GPU has bf16 units."""


def check_precision(amp: str, device: torch.device, head: nn.Module) -> None:
    """Refuse arithmetic that the device does not have.

    A CPU has both, though most are no faster for it; of an LSTM it has those that oneDNN has there.

    Raises:
        RequestError: in one sentence, with what can be used instead.
    """
    nvidia = device.type == "cuda" and torch.version.cuda is not None
    if amp == "bf16" and nvidia and torch.cuda.get_device_capability(device)[0] < BF16_CAPABILITY:
        raise RequestError(
            f"`amp` bf16 needs a newer GPU than {torch.cuda.get_device_name(device)}: "
            "use fp16, or off"
        )
    recurrent = any(isinstance(module, nn.LSTM) for module in head.modules())
    if amp != "off" and device.type == "cpu" and recurrent and not cpu_runs_lstm(amp):
        instead = "bf16, or off" if amp == "fp16" and cpu_runs_lstm("bf16") else "off"
        raise RequestError(f"this processor has no `amp` {amp} for an LSTM: use {instead}")


@functools.cache
def cpu_runs_lstm(amp: str) -> bool:
    """Whether an LSTM trains in this arithmetic here; nothing but trying tells."""
    try:
        with torch.random.fork_rng([]), autocast(amp, torch.device("cpu")):
            states, _ = nn.LSTM(8, 8, batch_first=True)(torch.zeros(2, 2, 8))
        torch.autograd.backward(states.float().sum())
    except RuntimeError:
        return False
    return True


def autocast(amp: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context of a forward pass under `off`, `bf16` or `fp16`."""
    dtype = AMP_DTYPES[amp]
    if dtype is None:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)

"""The arithmetic that a head's forward pass runs in."""

from contextlib import AbstractContextManager, nullcontext

import torch

AMP_DTYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Automatic mixed precision by name; fp16 goes with loss scaling."""


def autocast(amp: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context of a forward pass under `off`, `bf16` or `fp16`."""
    dtype = AMP_DTYPES[amp]
    if dtype is None:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)

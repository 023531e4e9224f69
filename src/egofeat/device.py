"""The device that a name stands for."""

import torch

from egofeat.errors import RequestError


def choose_device(name: str) -> torch.device:
    """Return a device that is at hand; `auto` is the GPU where there is one.

    Raises:
        RequestError: no such device, or it is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name if name.startswith(("cpu", "cuda")) else "none")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise RequestError(f"the device '{name}' is not at hand: use auto, cpu or cuda") from None
    return device

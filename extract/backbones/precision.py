"""The arithmetics that a network runs in, and what a device makes of them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from egofeat.device import device_name
from egofeat.errors import RequestError

DTYPES = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}
"""Precision to the type of weights and activations; tf32 rounds only what is multiplied."""
_TF32_CAPABILITY = 8
"""NVIDIA's compute capability (Ampere) from which a GPU has it."""


def check_precision(
    precision: str, device: torch.device | None, note: Callable[[str], None]
) -> None:
    """Refuse an arithmetic that the device does not have.

    Args:
        precision: one of `DTYPES`.
        device: where the network runs; None is not known.
        note: told, in one line, where the device has it and is slow at it.

    Raises:
        RequestError: in one sentence, with what can be used instead.
    """
    if precision not in DTYPES:
        *others, last = DTYPES
        raise RequestError(
            f"there is no precision '{precision}': choose {', '.join(others)} or {last}"
        )
    if device is None:
        return
    if precision == "tf32" and not _has_tf32(device):
        raise RequestError(
            f"`precision` tf32 needs an NVIDIA GPU, Ampere or newer, and the device is "
            f"{device_name(device)}: give another `device`, or extract with `precision` float32"
        )
    if device.type == "cpu" and (slower := _slower_on_cpu(precision)):
        note(
            f"this processor has no {precision} arithmetic: the network gives the same features, "
            f"some {slower} times slower than in float32"
        )


def _has_tf32(device: torch.device) -> bool:
    if device.type != "cuda" or torch.version.cuda is None:
        return False
    return torch.cuda.get_device_capability(device)[0] >= _TF32_CAPABILITY


def _slower_on_cpu(precision: str) -> str:
    """How many times slower than in float32 a network is here; empty where it is quicker.

    Without oneDNN torch convolves one pixel at a time. On a processor with AVX-512 oneDNN takes
    bf16 in any case, and computes it by float32 where there are no units for it.
    """
    if DTYPES[precision] is torch.float32:
        return ""
    asked = getattr(torch.ops.mkldnn, f"_is_mkldnn_{precision}_supported", None)
    if asked is not None and not asked():
        return "twenty"
    cpu: Any = torch.cpu  # older versions do not tell all of it
    has = {
        units: getattr(cpu, f"_is_{units}_supported", lambda: False)()
        for units in ("avx512", "avx512_bf16", "amx_tile")
    }
    by_float32 = has["avx512"] and not has["avx512_bf16"] and not has["amx_tile"]
    return "two to three" if by_float32 else ""


def keep_biases_apart(module: nn.Module) -> nn.Module:
    """Have 3-D convolutions add their biases afterwards, in place.

    In half precision cuDNN has no quick kernel for the two together, and has had wrong ones
    (pytorch issues 167420 and 163539).
    """
    for one in module.modules():
        if isinstance(one, nn.Conv3d) and one.bias is not None:
            one.register_buffer("apart", one.bias[:, None, None, None], persistent=False)
            one.bias = None
            one.register_forward_hook(lambda conv, _inputs, output: output.add_(conv.apart))
    return module

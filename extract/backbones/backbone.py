"""What every frozen backbone is: a spec that binds what must never be mixed, and a module."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from egofeat.errors import RequestError
from egofeat.extract.weights import Weights


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Everything fixed about a backbone before its weights are chosen."""

    name: str
    taps: tuple[str, ...]
    """Names of the outputs that can be kept, from the first layer to the last."""
    default_tap: str
    weights: tuple[Weights, ...]
    """Official weights, the default first."""
    size: int
    """Pixels of the square input that the weights were evaluated at."""
    squash_size: int
    """Pixels of the square that the `squash` transform makes by default."""


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A frozen network, ready on its device."""

    spec: Spec
    module: nn.Module
    """Maps `[B, 3, H, W]` to a dict of taps; parameters need no gradient."""
    weights: str
    """`sha256:<hex>` or `random:<seed>`, as it stands in a recipe."""
    official: Weights | None
    """The record of the official weights, or None for a user's file and random ones."""
    device: torch.device
    precision: str

    def __call__(self, batch_BCHW: Tensor) -> dict[str, Tensor]:
        """Run one normalised batch `[B, 3, H, W]`; returns float32 `{tap: [B, ...]}`.

        Sources: batch-norm folding and channels-last layout change only rounding
        (about 1e-6 relative at float32).
        """
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        batch = batch_BCHW.to(self.device, dtype, memory_format=torch.channels_last)
        # cuDNN would round float32 to TF32, 10 bits of mantissa; and pick algorithms by the clock.
        exact = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        with torch.inference_mode(), exact:
            outputs: dict[str, Tensor] = self.module(batch)
            return {tap: output.float() for tap, output in outputs.items()}

    def tap_shapes(self, size: int) -> dict[str, tuple[int, ...]]:
        """Shape of each tap for one square input of `size` pixels."""
        blank = torch.zeros(1, 3, size, size)
        return {tap: tuple(output.shape[1:]) for tap, output in self(blank).items()}


Builder = Callable[[Sequence[str], Mapping[str, Tensor] | None, int], nn.Module]
"""(taps, state dict or None, seed) to a folded module in eval mode."""


def check_taps(taps: Sequence[str], spec: Spec) -> tuple[str, ...]:
    """The taps, each once, in the network's order.

    Raises:
        RequestError: a tap that the backbone does not have.
    """
    for tap in taps:
        if tap not in spec.taps:
            raise RequestError(
                f"{spec.name} has no tap '{tap}': choose from {', '.join(spec.taps)}"
            )
    return tuple(tap for tap in spec.taps if tap in taps)

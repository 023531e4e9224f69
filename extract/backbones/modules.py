"""Backbones made of anybody's `nn.Module` as it stands: it runs whole, and nothing is folded."""

import hashlib
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from egofeat.errors import RequestError
from egofeat.extract.backbones.backbone import Builder
from egofeat.extract.backbones.building import freeze, load_strictly, seeded


class ChosenTaps(nn.Module):
    """Runs a module that returns every tap, and keeps those that are asked for."""

    def __init__(self, module: nn.Module, taps: Sequence[str]) -> None:
        super().__init__()
        self.module = freeze(module)
        self.taps = tuple(taps)

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """Run `[B, C, H, W]` or `[B, C, T, H, W]`.

        Raises:
            RequestError: the module does not return what its spec says.
        """
        outputs = self.module(batch)
        if not isinstance(outputs, Mapping) or not set(self.taps) <= set(outputs):
            gave = f"taps {', '.join(outputs)}" if isinstance(outputs, Mapping) else type(outputs)
            raise RequestError(
                f"{type(self.module).__name__} returns {gave}, and must return a dict with "
                f"{', '.join(self.taps)}: correct its forward or its spec"
            )
        for tap in self.taps:
            if not isinstance(outputs[tap], Tensor) or outputs[tap].shape[:1] != batch.shape[:1]:
                shape = [*getattr(outputs[tap], "shape", ())]
                raise RequestError(
                    f"{type(self.module).__name__} returns {shape} at tap {tap} for a batch of "
                    f"{len(batch)}, and must return a row for each: correct its forward"
                )
        return {tap: outputs[tap] for tap in self.taps}


def build_module(make: Callable[[], nn.Module]) -> Builder:
    """A builder out of what makes a module."""

    def build(taps: Sequence[str], state: Mapping[str, Tensor] | None, seed: int) -> nn.Module:
        module = seeded(make, seed)
        if state is not None:
            load_strictly(module, state, getattr(make, "__name__", "this backbone"))
        return ChosenTaps(module, taps)

    return build


def as_made(make: Callable[[], nn.Module], taps: Sequence[str]) -> tuple[nn.Module, str]:
    """The module with the weights that its constructor gives it, and their identity.

    What the constructor draws at random is drawn alike each time.

    Returns:
        The module that keeps the taps, and `own:<sha256 of its parameters and buffers>`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = make()
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {list(plain.shape)}\n".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy())
    return ChosenTaps(module, taps), f"own:{digest.hexdigest()}"

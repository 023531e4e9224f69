"""Weights of an image network for a video network that separates space and time.

Inflation repeats a 2-D kernel along time and divides it by its extent, so that a still clip
gives what the image gave (Carreira and Zisserman, 2017, section 2.4). Here the spatial
kernels have extent 1, so they are the 2-D kernels, and the temporal ones start as the
identity: the centre tap is 1.
"""

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from egofeat.extract.backbones.building import blank

_UNIT = re.compile(r"\.(conv|bn)\.(\w+)$")


def is_of_images(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has 2-D convolutions."""
    return any(tensor.ndim == 4 for tensor in state.values())


def inflate(image_state: Mapping[str, Tensor], make: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """The state of the video network that shows a still clip as the image network does.

    Args:
        image_state: 2-D convolutions, each with its batch norm, under the video network's
            names but for `spatial`: `X.conv.weight`, `X.bn.bias`.
        make: the video network, of which only keys and shapes are read.
    """
    wanted = blank(make).state_dict()
    state = {}
    for key, tensor in image_state.items():
        inflated = tensor.unsqueeze(2) if tensor.ndim == 4 else tensor
        state[_UNIT.sub(r".spatial.\1.\2", key)] = inflated
    for key, tensor in wanted.items():
        if ".temporal." in key:
            state[key] = _identity(key, tensor.shape)
    return state


def _identity(key: str, shape: torch.Size) -> Tensor:
    """An entry of a unit that passes on what it gets; what it gets is not negative."""
    if key.endswith("conv.weight"):
        return nn.init.dirac_(torch.zeros(shape))
    if key.endswith("bn.weight"):
        # Undoes the division by sqrt(variance + eps) with the variance at 1.
        return torch.full(shape, (1 + 1e-3) ** 0.5)
    return torch.ones(shape) if key.endswith("running_var") else torch.zeros(shape)

"""Weights of an image network for a video network of the same layers.

A 2-D kernel stands in the middle frame of the 3-D one, whose other frames are zero; a convolution
over time alone starts as the identity. So a still clip gives what the image gave, at its ends too,
where frames are padded with zeros. (Carreira and Zisserman, 2017, section 2.4, spread the kernel
over its frames instead, which is the same but for the ends of the clip.)
"""

import re
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from egofeat.extract.backbones.building import blank

_UNIT = re.compile(r"\.(conv|bn)\.(\w+)$")
_LAYERS = ("conv1", "conv2", "conv3", *(f"inception{of}" for of in ("3a", "3b", "4a", "4b")))
GOOGLENET_LAYERS = (*_LAYERS, *(f"inception{of}" for of in ("4c", "4d", "4e", "5a", "5b")))
"""Torchvision's names of the layers that have weights, in order."""
GOOGLENET_BRANCHES = ("branch1", "branch2.0", "branch2.1", "branch3.0", "branch3.1", "branch4.1")


def is_of_images(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has 2-D convolutions."""
    return any(tensor.ndim == 4 for tensor in state.values())


def from_googlenet(
    state: Mapping[str, Tensor],
    layers: Sequence[str],
    branches: Sequence[str],
    leaves: tuple[str, str],
    classifier: str,
) -> dict[str, Tensor]:
    """The tensors of torchvision's googlenet under the names of another Inception-v1.

    Args:
        state: of googlenet; what only training needs is left out.
        layers: its names of `GOOGLENET_LAYERS`; of the convolutions, with their unit.
        branches: its names of `GOOGLENET_BRANCHES`.
        leaves: its names of a unit's `conv` and `bn`.
        classifier: its name of `fc`.
    """
    prefixes = {"fc.": f"{classifier}."}
    for theirs, ours in zip(GOOGLENET_LAYERS, layers, strict=True):
        units = {"": ""}
        if theirs.startswith("inception"):
            pairs = zip(GOOGLENET_BRANCHES, branches, strict=True)
            units = {f".{unit}": f".{of}" for unit, of in pairs}
        for unit, of in units.items():
            for leaf, name in zip(("conv", "bn"), leaves, strict=True):
                prefixes[f"{theirs}{unit}.{leaf}."] = f"{ours}{of}.{name}."
    renamed = {}
    for key, tensor in state.items():
        prefix = key[: key.rfind(".") + 1]
        if not key.startswith(("aux1.", "aux2.")):
            renamed[prefixes.get(prefix, prefix) + key.removeprefix(prefix)] = tensor
    return renamed


def inflated(image: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of an image network in the shapes of a video network's, under its names.

    Where the video network takes more channels than the image network gives, as from a lateral
    connection, it starts deaf to them.

    Args:
        image: under the video network's names; other keys are kept, for strict loading to name.
        wanted: the video network's, of which only names and shapes are read.
    """
    return {
        key: _placed(tensor, wanted[key].shape) if key in wanted else tensor
        for key, tensor in image.items()
    }


def _placed(tensor: Tensor, shape: torch.Size) -> Tensor:
    if tensor.shape == shape or tensor.ndim < 2 or tensor.ndim > len(shape):
        return tensor
    if tensor.shape[1] > shape[1]:
        return tensor
    if tensor.ndim == 2:  # a classifier, of any number of classes
        placed = tensor.new_zeros(len(tensor), *shape[1:])
        placed.flatten(1)[:, : tensor.shape[1]] = tensor
        return placed
    if tensor.ndim != 4 or tensor.shape[2:] != shape[3:]:
        return tensor
    placed = tensor.new_zeros(len(tensor), *shape[1:])
    placed[:, : tensor.shape[1], shape[2] // 2] = tensor
    return placed


def inflated_apart(image: Mapping[str, Tensor], make: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """The state of a video network that separates space and time.

    Args:
        image: 2-D convolutions, each with its batch norm, under the video network's names but for
            `spatial`: `X.conv.weight`, `X.bn.bias`.
        make: the video network, of which only keys and shapes are read.
    """
    wanted = blank(make).state_dict()
    renamed = {_UNIT.sub(r".spatial.\1.\2", key): tensor for key, tensor in image.items()}
    state = {key: _over_time(tensor, wanted.get(key)) for key, tensor in renamed.items()}
    for key, tensor in wanted.items():
        if ".temporal." in key:
            state[key] = identity(key, tensor.shape, eps=1e-3)
    return state


def _over_time(tensor: Tensor, wanted: Tensor | None) -> Tensor:
    """A 2-D kernel in the middle of as many frames as the 3-D one spans."""
    if tensor.ndim != 4:
        return tensor
    around = 0 if wanted is None or wanted.ndim != 5 else wanted.shape[2] // 2
    return F.pad(tensor.unsqueeze(2), (0, 0, 0, 0, around, around))


def identity(key: str, shape: torch.Size, eps: float) -> Tensor:
    """An entry of a convolution over time, or its batch norm, that passes on what it gets.

    What it gets is not negative, as after a ReLU.

    Args:
        key: whose last word says what it is.
        shape: of 5 axes for the kernel, 1 for the norm.
        eps: of the norm.
    """
    if len(shape) == 5:
        return nn.init.dirac_(torch.zeros(shape))
    if re.search(r"(^|\.)weight$", key):
        # Undoes the division by sqrt(variance + eps) with the variance at 1.
        return torch.full(shape, (1 + eps) ** 0.5)
    return torch.ones(shape) if key.endswith("running_var") else torch.zeros(shape)

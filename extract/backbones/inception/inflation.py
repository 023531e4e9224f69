"""Weights of an image network for a video network that separates space and time.

The spatial kernels are the 2-D kernels, and the temporal ones start as the identity; see
`egofeat.extract.backbones.inflation`.
"""

import re
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from egofeat.extract.backbones.building import blank
from egofeat.extract.backbones.inflation import identity

_UNIT = re.compile(r"\.(conv|bn)\.(\w+)$")


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
            state[key] = identity(key, tensor.shape, eps=1e-3)
    return state

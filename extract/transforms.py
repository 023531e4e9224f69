"""Decoded frames to network input, in two steps.

`prepare` makes every frame the network's size while it is still uint8: it runs beside
the decoder, so frames wait and travel small. `normalise` makes the float batch on the
device. Names: `squash` fits the whole frame into a square (the MobileNetV2 + temporal
head recipe); `torchvision` resizes the short side and crops the centre, as the weights'
own preprocessing does.
"""

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.functional import resize as resize_in_float32
from torchvision.transforms.v2.functional import center_crop
from torchvision.transforms.v2.functional import resize as resize_in_uint8

from egofeat.errors import RequestError


@dataclass(frozen=True)
class Transform:
    """One way from a decoded frame to a network's input."""

    resize: str
    """`squash`: height and width become `size`, in uint8 arithmetic (several times as fast);
    `short-side`: the shorter does, in float32 and rounded, as torchvision's presets do."""
    size: int
    """Pixels after resizing."""
    crop: int
    """Pixels of the centre crop, the network's input."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """RGB, on values scaled to [0, 1]."""
    interpolation: str = "bilinear-antialias"

    def describe(self) -> dict[str, Any]:
        """The transform as it stands in a recipe."""
        fields = asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in fields.items()}

    @classmethod
    def from_description(cls, fields: Mapping[str, Any]) -> Self:
        """Rebuild a transform from what stands in a recipe."""
        return cls(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])})

    def prepare(self, frame_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize and crop one RGB frame `[H, W, 3]` to `[crop, crop, 3]`, uint8."""
        frame = torch.from_numpy(frame_HWC).permute(2, 0, 1)
        if self.resize == "squash":
            frame = resize_in_uint8(frame, [self.size, self.size], antialias=True)
        else:
            frame = resize_in_float32(frame, [self.size], antialias=True)
            frame = center_crop(frame, [self.crop, self.crop])
        prepared: NDArray[np.uint8] = frame.permute(1, 2, 0).numpy()
        return prepared

    def normalise(self, frames_NHWC: Tensor) -> Tensor:
        """Make uint8 `[N, crop, crop, 3]` a float32 batch `[N, 3, crop, crop]`, channels last."""
        offset, scale = _affine(self.mean, self.std, frames_NHWC.device)
        return torch.addcmul(offset, frames_NHWC.float(), scale).permute(0, 3, 1, 2)


@functools.cache
def _affine(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """(x / 255 - mean) / std as one sum and one product, [3] each, kept on the device."""
    divisor = torch.tensor(std)
    offset, scale = -torch.tensor(mean) / divisor, 1 / (255 * divisor)
    return offset.to(device), scale.to(device)


def named(
    name: str, *, size: int | None, squash_size: int, crop: int, short_side: int
) -> Transform:
    """The transform of a name, for a network with the given native sizes.

    Args:
        name: `squash` or `torchvision`.
        size: pixels of the network's input; None means the native one.
        squash_size: native input of `squash`.
        crop: native crop of `torchvision`.
        short_side: pixels that `torchvision` resizes the short side to before that crop;
            another `size` keeps the ratio.

    Raises:
        RequestError: there is no transform of that name, or the size cannot be.
    """
    if size is not None and not 32 <= size <= 2048:
        raise RequestError(f"--size {size} cannot be: give 32 to 2048 pixels")
    if name == "squash":
        size = size or squash_size
        return Transform(resize="squash", size=size, crop=size)
    if name == "torchvision":
        size = size or crop
        return Transform(resize="short-side", size=round(size * short_side / crop), crop=size)
    raise RequestError(f"there is no transform '{name}': choose squash or torchvision")

"""Decoded frames to network input, in two steps.

`prepare` makes every frame the network's size while it is still uint8: it runs beside
the decoder, so frames wait and travel small. `normalise` makes the float batch on the
device. Names: `squash` fits the whole frame into a square (the MobileNetV2 + temporal
head recipe); `weights` resizes and crops the centre as the weights' publisher does.

Between the two, colours may become motion (`egofeat.extract.flow`); and what the network makes of
its input may be kept in less: maps can be pooled.
"""

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resize as resize_in_float32
from torchvision.transforms.v2.functional import center_crop
from torchvision.transforms.v2.functional import resize as resize_in_uint8

from egofeat.errors import RequestError
from egofeat.extract.flow.motion import Motion
from egofeat.extract.pooling import pool_maps


@dataclass(frozen=True)
class Transform:
    """One way from a decoded frame to a network's input, and from its output to what is kept."""

    resize: str
    """`squash`: height and width become `size`, in uint8 arithmetic (several times as fast);
    `short-side`: the shorter does, `stretch`: height and width become `size`'s two, both in
    float32 and rounded, as the publishers' presets do; `whole`: as `short-side`, and nothing is cut
    off, so that the height and width of the input are those of the video."""
    size: int | tuple[int, int]
    """Pixels after resizing."""
    crop: int
    """Pixels of the square crop, the network's input; of `whole`, of its shorter side."""
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    """RGB, on values scaled to [0, 1]."""
    interpolation: str = "bilinear-antialias"
    crops: int = 1
    """1: the centre; 3: start, centre and end of the longer side."""
    channels: str = "RGB"
    """Order in which the network takes the colours; `UV`: it takes flow."""
    motion: Motion | None = None
    """What the network sees in place of colours."""
    pool_grid: int | None = None
    """Places a side that maps are pooled to; None keeps them as they are."""
    pool_time: bool = False
    """Whether maps of clips are averaged over their steps."""

    def describe(self) -> dict[str, Any]:
        """The transform as it stands in a recipe; motion and pooling only where there is some."""
        fields = asdict(self)
        optional = {
            "motion": self.motion and self.motion.describe(),
            "pool_grid": self.pool_grid,
            "pool_time": self.pool_time or None,
        }
        for name, value in optional.items():
            del fields[name]
            if value is not None:
                fields[name] = value
        return {name: list(v) if isinstance(v, tuple) else v for name, v in fields.items()}

    @classmethod
    def from_description(cls, fields: Mapping[str, Any]) -> Self:
        """Rebuild a transform from what stands in a recipe; what is done with boxes is left out."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in fields.items()
            if name != "roi"
        }
        if "motion" in values:
            values["motion"] = Motion.from_description(values["motion"])
        return cls(**values)

    @property
    def pixels(self) -> tuple[Any, ...]:
        """What decides the prepared frame: equal for transforms that can share it."""
        return (self.resize, self.size, self.crop, self.crops, self.interpolation)

    @property
    def beside(self) -> tuple[int, int]:
        """Frames before and after each view that its motion is measured against."""
        return self.motion.beside if self.motion else (0, 0)

    def prepare(self, frame_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize and crop one RGB frame `[H, W, 3]` to `[crops, crop, crop, 3]`, uint8.

        Of `whole`, to `[1, h, w, 3]`.
        """
        frame = torch.from_numpy(frame_HWC).permute(2, 0, 1)
        if self.resize == "squash":
            frame = resize_in_uint8(frame, [self.crop, self.crop], antialias=True)[None]
        else:
            sides = [self.size] if isinstance(self.size, int) else list(self.size)
            kind, _, antialias = self.interpolation.partition("-")
            frame = resize_in_float32(
                frame, sides, InterpolationMode(kind), antialias=bool(antialias)
            )
            frame = frame[None] if self.resize == "whole" else self._cropped(frame)
        prepared: NDArray[np.uint8] = frame.permute(0, 2, 3, 1).numpy()
        return prepared

    def normalise(self, frames: Tensor) -> Tensor:
        """Make `[N, …, S, S, C]` on the scale of 0 to 255 a float32 batch `[N, C, …, S, S]`.

        Its layout is channels last.
        """
        offset, scale = _affine(self.mean, self.std, frames.device)
        batch = torch.addcmul(offset, frames.float(), scale)
        if self.channels == "BGR":
            batch = batch.flip(-1)
        return batch.movedim(-1, 1)

    def kept(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What is kept of a network's taps, `[N, …]` each."""
        return {tap: pool_maps(one, self.pool_grid, self.pool_time) for tap, one in outputs.items()}

    def _cropped(self, frame_CHW: Tensor) -> Tensor:
        if self.crops == 1:
            centre: Tensor = center_crop(frame_CHW, [self.crop, self.crop])
            return centre[None]
        side = self.crop
        height, width = frame_CHW.shape[1:]
        middle = round((height - side) / 2), round((width - side) / 2)
        if height > width:
            corners = [(top, middle[1]) for top in (0, middle[0], height - side)]
        else:
            corners = [(middle[0], left) for left in (0, middle[1], width - side)]
        return torch.stack(
            [frame_CHW[:, top : top + side, left : left + side] for top, left in corners]
        )


@functools.cache
def _affine(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """(x / 255 - mean) / std as one sum and one product, [3] each, kept on the device."""
    divisor = torch.tensor(std)
    offset, scale = -torch.tensor(mean) / divisor, 1 / (255 * divisor)
    return offset.to(device), scale.to(device)


def squash(side: int, *, mean: tuple[float, ...], std: tuple[float, ...]) -> Transform:
    """The whole frame into a square of `side` pixels."""
    return Transform(resize="squash", size=side, crop=side, mean=mean, std=std)


def as_published(
    crop: int, resize: int | tuple[int, int], size: int | None, **others: Any
) -> Transform:
    """Resize and crop as the weights' publisher does.

    Args:
        crop: pixels of the published crop.
        resize: short side, or (height, width), that it is taken from.
        size: pixels of another crop; the resize keeps its ratio to it.
        others: further fields of the transform.
    """
    scale = (size or crop) / crop
    if isinstance(resize, int):
        return Transform("short-side", round(resize * scale), size or crop, **others)
    height, width = (round(side * scale) for side in resize)
    return Transform("stretch", (height, width), size or crop, **others)


def whole(resize: int | tuple[int, int], size: int | None, **others: Any) -> Transform:
    """All of the frame, as large as the weights' publisher makes it before the crop.

    Args:
        resize: short side, or (height, width), that the publisher crops from.
        size: pixels of another short side.
        others: further fields of the transform.
    """
    side = size or (resize if isinstance(resize, int) else min(resize))
    return Transform("whole", side, side, **others)


def check_size(size: int) -> None:
    """Refuse a side of the network's input that cannot be.

    Raises:
        RequestError: naming the range.
    """
    if not 32 <= size <= 2048:
        raise RequestError(f"--size {size} cannot be: give 32 to 2048 pixels")

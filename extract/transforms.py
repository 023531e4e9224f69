"""Decoded frames to network input, in two steps, as a `Transform` says.

`prepare` makes every frame the network's size while it is still uint8: it runs beside
the decoder, where the frame is, so frames wait and travel small. `normalise` makes the
float batch on the device. Between the two, colours may become motion (`egofeat.extract.flow`).
"""

import functools

import torch
from torch import Tensor

from egofeat.errors import RequestError
from egofeat.extract.resizing import resize_in_float32, resize_in_uint8, resized_size
from egofeat.recipe.transform import Transform


def prepare(transform: Transform, frame_HWC: Tensor) -> Tensor:
    """Resize and crop one RGB frame `[H, W, 3]` to `[crops, crop, crop, 3]`, uint8, on its device.

    Of `whole`, to `[1, h, w, 3]`.
    """
    frame = frame_HWC.permute(2, 0, 1)
    crop, size = transform.crop, transform.size
    if transform.resize == "squash":
        return resize_in_uint8(frame, [crop, crop], antialias=True).permute(1, 2, 0)[None]
    kind, _, antialias = transform.interpolation.partition("-")
    resize = resize_in_uint8 if transform.arithmetic == "uint8" else resize_in_float32
    resize = functools.partial(resize, frame, kind=kind, antialias=bool(antialias))
    height, width = resized_size(frame, [size] if isinstance(size, int) else size)
    if transform.resize == "whole":
        return resize((height, width)).permute(1, 2, 0)[None]
    corners = transform.corners(width, height)
    right, bottom = (max(firsts) + crop for firsts in zip(*corners, strict=True))
    # Pixel by pixel, as batches have them: other strides cost as much as the resizing.
    pixels = resize((height, width), until=(bottom, right)).permute(1, 2, 0)
    return torch.stack([pixels[y : y + crop, x : x + crop] for x, y in corners])


def normalise(transform: Transform, frames: Tensor) -> Tensor:
    """Make `[N, …, S, S, C]` on the scale of 0 to 255 a float32 batch `[N, C, …, S, S]`.

    Its layout is channels last.
    """
    *_, width, channels = frames.shape
    offset, scale = _affine(transform.mean, transform.std, width, channels, frames.device)
    rows = frames.to(torch.float32, memory_format=torch.contiguous_format, copy=True).flatten(-2)
    batch = torch.addcmul(offset, rows, scale, out=rows).view(frames.shape)
    if transform.channels == "BGR":
        batch = batch.flip(-1)
    return batch.movedim(-1, 1)


@functools.cache
def _affine(
    mean: tuple[float, ...],
    std: tuple[float, ...],
    width: int,
    channels: int,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """(x / 255 - mean) / std as one sum and one product, `[width·C]` each, kept on the device.

    Of a row of pixels: three numbers for each pixel are three times as slow as many at once.
    """
    divisor = torch.tensor(std)
    offset, scale = (
        of_channels.expand(channels).repeat(width).to(device)
        for of_channels in (-torch.tensor(mean) / divisor, 1 / (255 * divisor))
    )
    return offset, scale


def check_size(size: int) -> None:
    """Refuse a side of the network's input that cannot be.

    Raises:
        RequestError: naming the range.
    """
    if not 32 <= size <= 2048:
        raise RequestError(f"`size` is {size}: give 32 to 2048 pixels")

"""`egofeat visualize activation-maximisation`: images that a channel responds to most.

They are made by gradient ascent on the image (Erhan et al., 2009).

An image that is only pushed uphill ends as high-frequency noise. What holds it back, each
from the literature (Olah et al., 2017, give the survey): the image is made from its Fourier
coefficients, each weighed by 1/frequency as in natural images, on axes along which natural
colours vary independently (Ruderman et al., 1998); it is moved, turned and scaled a little
at random before every step, so that only what survives this can grow; and total variation
and distance from grey cost something.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from egofeat import console
from egofeat.errors import RequestError
from egofeat.extract.backbones import Backbone, spec_of
from egofeat.extract.backbones.backbone import check_taps
from egofeat.pipelines.figures.mosaics import Pixels, draw_mosaic
from egofeat.pipelines.visualize.options import MaximisationConfig
from egofeat.pipelines.visualize.pictures import Pictures, file_of, load_network

SIZE = 128
"""Pixels of a side: several receptive fields of the middle blocks."""
_CHANNELS = 12
"""Channels of a block whose images are made where none are named."""
_COLUMNS = 6
"""Images on a line."""
_AT_ONCE = 16
"""Images in a batch: 0.5 GB of activations."""
_RATE = 0.05
_CONTRAST = 2.0
_SMOOTHNESS = 1.0
"""Weight of total variation against activation."""
_GREYNESS = 1.0
"""Weight of the squared distance from grey."""
_SHIFT, _TURN, _SCALE = 12, 12.0, 0.15
"""Most that an image is moved by: pixels, degrees, parts of its size."""


def activation_maximisation(asked: MaximisationConfig) -> Pictures:
    """Draw images that channels of chosen blocks answer to most: a PNG a block and an overview.

    Raises:
        RequestError: no such backbone, block or channel, or a backbone without blocks.
        WeightsError: see `load`.
    """
    backbone, spec = asked.backbone, spec_of(asked.backbone)
    if spec.clip or "block0" not in spec.taps:
        raise RequestError(f"{backbone} has no blocks to maximise: choose mobilenetv2")
    taps = check_taps([f"block{number}" for number in asked.blocks], spec)
    networks = {tap: load_network(asked, [tap], asked.device) for tap in taps}
    chosen = {tap: _channels(network, tap, asked.channels) for tap, network in networks.items()}
    total = asked.steps * sum(map(len, chosen.values()))
    with console.progress("maximising", total, "steps") as progress:
        made = {
            tap: maximise(
                network, tap, chosen[tap], steps=asked.steps, seed=asked.seed, on_step=progress
            )
            for tap, network in networks.items()
        }
    kind, drawn = "activation-maximisation", []
    for tap, images in made.items():
        title = f"{backbone} {tap}: images that a channel responds to most"
        rows = [""] * math.ceil(len(images) / _COLUMNS)
        drawn.append(_draw(images, chosen[tap], file_of(asked, kind, tap), title, rows))
    width = min(_COLUMNS, *map(len, made.values()))
    first = [channel for of_tap in chosen.values() for channel in of_tap[:width]]
    images = np.concatenate([images[:width] for images in made.values()])
    title = f"{backbone}: images that a channel of each block responds to most"
    drawn.append(_draw(images, first, file_of(asked, kind), title, list(made)))
    return Pictures.of(drawn)


def _draw(
    images: Pixels, channels: Sequence[int], out: Path, title: str, rows: Sequence[str]
) -> Path:
    captions, note = list(map(str, channels)), "the number is the channel's"
    return draw_mosaic(images, out, title=title, rows=rows, captions=captions, note=note, gap=4)


def _channels(network: Backbone, tap: str, wanted: Sequence[int]) -> list[int]:
    count = network.tap_shapes(64)[tap][0]
    for channel in wanted:
        if channel >= count:
            raise RequestError(
                f"`channels` {channel}: {tap} of {network.spec.name} has channels 0 to {count - 1}"
            )
    spread = [(2 * place + 1) * count // (2 * _CHANNELS) for place in range(_CHANNELS)]
    return list(dict.fromkeys(wanted or spread))


def maximise(
    network: Backbone,
    tap: str,
    channels: Sequence[int],
    *,
    size: int = SIZE,
    steps: int,
    seed: int = 0,
    on_step: Callable[[int], None] = lambda _: None,
) -> NDArray[np.float32]:
    """An image for each channel, such that the channel's mean over the map is high.

    Every channel starts from the same noise and is moved alike: its image does not depend
    on which others are made beside it.

    Args:
        network: of single images, float32.
        tap: a map of it.
        channels: of the tap.
        size: pixels of a side.
        steps: of gradient ascent.
        seed: of the noise and of the moves.
        on_step: told how many channel steps are done.

    Returns:
        `[channels, size, size, 3]` in [0, 1].
    """
    device, module, spec = network.device, network.module, network.spec
    offset, scale = (
        torch.tensor(values, device=device).view(3, 1, 1) for values in (spec.mean, spec.std)
    )
    images = []
    for first in range(0, len(channels), _AT_ONCE):
        some = list(channels[first : first + _AT_ONCE])
        draw = torch.Generator().manual_seed(seed)
        noise = 0.05 * torch.randn(1, 3, size, size // 2 + 1, 2, generator=draw)
        coefficients = noise.to(device).repeat(len(some), 1, 1, 1, 1).requires_grad_()
        optimizer = torch.optim.Adam([coefficients], lr=_RATE)
        for _ in range(steps):
            image = _image(coefficients)
            moved = _moved((image - offset) / scale, draw)
            answer = module(moved)[tap][torch.arange(len(some)), some].mean((1, 2))
            grey = (image - 0.5).square().mean((1, 2, 3))
            loss = _SMOOTHNESS * _roughness(image) + _GREYNESS * grey
            optimizer.zero_grad()
            (loss - answer).sum().backward()
            optimizer.step()
            on_step(len(some))
        images.append(_image(coefficients).detach().permute(0, 2, 3, 1).cpu())
    return torch.cat(images).numpy()


def _image(coefficients: Tensor) -> Tensor:
    """Fourier coefficients `[n, 3, H, W // 2 + 1, 2]` to images `[n, 3, H, W]` in (0, 1)."""
    size = coefficients.shape[2]
    down = torch.fft.fftfreq(size, device=coefficients.device)[:, None]
    across = torch.fft.rfftfreq(size, device=coefficients.device)
    weight = 1 / torch.hypot(down, across).clamp_min(1 / size)
    weight = weight / weight.square().mean().sqrt()
    planes = torch.fft.irfft2(
        torch.view_as_complex(coefficients) * weight, s=(size, size), norm="ortho"
    )
    axes = _colour_axes().to(coefficients.device)
    return torch.sigmoid(_CONTRAST * torch.einsum("nkhw,kc->nchw", planes, axes))


def _colour_axes() -> Tensor:
    """Light to dark, red to blue, green to purple `[3, RGB]`, the colours weaker than the light."""
    axes = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]])
    strengths = torch.tensor([[1.0], [0.35], [0.2]])
    directions: Tensor = F.normalize(axes, dim=1)
    return directions * strengths


def _moved(images: Tensor, draw: torch.Generator) -> Tensor:
    """Shift, turn and scale all images `[n, 3, H, W]` alike, mirrored beyond their edges."""
    size = images.shape[-1]
    turn, scale, x, y = (2 * torch.rand(4, generator=draw) - 1).tolist()
    angle, zoom = math.radians(_TURN * turn), 1 + _SCALE * scale
    cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
    shift = 2 * _SHIFT / size
    affine = torch.tensor([[cos, -sin, x * shift], [sin, cos, y * shift]], device=images.device)
    places = F.affine_grid(
        affine.expand(len(images), 2, 3), list(images.shape), align_corners=False
    )
    moved = F.grid_sample(images, places, padding_mode="reflection", align_corners=False)
    return moved.contiguous(memory_format=torch.channels_last)


def _roughness(images: Tensor) -> Tensor:
    """Total variation of each image (Rudin et al., 1992), a pixel's mean."""
    down, across = images.diff(dim=2).abs(), images.diff(dim=3).abs()
    return down.mean((1, 2, 3)) + across.mean((1, 2, 3))

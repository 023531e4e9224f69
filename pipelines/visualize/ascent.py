"""Gradient ascent on an image or a clip (Erhan et al., 2009).

What is only pushed uphill ends as high-frequency noise. What holds it back, each
from the literature (Olah et al., 2017, give the survey): the image is made from its Fourier
coefficients, each weighed by 1/frequency as in natural images, on axes along which natural
colours vary independently (Ruderman et al., 1998); it is moved, turned and scaled a little
at random before every step, so that only what survives this can grow; and total variation
and distance from grey cost something. A clip is one image in three dimensions, moved as a whole;
its variation over time has a weight of its own (Feichtenhofer et al., 2020, "Deep insights
into convolutional networks for video recognition"): a heavy one shows what slow motion a
channel responds to, none at all what fast.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from egofeat.extract.backbones import Backbone
from egofeat.extract.backbones.inside import FoundError, caught

_AT_ONCE, _CLIPS_AT_ONCE = 16, 4
"""In a batch: 0.5 GB of activations."""
_RATE = 0.05
_CONTRAST = 2.0
_SMOOTHNESS = 1.0
"""Weight of total variation against activation."""
_GREYNESS = 1.0
"""Weight of the squared distance from grey."""
_SHIFT, _TURN, _SCALE = 12, 12.0, 0.15
"""Most that an image is moved by: pixels of 128, degrees, parts of its size."""


def maximise(
    network: Backbone,
    tap: str,
    channels: Sequence[int],
    *,
    size: int,
    steps: int,
    frames: int = 1,
    slowness: float = 1.0,
    seed: int = 0,
    on_step: Callable[[int], None] = lambda _: None,
) -> NDArray[np.float32]:
    """An image, or a clip, for each channel, such that the channel's mean over the map is high.

    Every channel starts from the same noise and is moved alike: its image does not depend
    on which others are made beside it.

    Args:
        network: float32.
        tap: maps of it, or a layer by its published name.
        channels: of the tap.
        size: pixels of a side.
        steps: of gradient ascent.
        frames: of a clip.
        slowness: weight of variation over time against that over space.
        seed: of the noise and of the moves.
        on_step: told how many channel steps are done.

    Returns:
        `[channels, frames, size, size, 3]` in [0, 1]; images are one frame.
    """
    device, spec = network.device, network.spec
    offset, scale = (
        torch.tensor(values, device=device).view(3, 1, 1, 1) for values in (spec.mean, spec.std)
    )
    bgr = network.published is not None and network.published.channels == "BGR"
    made = []
    most = _CLIPS_AT_ONCE if spec.clip else _AT_ONCE
    for first in range(0, len(channels), most):
        some = list(channels[first : first + most])
        draw = torch.Generator().manual_seed(seed)
        noise = 0.05 * torch.randn(1, 3, frames, size, size // 2 + 1, 2, generator=draw)
        coefficients = noise.to(device).repeat(len(some), *[1] * 5).requires_grad_()
        optimizer = torch.optim.Adam([coefficients], lr=_RATE)
        for _ in range(steps):
            clip = _clip(coefficients)
            given = _moved(((clip.flip(1) if bgr else clip) - offset) / scale, draw)
            given = given if spec.clip else given[:, :, 0]
            maps = _answer(network, tap, given)[torch.arange(len(some)), some]
            grey = (clip - 0.5).square().mean((1, 2, 3, 4))
            loss = _SMOOTHNESS * _roughness(clip, slowness) + _GREYNESS * grey
            optimizer.zero_grad()
            torch.autograd.backward((loss - maps.flatten(1).mean(1)).sum())
            optimizer.step()
            on_step(len(some))
        made.append(_clip(coefficients).detach().permute(0, 2, 3, 4, 1).cpu())
    return torch.cat(made).numpy()


def _answer(network: Backbone, tap: str, batch: Tensor) -> Tensor:
    """Maps `[n, C, ...]` of a tap or a layer, with what their gradient needs."""
    if tap in network.spec.taps:
        maps: Tensor = network.module(batch)[tap]
        return maps
    with caught(network, [tap]) as found, suppress(FoundError):
        network.module(batch)
    return found[tap]


def _clip(coefficients: Tensor) -> Tensor:
    """Fourier coefficients `[n, 3, T, H, W // 2 + 1, 2]` to clips `[n, 3, T, H, W]` in (0, 1)."""
    frames, size = coefficients.shape[2:4]
    over, down = (torch.fft.fftfreq(sides, device=coefficients.device) for sides in (frames, size))
    across = torch.fft.rfftfreq(size, device=coefficients.device)
    lengths = (over[:, None, None] ** 2 + down[:, None] ** 2 + across**2).sqrt()
    falls = 1.0 if frames == 1 else 1.5  # so that coarse and fine share alike in both
    weight = lengths.clamp_min(1 / size) ** -falls
    weight = weight / weight.square().mean().sqrt()
    planes = torch.fft.irfftn(
        torch.view_as_complex(coefficients) * weight, s=(frames, size, size), norm="ortho"
    )
    axes = _colour_axes().to(coefficients.device)
    return torch.sigmoid(_CONTRAST * torch.einsum("nkthw,kc->ncthw", planes, axes))


def _colour_axes() -> Tensor:
    """Light to dark, red to blue, green to purple `[3, RGB]`, the colours weaker than the light."""
    axes = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]])
    strengths = torch.tensor([[1.0], [0.35], [0.2]])
    directions: Tensor = F.normalize(axes, dim=1)
    return directions * strengths


def _moved(clips: Tensor, draw: torch.Generator) -> Tensor:
    """Shift, turn and scale all clips `[n, 3, T, H, W]` alike, mirrored beyond their edges."""
    count, colours, frames, size, _ = clips.shape
    turn, scale, x, y = (2 * torch.rand(4, generator=draw) - 1).tolist()
    angle, zoom = math.radians(_TURN * turn), 1 + _SCALE * scale
    cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
    shift = 2 * _SHIFT / 128
    affine = torch.tensor([[cos, -sin, x * shift], [sin, cos, y * shift]], device=clips.device)
    images = clips.transpose(1, 2).reshape(count * frames, colours, size, size)
    places = F.affine_grid(
        affine.expand(len(images), 2, 3), list(images.shape), align_corners=False
    )
    moved = F.grid_sample(images, places, padding_mode="reflection", align_corners=False)
    return moved.view(count, frames, colours, size, size).transpose(1, 2).contiguous()


def _roughness(clips: Tensor, slowness: float) -> Tensor:
    """Total variation of each clip (Rudin et al., 1992), a pixel's mean."""
    over, down, across = (clips.diff(dim=axis).abs() for axis in (2, 3, 4))
    still = clips.shape[2] == 1
    return (
        down.mean((1, 2, 3, 4))
        + across.mean((1, 2, 3, 4))
        + (0.0 if still else slowness * over.mean((1, 2, 3, 4)))
    )

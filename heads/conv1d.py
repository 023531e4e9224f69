"""Temporal convolutions over the frame vectors of a segment."""

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from egofeat.errors import RequestError
from egofeat.heads.head import VectorHead, pool_space
from egofeat.heads.options import Count, Rate
from egofeat.heads.step_layers import StepConv, StepLayers, StepNorm

SEED_FRAMES = 20
Blocks = Annotated[int, Field(ge=0)]
"""How many blocks of convolutions, also none."""


class ResidualBlock(nn.Module):
    """Two dilated convolutions that keep the length, added to what came in."""

    def __init__(self, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.layers = StepLayers(
            StepConv(width, width, kernel, padding="same", dilation=dilation, bias=False),
            StepNorm(width),
            nn.LeakyReLU(0.01),
            StepConv(width, width, kernel, padding="same", dilation=dilation, bias=False),
            StepNorm(width),
        )
        self.activate = nn.LeakyReLU(0.01)

    def forward(self, sequence: Tensor) -> Tensor:
        """`[B,T,width]` to the same shape."""
        activated: Tensor = self.activate(sequence + self.layers(sequence))
        return activated


class Conv1dHead(VectorHead):
    """Residual tower of dilated temporal convolutions; mean and maximum over time.

    Works at any number of frames. Dilations 1, 2, 4, … make the reach of three blocks
    29 frames, so each step sees the whole of a 20-frame segment.
    """

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: Mapping[str, int],
        *,
        width: Count = 128,
        blocks: Blocks = 3,
        kernel: Count = 3,
        dropout: Rate = 0.5,
    ) -> None:
        super().__init__(2 * width, classes, dropout)
        self.tower = StepLayers(
            StepConv(feature_shape[1], width, 1, bias=False),
            StepNorm(width),
            nn.LeakyReLU(0.01),
            *(ResidualBlock(width, kernel, 2**block) for block in range(blocks)),
        )

    def embed(self, features: Tensor) -> Tensor:
        """`[B,T,C]` or `[B,T,C,H,W]` to `[B,2·width]`."""
        sequence = self.tower(pool_space(features))
        return torch.cat([sequence.mean(dim=1), sequence.amax(dim=1)], dim=1)


class SeedConv1dHead(VectorHead):
    """ConvNet1D as the seed built it: no padding, 20 steps to 4 to 1, then flattened.

    The last convolution spans all steps that the blocks leave: 4 of four blocks, and the whole
    segment of none, which is the seed's one wide level. `tanh` bounds what it gives.

    Raises:
        RequestError: the segments are not of 20 frames, or the blocks leave none of them.
    """

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: Mapping[str, int],
        *,
        filters: Count = 10,
        width: Count = 100,
        blocks: Blocks = 4,
        kernel: Count = 3,
        tanh: bool = False,
        dropout: Rate = 0.5,
    ) -> None:
        left = SEED_FRAMES - 2 * blocks * (kernel - 1)
        _check_steps(feature_shape[0], left, blocks, kernel)
        super().__init__(width, classes, dropout)
        layers: list[nn.Module] = []
        incoming = feature_shape[1]
        for _ in range(blocks):
            layers += [
                StepConv(incoming, filters, kernel),
                StepNorm(filters),
                StepConv(filters, filters, kernel),
                StepNorm(filters),
                nn.LeakyReLU(0.01),
            ]
            incoming = filters
        layers += [StepConv(incoming, width, left), *([nn.Tanh()] if tanh else [])]
        layers += [StepNorm(width), nn.LeakyReLU(0.01)]
        self.tower = StepLayers(*layers)

    def embed(self, features: Tensor) -> Tensor:
        """`[B,20,C]` or `[B,20,C,H,W]` to `[B,width]`."""
        sequence: Tensor = self.tower(pool_space(features))
        return sequence.flatten(1)


def _check_steps(frames: int, left: int, blocks: int, kernel: int) -> None:
    if frames != SEED_FRAMES:
        raise RequestError(
            f"preset 'seed' of head 'conv1d' needs {SEED_FRAMES} frames a segment and this "
            f"store has {frames}: extract with `frames` {SEED_FRAMES} (`clips` "
            f"{SEED_FRAMES} of a network that sees clips), or leave the preset out"
        )
    if left < 1:
        raise RequestError(
            f"{blocks} blocks of two convolutions of kernel {kernel} leave none of "
            f"{SEED_FRAMES} frames: give fewer blocks or a smaller kernel"
        )

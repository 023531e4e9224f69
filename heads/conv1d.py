"""Temporal convolutions over the frame vectors of a segment."""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from egofeat.errors import RequestError
from egofeat.heads.head import Head, pool_space
from egofeat.heads.options import Count, Odd, Rate

SEED_FRAMES = 20


class ResidualBlock(nn.Module):
    """Two dilated convolutions that keep the length, added to what came in."""

    def __init__(self, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(width, width, kernel, padding="same", dilation=dilation, bias=False),
            nn.BatchNorm1d(width),
            nn.LeakyReLU(0.01),
            nn.Conv1d(width, width, kernel, padding="same", dilation=dilation, bias=False),
            nn.BatchNorm1d(width),
        )
        self.activate = nn.LeakyReLU(0.01)

    def forward(self, sequence: Tensor) -> Tensor:
        """`[B,width,T]` to the same shape."""
        activated: Tensor = self.activate(sequence + self.layers(sequence))
        return activated


class Conv1dHead(Head):
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
        blocks: Count = 3,
        kernel: Odd = 3,
        dropout: Rate = 0.5,
    ) -> None:
        super().__init__(2 * width, classes, dropout)
        self.tower = nn.Sequential(
            nn.Conv1d(feature_shape[1], width, 1, bias=False),
            nn.BatchNorm1d(width),
            nn.LeakyReLU(0.01),
            *(ResidualBlock(width, kernel, 2**block) for block in range(blocks)),
        )

    def embed(self, features: Tensor) -> Tensor:
        """`[B,T,C]` or `[B,T,C,H,W]` to `[B,2·width]`."""
        sequence = self.tower(pool_space(features).transpose(1, 2))
        return torch.cat([sequence.mean(dim=2), sequence.amax(dim=2)], dim=1)


class SeedConv1dHead(Head):
    """ConvNet1D as the seed built it: no padding, 20 steps to 4 to 1, then flattened.

    Raises:
        RequestError: the segments are not of 20 frames.
    """

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: Mapping[str, int],
        *,
        filters: Count = 10,
        width: Count = 100,
        dropout: Rate = 0.5,
    ) -> None:
        if feature_shape[0] != SEED_FRAMES:
            raise RequestError(
                f"preset 'seed' of head 'conv1d' needs {SEED_FRAMES} frames a segment and this "
                f"store has {feature_shape[0]}: extract with `frames` {SEED_FRAMES} (`clips` "
                f"{SEED_FRAMES} of a network that sees clips), or leave the preset out"
            )
        super().__init__(width, classes, dropout)
        layers: list[nn.Module] = []
        for incoming, outgoing in pairwise([feature_shape[1], filters, filters, filters, filters]):
            layers += [
                nn.Conv1d(incoming, outgoing, 3),
                nn.BatchNorm1d(outgoing),
                nn.Conv1d(outgoing, outgoing, 3),
                nn.BatchNorm1d(outgoing),
                nn.LeakyReLU(0.01),
            ]
        layers += [nn.Conv1d(filters, width, 4), nn.BatchNorm1d(width), nn.LeakyReLU(0.01)]
        self.tower = nn.Sequential(*layers)

    def embed(self, features: Tensor) -> Tensor:
        """`[B,20,C]` or `[B,20,C,H,W]` to `[B,width]`."""
        sequence: Tensor = self.tower(pool_space(features).transpose(1, 2))
        return sequence.flatten(1)

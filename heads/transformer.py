"""A small transformer encoder over the steps of a segment."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from egofeat.errors import RequestError
from egofeat.heads.dropout import Dropout
from egofeat.heads.head import VectorHead, pool_space
from egofeat.heads.options import Count, Rate


class TransformerHead(VectorHead):
    """Steps narrowed to `width`, learned positions, encoder layers, mean over time.

    Positions begin as waves: order is learnt from a few hundred segments then, and not from noise.

    Layers normalise before attention and before the feed-forward part, which trains without a
    warm-up (Xiong et al., 2020). Maps are averaged over space first.

    Raises:
        RequestError: the width is no multiple of the number of heads.
    """

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: Mapping[str, int],
        *,
        layers: Count = 2,
        width: Count = 128,
        heads_count: Count = 4,
        dropout: Rate = 0.3,
    ) -> None:
        if width % heads_count:
            raise RequestError(
                f"option width of head 'transformer' must be a multiple of heads_count "
                f"{heads_count}, not {width}"
            )
        super().__init__(width, classes, dropout)
        self.narrow = nn.Linear(feature_shape[1], width)
        self.positions = nn.Parameter(waves(feature_shape[0], width))
        layer = nn.TransformerEncoderLayer(
            width, heads_count, 4 * width, dropout, "gelu", batch_first=True, norm_first=True
        )
        layer.dropout, layer.dropout1, layer.dropout2 = (Dropout(dropout) for _ in range(3))
        self.encoder = nn.TransformerEncoder(
            layer, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False
        )

    def embed(self, features: Tensor) -> Tensor:
        """Reduce `[B,T,C]` or `[B,T,C,H,W]` to `[B,width]`."""
        steps = self.narrow(pool_space(features)) + self.positions
        encoded: Tensor = self.encoder(steps)
        return encoded.mean(dim=1)


def waves(steps: int, width: int) -> Tensor:
    """Sines and cosines of the step, slower from channel to channel, `[steps,width]`.

    Vaswani et al. (2017), section 3.5, with 1,000 in place of 10,000.
    """
    half = -(-width // 2)
    rates = torch.exp(-math.log(1000) * torch.arange(half) / half)
    angles = torch.arange(steps)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]

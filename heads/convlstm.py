"""ConvLSTM over the feature maps of a segment."""

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from egofeat.errors import RequestError
from egofeat.heads.head import Head
from egofeat.heads.options import Count, Rate


class SameConv2d(nn.Conv2d):
    """A convolution that gives a place for every `stride` of the map, begun or whole.

    The map is padded as Keras documents `padding="same"`: with what the last window lacks, half of
    it on each side, and of an odd number the greater half below and to the right.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """`[B,C,H,W]` to `[B,out,⌈H/stride⌉,⌈W/stride⌉]`."""
        high, wide = (
            max((-(-side // stride) - 1) * stride + kernel - side, 0)
            for side, stride, kernel in zip(
                maps.shape[-2:], self.stride, self.kernel_size, strict=True
            )
        )
        if high % 2 or wide % 2:
            maps = F.pad(maps, (wide // 2, -(-wide // 2), high // 2, -(-high // 2)))
            high = wide = 0
        pads = (high // 2, wide // 2)
        return F.conv2d(maps, self.weight, self.bias, self.stride, pads)


class ConvLSTM(nn.Module):
    """LSTM whose products are convolutions (Shi et al., 2015), without peepholes.

    One bias a gate, on the input side. The input's convolution does not depend on the
    state, so all steps go through it in one call. It alone has the stride: the state's keeps
    the size of the state.
    """

    def __init__(self, channels: int, filters: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.of_input = SameConv2d(channels, 4 * filters, kernel, stride)
        self.of_state = SameConv2d(filters, 4 * filters, kernel, bias=False)
        assert self.of_input.bias is not None
        with torch.no_grad():
            self.of_input.bias.zero_()[filters : 2 * filters] = 1.0

    def forward(self, maps: Tensor) -> Tensor:
        """`[B,T,C,H,W]` to the last hidden map `[B,filters,⌈H/stride⌉,⌈W/stride⌉]`."""
        drive = self.of_input(maps.flatten(0, 1)).unflatten(0, maps.shape[:2])
        gates = drive[:, 0]  # the state before the first step is zero
        cell = torch.zeros_like(gates.chunk(4, dim=1)[0])
        hidden = cell
        for step in range(maps.shape[1]):
            if step:
                gates = drive[:, step] + self.of_state(hidden)
            enter, forget, candidate, leave = gates.chunk(4, dim=1)
            cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
            hidden = leave.sigmoid() * cell.tanh()
        return hidden


class ConvLSTMHead(Head):
    """ConvLSTM on maps, last hidden map, global pool, classifiers.

    `width` > 0 puts the seed's linear layer between pool and classifiers; `norm` a batch
    norm after a pool by the mean, and before one by the maximum, as the seed's text has it.

    Raises:
        RequestError: the features are vectors.
    """

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: Mapping[str, int],
        *,
        filters: Count = 64,
        kernel: Count = 3,
        stride: Count = 1,
        pool: Literal["mean", "max"] = "mean",
        width: Annotated[int, Field(ge=0)] = 0,
        norm: bool = True,
        dropout: Rate = 0.5,
    ) -> None:
        if len(feature_shape) != 4:
            raise RequestError(
                "head 'convlstm' needs feature maps and this store holds vectors: "
                "extract with `tap` map or `tap` block12, or choose lstm, conv1d or linear"
            )
        super().__init__(width or filters, classes, dropout)
        self.convlstm = ConvLSTM(feature_shape[1], filters, kernel, stride)
        of_pool = nn.BatchNorm1d if pool == "mean" else nn.BatchNorm2d
        self.norm = of_pool(filters) if norm else nn.Identity()
        self.pool = pool
        self.widen = nn.Linear(filters, width) if width else nn.Identity()

    def embed(self, features: Tensor) -> Tensor:
        """Reduce maps `[B,T,C,H,W]` to `[B,width]`."""
        last: Tensor = self.convlstm(features)
        if self.pool == "max":
            pooled = self.norm(last).amax(dim=(2, 3))
        else:
            pooled = self.norm(last.mean(dim=(2, 3)))
        embedding: Tensor = self.widen(pooled)
        return embedding

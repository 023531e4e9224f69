"""ConvLSTM over the feature maps of a segment."""

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from egofeat.errors import RequestError
from egofeat.heads.head import Head
from egofeat.heads.options import Count, Odd, Rate


class ConvLSTM(nn.Module):
    """LSTM whose products are convolutions (Shi et al., 2015), without peepholes.

    One bias a gate, on the input side. The input's convolution does not depend on the
    state, so all steps go through it in one call.
    """

    def __init__(self, channels: int, filters: int, kernel: int) -> None:
        super().__init__()
        self.of_input = nn.Conv2d(channels, 4 * filters, kernel, padding="same")
        self.of_state = nn.Conv2d(filters, 4 * filters, kernel, padding="same", bias=False)
        assert self.of_input.bias is not None
        with torch.no_grad():
            self.of_input.bias.zero_()[filters : 2 * filters] = 1.0

    def forward(self, maps: Tensor) -> Tensor:
        """`[B,T,C,H,W]` to the last hidden map `[B,filters,H,W]`."""
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
    """ConvLSTM on maps, last hidden map, global average pool, classifiers.

    `width` > 0 puts the seed's linear layer between pool and classifiers; `norm` a batch
    norm after the pool.

    Raises:
        RequestError: the features are vectors.
    """

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: Mapping[str, int],
        *,
        filters: Count = 64,
        kernel: Odd = 3,
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
        self.convlstm = ConvLSTM(feature_shape[1], filters, kernel)
        self.norm = nn.BatchNorm1d(filters) if norm else nn.Identity()
        self.widen = nn.Linear(filters, width) if width else nn.Identity()

    def embed(self, features: Tensor) -> Tensor:
        """Reduce maps `[B,T,C,H,W]` to `[B,width]`."""
        last = self.convlstm(features)
        embedding: Tensor = self.widen(self.norm(last.mean(dim=(2, 3))))
        return embedding

"""Soft attention over time: each step is weighed by what it holds."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from egofeat.heads.head import VectorHead, pool_space
from egofeat.heads.options import Count, Rate


class AttentionPoolHead(VectorHead):
    """Weighted mean of the steps; weights are a softmax over time of wᵀ tanh(V x).

    Attention-based pooling of Ilse, Tomczak and Welling (2018), equation 8. Blind to order. The
    scores begin at zero, so that a fresh head averages.
    """

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: Mapping[str, int],
        *,
        width: Count = 128,
        dropout: Rate = 0.5,
    ) -> None:
        super().__init__(feature_shape[1], classes, dropout)
        self.hidden = nn.Linear(feature_shape[1], width)
        self.score = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def embed(self, features: Tensor) -> Tensor:
        """Reduce `[B,T,C]` or `[B,T,C,H,W]` to `[B,C]`."""
        steps = pool_space(features)
        scores: Tensor = self.score(torch.tanh(self.hidden(steps)))
        weights = scores.squeeze(2).float().softmax(dim=1)
        return torch.bmm(weights.to(steps.dtype).unsqueeze(1), steps).squeeze(1)

    def embed_stacked(self, features: Tensor) -> Tensor:
        """The same of K heads, `[K,B,C]`: one product for all hidden layers, one for all means."""
        steps = pool_space(features)
        hidden = F.linear(steps, self.hidden.weight.flatten(0, 1), self.hidden.bias.flatten())
        score = self.score.weight.squeeze(1)
        scores = (torch.tanh(hidden).view(*steps.shape[:2], *score.shape) * score).sum(dim=3)
        weights = scores.float().softmax(dim=1)
        pooled = torch.bmm(weights.to(steps.dtype).transpose(1, 2), steps)
        return pooled.transpose(0, 1)

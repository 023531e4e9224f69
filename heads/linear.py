"""Logistic regression on the time average: the bar that every other head must clear."""

from collections.abc import Mapping

from torch import Tensor

from egofeat.heads.head import VectorHead, pool_space
from egofeat.heads.options import Rate


class LinearHead(VectorHead):
    """Mean over time (and over space, on maps), then one linear classifier a target.

    Blind to order by construction: a head that is no better has not used time.
    """

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: Mapping[str, int],
        *,
        dropout: Rate = 0.0,
    ) -> None:
        super().__init__(feature_shape[1], classes, dropout)

    def condense(self, prepared: Tensor) -> Tensor:
        """`[B,T,C]` or `[B,T,C,H,W]` to a single step, `[B,1,C]`."""
        return self.embed(prepared).unsqueeze(1)

    def embed(self, features: Tensor) -> Tensor:
        """Average `[B,T,C]` or `[B,T,C,H,W]` to `[B,C]`."""
        return pool_space(features).mean(dim=1)

    def embed_stacked(self, features: Tensor) -> Tensor:
        """The same of all heads, `[B,C]`: weights have no part in it."""
        return self.embed(features)

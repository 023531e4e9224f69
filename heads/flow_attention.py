"""The MobileNetV2 report's next step: frames weighted by the motion on both their sides."""

from collections.abc import Mapping

from torch import Tensor

from egofeat.errors import RequestError
from egofeat.heads.conv1d import Conv1dHead, SeedConv1dHead
from egofeat.heads.head import Head
from egofeat.heads.options import Count, Odd, Rate

LEAST = 0.5
"""What a place without motion weighs; the place with most weighs 1."""


def flow_weights(grid: Tensor) -> Tensor:
    """Weigh each place of each step by its motion, `[B,T,h,w]` in [0.5, 1].

    Motion is scaled to [0, 1] over the segment, so that a still moment of it stays low, then
    clipped from below. Units and offset of the grid cancel. The report does not
    say how it scales.

    Args:
        grid: `[B,T,h,w]`, mean magnitude of the flow before and after each frame.
    """
    low, high = grid.amin(dim=(1, 2, 3), keepdim=True), grid.amax(dim=(1, 2, 3), keepdim=True)
    return ((grid - low) / (high - low).clamp(min=1e-6)).clamp(min=LEAST)


def weighted_by_flow(features: Tensor) -> Tensor:
    """Split the last channel off `[B,T,C+1,H,W]` and weigh the others by it."""
    return features[:, :, :-1] * flow_weights(features[:, :, -1]).unsqueeze(2)


class _Flow(Head):
    """What both constructions share: their maps are weighted before they are embedded."""

    reads = "maps+flow"

    def prepare(self, features: Tensor) -> Tensor:
        """`[B,T,C+1,H,W]` to weighted maps `[B,T,C,H,W]`."""
        return weighted_by_flow(super().prepare(features))

    def attention(self, features: Tensor) -> Tensor:
        """What places weigh, `[B,T,H,W]`; each step sums to 1 over space."""
        grid = (features.flatten(1, 2) if features.ndim == 6 else features)[:, :, -1]
        weights = flow_weights(grid)
        return weights / weights.sum(dim=(2, 3), keepdim=True)


class FlowAttentionHead(_Flow, Conv1dHead):
    """Maps weighted by flow, whose magnitude is the last channel; then the tower of `conv1d`.

    Raises:
        RequestError: the features are not maps with a channel for the flow.
    """

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: Mapping[str, int],
        *,
        width: Count = 64,
        blocks: Count = 3,
        kernel: Odd = 3,
        dropout: Rate = 0.5,
    ) -> None:
        shape = _without_flow(feature_shape)
        super().__init__(shape, classes, width=width, blocks=blocks, kernel=kernel, dropout=dropout)


class SeedFlowAttentionHead(_Flow, SeedConv1dHead):
    """The same before ConvNet1D as the seed built it, with 64 filters.

    Raises:
        RequestError: the features are not maps with a channel for the flow, or not of 20 frames.
    """

    def __init__(
        self,
        feature_shape: tuple[int, ...],
        classes: Mapping[str, int],
        *,
        filters: Count = 64,
        width: Count = 100,
        dropout: Rate = 0.5,
    ) -> None:
        shape = _without_flow(feature_shape)
        super().__init__(shape, classes, filters=filters, width=width, dropout=dropout)


def _without_flow(feature_shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(feature_shape) != 4 or feature_shape[1] < 2:
        raise RequestError(
            "head 'flow_attention' needs feature maps and the grid of flow: extract "
            "both, with `backbone` flow_grid for the grid, and name the maps with `store` first, "
            "then the grid with another `store`"
        )
    steps, channels, *size = feature_shape
    return (steps, channels - 1, *size)

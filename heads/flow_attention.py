"""The MobileNetV2 report's next step: frames weighted by the motion on both their sides."""

from collections.abc import Callable, Mapping
from typing import Literal

from torch import Tensor

from egofeat.errors import RequestError
from egofeat.heads.conv1d import Blocks, Conv1dHead, SeedConv1dHead
from egofeat.heads.head import Head
from egofeat.heads.options import Count, Rate
from egofeat.recipe.motion import LARGEST

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


def curved_weights(grid: Tensor) -> Tensor:
    """Weigh each place of each step as the code beside the report does, `[B,T,h,w]` in [0.5, 1].

    It bends motion x on each side, 1 being the largest that flow images can show, to
    (exp(-0.006/(x² + 1e-5)) + x^0.3)/2, adds the two sides and clips the sum. That code has the
    largest x of a cell and each side its own; a grid has the mean of both.

    Args:
        grid: `[B,T,h,w]`, mean magnitude of the flow before and after each frame, in pixels.
    """
    motion = (grid / LARGEST).clamp(0, 1)
    bent = ((-0.006 / (motion.square() + 1e-5)).exp() + motion.pow(0.3)) / 2
    return (2 * bent).clamp(LEAST, 1)


WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {
    "scaled": flow_weights,
    "curved": curved_weights,
}
"""Name to what makes weights of a grid."""


class _Flow(Head):
    """What both constructions share: their maps are weighted before they are embedded."""

    reads = "maps+flow"
    weights: str
    """A key of `WEIGHTS`."""

    def prepare(self, features: Tensor) -> Tensor:
        """`[B,T,C+1,H,W]` to weighted maps `[B,T,C,H,W]`."""
        prepared = super().prepare(features)
        # Scaling does not see that a grid was standardised; pixels are pixels no more.
        grid = self._grid(prepared if self.weights == "scaled" else features)
        return prepared[:, :, :-1] * WEIGHTS[self.weights](grid).unsqueeze(2)

    def attention(self, features: Tensor) -> Tensor:
        """What places weigh, `[B,T,H,W]`; each step sums to 1 over space."""
        weights = WEIGHTS[self.weights](self._grid(features))
        return weights / weights.sum(dim=(2, 3), keepdim=True)

    def _grid(self, features: Tensor) -> Tensor:
        """The last channel, `[B,T,H,W]`."""
        return (features.flatten(1, 2) if features.ndim == 6 else features)[:, :, -1]


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
        blocks: Blocks = 3,
        kernel: Count = 3,
        weights: Literal["scaled", "curved"] = "scaled",
        dropout: Rate = 0.5,
    ) -> None:
        shape = _without_flow(feature_shape)
        super().__init__(shape, classes, width=width, blocks=blocks, kernel=kernel, dropout=dropout)
        self.weights = weights


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
        blocks: Blocks = 4,
        kernel: Count = 3,
        tanh: bool = False,
        weights: Literal["scaled", "curved"] = "scaled",
        dropout: Rate = 0.5,
    ) -> None:
        super().__init__(
            _without_flow(feature_shape),
            classes,
            filters=filters,
            width=width,
            blocks=blocks,
            kernel=kernel,
            tanh=tanh,
            dropout=dropout,
        )
        self.weights = weights


def _without_flow(feature_shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(feature_shape) != 4 or feature_shape[1] < 2:
        raise RequestError(
            "head 'flow_attention' needs feature maps and the grid of flow: extract "
            "both, with `backbone` flow_grid for the grid, and name the maps with `store` first, "
            "then the grid with another `store`"
        )
    steps, channels, *size = feature_shape
    return (steps, channels - 1, *size)

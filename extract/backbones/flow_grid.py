"""How much moves where, frame by frame: the flow's magnitude on a grid of 32 × 32.

The first step towards flow as attention: a frame is weighted by the flow on both its sides.
There are no weights; what `flow_attention` makes of the magnitude (clipping, upsampling) is the
head's own.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from egofeat.extract.backbones.backbone import Family, Spec
from egofeat.recipe.motion import BOUND

GRID = 32

FLOW_GRID = Spec(
    name="flow_grid",
    taps=("grid",),
    parameters=0,
    size=256,
    transform="squash",
    mean=(0.5,) * 4,
    std=(0.5,) * 4,
    motion="farneback",
)


class FlowGrid(nn.Module):
    """Mean magnitude of the flow before and after a frame, in pixels of the network's input."""

    def forward(self, flows_BCHW: Tensor) -> dict[str, Tensor]:
        """(u, v) from the frame before, then to the next, ±1 for ±20 pixels: `[B, 4, H, W]`.

        Returns:
            `{"grid": [B, 1, 32, 32]}`.
        """
        before, after = (torch.linalg.vector_norm(side, dim=1) for side in flows_BCHW.chunk(2, 1))
        magnitude_BHW = (before + after) * (BOUND / 2)
        return {"grid": F.adaptive_avg_pool2d(magnitude_BHW.unsqueeze(1), GRID)}


def _build(taps: Sequence[str], state: Mapping[str, Tensor] | None, seed: int) -> nn.Module:
    return FlowGrid()


FAMILY: Family = {FLOW_GRID.name: (FLOW_GRID, _build)}

"""Networks cut at a tap: the blocks above it, to be trained on maps that are kept.

Every network that is one chain of stages can be cut (see `ChainBuilder`). A network of two
pathways has two maps at each depth, and one that a graph tells has no stages.
"""

from typing import Protocol

from torch import Tensor, nn

from egofeat.errors import RequestError
from egofeat.extract.backbones.backbone import Spec
from egofeat.extract.backbones.building import allocate, blank
from egofeat.extract.backbones.registry import find_backbone
from egofeat.extract.backbones.stages import Chain
from egofeat.extract.weights import ChosenWeights


class Cuttable(Protocol):
    """A builder that gives the network whole, too."""

    def whole(
        self, state: dict[str, Tensor] | None, seed: int = 0, *, logits: bool = False
    ) -> Chain:
        """See `ChainBuilder.whole`."""
        ...


class Above(nn.Module):
    """The stages of a chain above a tap and its pool, unfolded: `[N, C, ...]` to `[N, C']`.

    They are those of the chain, not copies.

    Raises:
        RequestError: there is nothing above the tap, or it is no stage.
    """

    def __init__(self, chain: Chain, tap: str, name: str) -> None:
        super().__init__()
        below = list(chain.stages)[:-1]
        if tap not in below:
            raise RequestError(
                f"{name} has no blocks above '{tap}' that can be trained: extract one of its taps "
                f"{', '.join(below)}"
            )
        places = list(chain.stages)[below.index(tap) + 1 :]
        self.stages = nn.ModuleDict({place: chain.stages[place] for place in places})
        self.pool = chain.pool
        self.width = chain.network.get_parameter(f"{chain.classifier}.weight").shape[1]
        """C', what the classifier takes."""

    def forward(self, maps: Tensor) -> Tensor:
        """Run the stages, then the pool."""
        for stage in self.stages.values():
            maps = stage(maps)
        return self.pool(maps)


def above(name: str, tap: str) -> tuple[Above, Spec]:
    """Fresh blocks above a tap of a backbone, drawn at random, and the backbone's spec.

    Raises:
        RequestError: there is no such backbone, or it cannot be cut there.
    """
    spec, builder = _cuttable(name)
    blocks = allocate(blank(lambda: Above(builder.whole(None), tap, name)))
    for layer in blocks.modules():
        if callable(reset := getattr(layer, "reset_parameters", None)):
            reset()
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
    return blocks, spec


def whole(name: str, weights: ChosenWeights) -> Chain:
    """A backbone with its weights, whole and unfolded.

    Raises:
        RequestError: there is no such backbone, or it is no chain.
        WeightsError: the weights are not its own.
    """
    _, builder = _cuttable(name)
    return weights.build(builder.whole)


def _cuttable(name: str) -> tuple[Spec, Cuttable]:
    spec, builder = find_backbone(name)
    if not hasattr(builder, "whole"):
        raise RequestError(
            f"{name} cannot be cut at a tap: choose a backbone that is one chain of stages, such "
            "as i3d, s3d_v3, slow_8x8_r50 or r2plus1d_18"
        )
    return spec, builder

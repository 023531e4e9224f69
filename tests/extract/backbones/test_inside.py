"""A run for the shapes of layers ends at the last of them."""

import torch
from torch import nn

from egofeat.extract.backbones.backbone import Backbone, Clip, Spec
from egofeat.extract.backbones.building import freeze
from egofeat.extract.backbones.inside import outputs_of, shapes_of


class Counted(nn.Module):
    """Runs as `hooked` networks do: what a size makes go wrong is told in a sentence."""

    def __init__(self) -> None:
        super().__init__()
        self.eye, self.deep = nn.Conv3d(3, 2, 1), nn.Conv3d(2, 2, 1)
        self.runs, self.faults = 0, 0

    def forward(self, clips):
        self.runs += 1
        try:
            return {"map": self.deep(self.eye(clips))}
        except Exception:
            self.faults += 1
            raise


def test_layers_are_found_by_one_run_that_is_no_fault():
    backbone = Backbone(
        spec=Spec(taps=("map",), size=8, clip=Clip(frames=4, stride=1, fewest=1)),
        module=freeze(Counted()),
        weights="none",
        published=None,
        device=torch.device("cpu"),
        precision="float32",
    )
    assert shapes_of(backbone, ["eye"], 8, 4) == {"eye": (4, 2, 8, 8)}
    assert backbone.module.runs == 1
    assert outputs_of(backbone, ["eye"], torch.ones(1, 3, 4, 8, 8))["eye"].shape == (1, 4, 2, 8, 8)
    assert (backbone.module.runs, backbone.module.faults) == (2, 0)

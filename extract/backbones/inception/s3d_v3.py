"""S3D-v3: Inception-v3 with separable convolutions over space and time.

Gupta, Dharmaraj and Hayes, "Reproducing Action Recognition Experiments with Modern
Classification Networks", Table 1 and Figures 5 to 7; the blocks are those of Szegedy et al.
(2016, arXiv:1512.00567) as torchvision has them, and so are the names.

- Convolutions and pools before the blocks are padded, the two reductions (Mixed_6a, Mixed_7a)
  are not, along time either: 64×224×224 becomes 8×28×28, 3×13×13, 1×6×6, as in Table 1.
- A k×k convolution becomes 1×k×k, k×1×1; each pair of 1×7 and 7×1 becomes three, 1×1×7, 1×7×1
  and 7×1×1. Where 1×3 and 3×1 stand side by side, each is followed by its own 3×1×1.
- Layers are counted from 1, pools too: Conv2d_1a_3x3 is the first, Mixed_5c the ninth and
  Mixed_7c the 18th. "Top-heavy" has temporal convolutions only after layer 9; the strides
  along time stay, so that the shapes do.
- The auxiliary classifier pushes gradients into the lower layers while training and touches no
  output: a frozen backbone has none, and that of image weights is left out.

Nobody published weights. A 2-D state dict of torchvision's inception_v3 is inflated: a clip of
one repeated image then has that network's features, with the padding said above. Its published
weights take values in [-1, 1], as here.
"""

import functools
import re
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from egofeat.extract.backbones.backbone import Family
from egofeat.extract.backbones.building import KINETICS_CLASSES
from egofeat.extract.backbones.inception.separable import (
    FOLD,
    AveragePool,
    Branches,
    Conv,
    Layers,
    SeparableConv,
    make_separable,
    spec_of,
)
from egofeat.extract.backbones.inflation import inflated_apart, is_of_images
from egofeat.extract.backbones.stages import ChainBuilder, in_a_row


def _type_1(conv: Conv, inputs: int, pooled: int) -> Branches:
    """Figure 5: a 5×5, and two 3×3."""
    return Branches(
        {
            "branch1x1": conv(inputs, 64),
            "branch5x5": nn.Sequential(conv(inputs, 48), conv(48, 64, (5, 5))),
            "branch3x3dbl": nn.Sequential(
                conv(inputs, 64), conv(64, 96, (3, 3)), conv(96, 96, (3, 3))
            ),
            "branch_pool": nn.Sequential(AveragePool(), conv(inputs, pooled)),
        }
    )


def _first_reduction(conv: Conv, inputs: int) -> Branches:
    """Half the size, by convolution and by pooling."""
    halving = functools.partial(conv, kernel=(3, 3), stride=2, padded=False)
    return Branches(
        {
            "branch3x3": halving(inputs, 384),
            "branch3x3dbl": nn.Sequential(conv(inputs, 64), conv(64, 96, (3, 3)), halving(96, 96)),
            "branch_pool": nn.MaxPool3d(3, 2),
        }
    )


def _type_2(conv: Conv, inputs: int, width: int) -> Branches:
    """Figure 6: 1×7 and 7×1, once and twice; time follows each pair."""
    flat = functools.partial(conv, extent=1)
    return Branches(
        {
            "branch1x1": conv(inputs, 192),
            "branch7x7": nn.Sequential(
                conv(inputs, width), flat(width, width, (1, 7)), conv(width, 192, (7, 1))
            ),
            "branch7x7dbl": nn.Sequential(
                conv(inputs, width),
                flat(width, width, (7, 1)),
                conv(width, width, (1, 7)),
                flat(width, width, (7, 1)),
                conv(width, 192, (1, 7)),
            ),
            "branch_pool": nn.Sequential(AveragePool(), conv(inputs, 192)),
        }
    )


def _second_reduction(conv: Conv, inputs: int) -> Branches:
    """Half the size, by 3×3, by 7×7 in three steps and then 3×3, and by pooling."""
    halving = functools.partial(conv, kernel=(3, 3), stride=2, padded=False)
    return Branches(
        {
            "branch3x3": nn.Sequential(conv(inputs, 192), halving(192, 320)),
            "branch7x7x3": nn.Sequential(
                conv(inputs, 192),
                conv(192, 192, (1, 7), extent=1),
                conv(192, 192, (7, 1)),
                halving(192, 192),
            ),
            "branch_pool": nn.MaxPool3d(3, 2),
        }
    )


def _type_3(conv: Conv, inputs: int) -> Branches:
    """Figure 7: 1×3 and 3×1 side by side, after a 1×1 and after a 3×3."""

    def sides() -> Branches:
        return Branches({"a": conv(384, 384, (1, 3)), "b": conv(384, 384, (3, 1))})

    return Branches(
        {
            "branch1x1": conv(inputs, 320),
            "branch3x3": nn.Sequential(conv(inputs, 384), sides()),
            "branch3x3dbl": nn.Sequential(conv(inputs, 448), conv(448, 384, (3, 3)), sides()),
            "branch_pool": nn.Sequential(AveragePool(), conv(inputs, 192)),
        }
    )


_LAYERS: Layers = {
    "Conv2d_1a_3x3": lambda conv: conv(3, 32, (3, 3), stride=2),
    "Conv2d_2a_3x3": lambda conv: conv(32, 32, (3, 3)),
    "Conv2d_2b_3x3": lambda conv: conv(32, 64, (3, 3)),
    "maxpool1": lambda _: nn.MaxPool3d(3, 2, padding=1),
    "Conv2d_3b_1x1": lambda conv: conv(64, 80),
    "Conv2d_4a_3x3": lambda conv: conv(80, 192, (3, 3)),
    "maxpool2": lambda _: nn.MaxPool3d(3, 2, padding=1),
    "Mixed_5b": lambda conv: _type_1(conv, 192, 32),
    "Mixed_5c": lambda conv: _type_1(conv, 256, 64),
    "Mixed_5d": lambda conv: _type_1(conv, 288, 64),
    "Mixed_6a": lambda conv: _first_reduction(conv, 288),
    "Mixed_6b": lambda conv: _type_2(conv, 768, 128),
    "Mixed_6c": lambda conv: _type_2(conv, 768, 160),
    "Mixed_6d": lambda conv: _type_2(conv, 768, 160),
    "Mixed_6e": lambda conv: _type_2(conv, 768, 192),
    "Mixed_7a": lambda conv: _second_reduction(conv, 768),
    "Mixed_7b": lambda conv: _type_3(conv, 1280),
    "Mixed_7c": lambda conv: _type_3(conv, 2048),
}
_FEWEST_FRAMES = _FEWEST_PIXELS = 49
"""From here on, something is left after the reductions, which pad nothing."""

TOP_HEAVY = 9
"""Layers of the top-heavy network without temporal convolutions."""


LAYERS = tuple(_LAYERS)


def make_s3d_v3(
    num_classes: int = KINETICS_CLASSES, flat_layers: int = 0, temporal: Conv = SeparableConv
) -> nn.Sequential:
    """A fresh network, trainable: `[B, 3, T, H, W]` to `[B, classes]`.

    Args:
        num_classes: of the classifier.
        flat_layers: so many layers from the first have no temporal convolution; `TOP_HEAVY`
            gives the top-heavy network.
        temporal: the convolution of the others.
    """
    return make_separable(_LAYERS, flat_layers, 2048, num_classes, temporal)


_NOTE = (
    "The report says almost half the parameters of s3d_v3; by its table they are 0.9 % fewer, "
    "31.09 M of 31.37 M."
)
# With 400 classes, as Kinetics has; 5 classes, as the report trained, take 809,355 fewer.
_IMAGES = "inception_v3"
S3D_V3 = spec_of("s3d_v3", LAYERS, 31_370_992, _FEWEST_FRAMES, "", _IMAGES)
S3D_V3_TOP_HEAVY = spec_of("s3d_v3_top_heavy", LAYERS, 31_088_752, _FEWEST_FRAMES, _NOTE, _IMAGES)


def _ours(key: str) -> str:
    """Torchvision's name of an entry in our layout: `branch3x3_2a` is `branch3x3.1.a`."""
    key = re.sub(
        r"(branch\w+?)_(\d)([ab]?)\.",
        lambda match: f"{match[1]}.{int(match[2]) - 1}.{match[3] and match[3] + '.'}",
        key,
    )
    return key.replace("branch_pool.", "branch_pool.1.")


def _adapt(make: Callable[..., nn.Module], state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The state of the video network out of its own, or out of inception_v3's."""
    if not is_of_images(state):
        return state
    trunk = {
        _ours(key): tensor for key, tensor in state.items() if not key.startswith("AuxLogits.")
    }
    return inflated_apart(trunk, make)


def build_flat(name: str, flat_layers: int, temporal: Conv = SeparableConv) -> ChainBuilder:
    """The builder of a network; see `make_s3d_v3`."""
    make = functools.partial(make_s3d_v3, flat_layers=flat_layers, temporal=temporal)
    return ChainBuilder(
        name=name,
        make=make,
        tell=functools.partial(in_a_row, S3D_V3.taps),
        classifier="fc",
        pairs=FOLD,
        fewest_pixels=_FEWEST_PIXELS,
        adapt=functools.partial(_adapt, make),
    )


FAMILY: Family = {
    spec.name: (spec, build_flat(spec.name, flat_layers))
    for spec, flat_layers in ((S3D_V3, 0), (S3D_V3_TOP_HEAVY, TOP_HEAVY))
}

"""S3D-v1, top-heavy: Inception-v1 whose lower half has 2-D convolutions only.

Xie et al. (2018, arXiv:1712.04851, section 4) found the top-heavy arrangement and took the
kernels apart into space and time; Gupta, Dharmaraj and Hayes trained it with the first nine
layers flat. Layers are counted from 1, pools too: Conv2d_1a_7x7 is the first, Mixed_4b the
ninth, Mixed_5c the 16th. The strides along time are I3D's. Max pools look along time where
I3D's do, flat layer or not: a still clip stays still.

Nobody published weights. A 2-D state dict of torchvision's googlenet is inflated, and padding
and pooling are that network's, so that a clip of one repeated image has its features. Its
published weights take values in [-1, 1], as here. The auxiliary classifiers work in training
alone; those of image weights are left out.
"""

import functools
import re
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from egofeat.extract.backbones.backbone import Family
from egofeat.extract.backbones.building import KINETICS_CLASSES
from egofeat.extract.backbones.inception.inception_v1 import BLOCKS, POOLS, Widths, in_order
from egofeat.extract.backbones.inception.separable import (
    FOLD,
    Branches,
    Conv,
    Layers,
    make_separable,
    spec_of,
)
from egofeat.extract.backbones.inflation import inflated_apart, is_of_images
from egofeat.extract.backbones.stages import ChainBuilder, in_a_row


def _block(widths: Widths, conv: Conv) -> Branches:
    """The four branches of Inception-v1."""
    return Branches(
        {
            "branch1": conv(widths.inputs, widths.one),
            "branch2": nn.Sequential(
                conv(widths.inputs, widths.three_reduced),
                conv(widths.three_reduced, widths.three, (3, 3)),
            ),
            "branch3": nn.Sequential(
                conv(widths.inputs, widths.five_reduced),
                conv(widths.five_reduced, widths.five, (3, 3)),
            ),
            "branch4": nn.Sequential(
                nn.MaxPool3d(3, 1, padding=1), conv(widths.inputs, widths.pooled)
            ),
        }
    )


def _pool(name: str, _: Conv) -> nn.MaxPool3d:
    """Unpadded, and the last window may reach over the end, as googlenet's do."""
    return nn.MaxPool3d(*POOLS[name], ceil_mode=True)


_BY_KIND: Layers = {
    "Conv2d_1a_7x7": lambda conv: conv(3, 64, (7, 7), stride=2),
    "Conv2d_2b_1x1": lambda conv: conv(64, 64),
    "Conv2d_2c_3x3": lambda conv: conv(64, 192, (3, 3)),
    **{f"MaxPool_{name}": functools.partial(_pool, name) for name in POOLS},
    **{name: functools.partial(_block, widths) for name, widths in BLOCKS.items()},
}
_LAYERS: Layers = {name: _BY_KIND[name] for name in in_order(_BY_KIND)}
LAYERS = tuple(_LAYERS)
TOP_HEAVY = 9
"""Layers of the top-heavy network without temporal convolutions."""

_GOOGLENET_BLOCKS = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
_FROM_GOOGLENET = dict(
    zip(
        ("conv1", "conv2", "conv3", *(f"inception{block}" for block in _GOOGLENET_BLOCKS)),
        (name for name in _LAYERS if not name.startswith("MaxPool")),
        strict=True,
    )
)
"""Torchvision's names of the layers that have weights."""

_NOTE = "Of s3d's 8.32 M parameters 0.47 M are not here: what is below Mixed_4b is 2-D."
# From 3 frames on, every pool has a window.
S3D_V1_TOP_HEAVY = spec_of("s3d_v1_top_heavy", LAYERS, 7_851_696, 3, _NOTE, "googlenet")


def make_s3d_v1(num_classes: int = KINETICS_CLASSES, flat_layers: int = TOP_HEAVY) -> nn.Sequential:
    """A fresh network, trainable: `[B, 3, T, H, W]` to `[B, classes]`.

    Args:
        num_classes: of the classifier.
        flat_layers: so many layers from the first have no temporal convolution.
    """
    return make_separable(_LAYERS, flat_layers, BLOCKS["Mixed_5c"].outputs, num_classes)


def _adapt(make: Callable[..., nn.Module], state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The state of the video network out of its own, or out of googlenet's."""
    if not is_of_images(state):
        return state
    trunk = {
        re.sub(r"^\w+", lambda layer: _FROM_GOOGLENET.get(layer[0], layer[0]), key): tensor
        for key, tensor in state.items()
        if not key.startswith(("aux1.", "aux2."))
    }
    return inflated_apart(trunk, make)


def build_flat(name: str, flat_layers: int) -> ChainBuilder:
    """The builder of a network; see `make_s3d_v1`."""
    make = functools.partial(make_s3d_v1, flat_layers=flat_layers)
    return ChainBuilder(
        name=name,
        make=make,
        tell=functools.partial(in_a_row, S3D_V1_TOP_HEAVY.taps),
        classifier="fc",
        pairs=FOLD,
        adapt=functools.partial(_adapt, make),
    )


FAMILY: Family = {
    S3D_V1_TOP_HEAVY.name: (S3D_V1_TOP_HEAVY, build_flat(S3D_V1_TOP_HEAVY.name, TOP_HEAVY))
}

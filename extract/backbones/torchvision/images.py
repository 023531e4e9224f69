"""Torchvision's image classifiers: two with named stages, and every other by its graph.

ResNet-50 (He et al., 2015, arXiv:1512.03385) and Inception-v3 (Szegedy et al., 2015,
arXiv:1512.00567) are backbones of their own; `family_of` makes one of any other classifier
of torchvision, under `tv:NAME`, whose taps are the nodes and modules of its graph.
"""

import difflib
import functools
from collections.abc import Mapping, Sequence

import torchvision
from torch import Tensor, nn
from torchvision.models import inception_v3, list_models, resnet50
from torchvision.models.resnet import Bottleneck

from egofeat.errors import RequestError
from egofeat.extract.backbones.backbone import Builder, Family, Spec
from egofeat.extract.backbones.stages import ChainBuilder, Told, average
from egofeat.extract.backbones.torchvision.graph import TracedModel
from egofeat.extract.backbones.torchvision.weights import arguments_of, fewest_pixels, spec_of

_RESNET = {
    "stem": ("conv1", "bn1", "relu", "maxpool"),
    **{f"stage{number}": (f"layer{number}",) for number in range(1, 5)},
}
_RESNET_PAIRS = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))
_MIXED = ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")
_INCEPTION = {
    "stem": ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1"),
    "middle": ("Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
    **{f"mixed_{block}": (f"Mixed_{block}",) for block in _MIXED},
}
_ENDS = ("map", "gap", "logits")


def family_of(name: str) -> tuple[Spec, Builder]:
    """Spec and builder of any image classifier of torchvision, `tv:NAME` of ours.

    Taps are the nodes of its graph as torchvision names them, the modules that hold them
    (their last node), and `map`, `gap` and `logits` where the network has them; each is laid
    out as torchvision does it: tokens of transformers are `[B, N, C]`, and Swin's blocks
    have their channels last.

    Args:
        name: of the model in torchvision, `resnet18`.

    Raises:
        RequestError: torchvision has no image classifier of that name.
    """
    known = list_models(module=torchvision.models)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=4, cutoff=0.4) or ("resnet18", "vit_b_16")
        raise RequestError(
            f"torchvision has no image classifier '{name}': choose one as tv:{' or tv:'.join(near)}"
        )
    return _family_of(name)


@functools.cache
def _family_of(name: str) -> tuple[Spec, Builder]:
    model = TracedModel(name)
    return spec_of(f"tv:{name}", name, model.taps), model.build


def _tell(rows: Mapping[str, Sequence[str]], network: nn.Module) -> Told:
    layers = dict(network.named_children())
    stages = {stage: nn.Sequential(*(layers[name] for name in row)) for stage, row in rows.items()}
    return stages, average, layers["fc"]


def _make_inception_v3(num_classes: int = 1000) -> nn.Module:
    """Without the auxiliary classifier, which works in training alone."""
    network: nn.Module = inception_v3(num_classes=num_classes, **arguments_of("inception_v3", None))
    return network


def _without_auxiliary(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in state.items() if not key.startswith("AuxLogits.")}


FAMILY: Family = {
    "resnet50": (
        spec_of("resnet50", "resnet50", (*_RESNET, *_ENDS)),
        ChainBuilder(
            name="resnet50",
            make=resnet50,
            tell=functools.partial(_tell, _RESNET),
            classifier="fc",
            pairs=_RESNET_PAIRS,
            damped=(Bottleneck, "bn3"),
        ),
    ),
    "inception_v3": (
        spec_of("inception_v3", "inception_v3", (*_INCEPTION, *_ENDS)),
        ChainBuilder(
            name="inception_v3",
            make=_make_inception_v3,
            tell=functools.partial(_tell, _INCEPTION),
            classifier="fc",
            pairs=[("conv", "bn")],
            fewest_pixels=fewest_pixels("inception_v3"),
            adapt=_without_auxiliary,
        ),
    ),
}
RESNET50, INCEPTION_V3 = FAMILY.values()

"""Torchvision's clip networks trained on Kinetics-400.

S3D (Xie et al., 2018, arXiv:1712.04851), separable Inception: its stages bear Inception's
names and `mixed_5c` is the `map`. R3D, MC3 and R(2+1)D of 18 layers (Tran et al., 2018,
arXiv:1711.11248): a stem and four residual stages; `stage4` is the `map`.
"""

from collections.abc import Iterator, Mapping

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.video import mc3_18, r2plus1d_18, r3d_18, s3d
from torchvision.models.video.resnet import BasicBlock

from egofeat.extract.backbones.backbone import Clip, Family
from egofeat.extract.backbones.building import blank
from egofeat.extract.backbones.inflation import (
    from_googlenet,
    identity,
    inflated,
    is_of_images,
)
from egofeat.extract.backbones.stages import ChainBuilder, Told, average
from egofeat.extract.backbones.torchvision.weights import spec_of

_MIXED = ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c")
_S3D_STAGES = ("stem", "conv_2b", "conv_2c", *(f"mixed_{name}" for name in _MIXED))
_S3D_LAYERS = tuple(
    f"features.{place}" for place in ("0.0", "2", "3.0", 5, 6, *range(8, 13), 14, 15)
)
_S3D_UNITS = ("branch0", "branch1.0", "branch1.1.0", "branch2.0", "branch2.1.0", "branch3.1")
"""Of googlenet's layers and branches; what is beside them looks along time."""
_RESNET_STAGES = ("stem", "stage1", "stage2", "stage3", "stage4")
_RESNET_LAYERS = ("stem", "layer1", "layer2", "layer3", "layer4")
_ENDS = ("map", "gap", "logits")
_WINDOW_THW = (2, 7, 7)


def _tell_s3d(network: nn.Module) -> Told:
    stages = dict(zip(_S3D_STAGES, _with_pools(network.get_submodule("features")), strict=True))
    convolution = network.get_submodule("classifier.1")
    classify = nn.Sequential(nn.Unflatten(1, (-1, 1, 1, 1)), convolution, nn.Flatten())
    return stages, _average_of_windows, classify


def _adapt_s3d(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The state of the video network out of its own, or out of googlenet's.

    Max pools stay padded: at an even size they are one pixel off googlenet's.
    """
    if not is_of_images(state):
        return state
    wanted = blank(s3d).state_dict()
    renamed = from_googlenet(state, _S3D_LAYERS, _S3D_UNITS, ("0", "1"), "classifier.1")
    temporal = {
        key: identity(key, tensor.shape, eps=1e-3)
        for key, tensor in wanted.items()
        if key not in renamed and not key.startswith("classifier")
    }
    return {**temporal, **inflated(renamed, wanted)}


def _with_pools(features: nn.Module) -> Iterator[nn.Module]:
    """Stages, each behind the max pool that leads into it."""
    pool: list[nn.Module] = []
    for module in features.children():
        if isinstance(module, nn.MaxPool3d):
            pool = [module]
        else:
            yield nn.Sequential(*pool, module)
            pool = []


def _average_of_windows(map_BCTHW: Tensor) -> Tensor:
    """Mean over overlapping windows of their means, `[B, 1024]`.

    Torchvision classifies every window of 2 × 7 × 7 and averages; the classifier is linear, so
    it may as well see the average. At 224 pixels a window is as wide as the map; maps that are
    smaller are one window.
    """
    window = [min(pair) for pair in zip(_WINDOW_THW, map_BCTHW.shape[2:], strict=True)]
    return average(F.avg_pool3d(map_BCTHW.float(), window, stride=1))


def _tell_resnet(network: nn.Module) -> Told:
    layers = dict(network.named_children())
    stages = dict(zip(_RESNET_STAGES, [layers[name] for name in _RESNET_LAYERS], strict=True))
    return stages, average, layers["fc"]


_S3D_CLIP = Clip(frames=128, stride=1, fps=15.0, fewest=14)
_RESNET_CLIP = Clip(frames=16, stride=1, fps=15.0, fewest=1)

FAMILY: Family = {
    # Torchvision's figure for S3D is that of 16 frames, its accuracy that of 128.
    "s3d": (
        spec_of(
            *("s3d", "s3d", (*_S3D_STAGES, *_ENDS), _S3D_CLIP),
            multiply_adds=False,
            grew_from=("googlenet",),
        ),
        ChainBuilder(
            name="s3d", make=s3d, tell=_tell_s3d, classifier="classifier.1", adapt=_adapt_s3d
        ),
    ),
    **{
        name: (
            spec_of(name, name, (*_RESNET_STAGES, *_ENDS), _RESNET_CLIP, views=(5, 1)),
            ChainBuilder(
                name=name,
                make=make,
                tell=_tell_resnet,
                classifier="fc",
                damped=(BasicBlock, "conv2.1"),
            ),
        )
        for make in (r2plus1d_18, r3d_18, mc3_18)
        for name in (make.__name__,)
    },
}
S3D, R2PLUS1D_18, R3D_18, MC3_18 = FAMILY.values()

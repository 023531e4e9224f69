"""What torchvision says of its models and their weights, as our specs and records."""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torchvision
from torch import Tensor
from torchvision.models import WeightsEnum, get_model_weights, list_models

from egofeat.errors import WeightsError
from egofeat.extract.backbones.backbone import Clip, Spec
from egofeat.extract.weights import Weights

LICENCE = "BSD-3-Clause (torchvision)"

RESCALED = ("googlenet", "inception_v3")
"""Their weights take values in [-1, 1]. Torchvision normalises by ImageNet's mean and deviation
and lets the network undo it; a spec says mean and deviation 0.5 instead, which is the same."""


def default_of(name: str) -> WeightsEnum:
    """Torchvision's own default weights of a model."""
    return get_model_weights(name).DEFAULT


def fewest_pixels(name: str) -> int:
    """Smallest side that a torchvision image model takes, in pixels."""
    smallest: int = default_of(name).meta["min_size"][0]
    return smallest


def arguments_of(name: str, state: Mapping[str, Tensor] | None) -> dict[str, int]:
    """What a torchvision constructor must be told so that the network fits a state dict.

    Vision transformers have as many positions as their default weights. Classifiers that only
    training needs are there if the weights have them.
    """
    if name.startswith("vit_"):
        return {"image_size": default_of(name).transforms().crop_size[0]}
    if name not in RESCALED:
        return {}
    auxiliary = any(key.startswith(("aux", "AuxLogits")) for key in state or ())
    return {"aux_logits": auxiliary, "transform_input": False, "init_weights": False}


def spec_of(
    name: str,
    model: str,
    taps: Iterable[str],
    clip: Clip | None = None,
    views: tuple[int, int] = (1, 1),
    multiply_adds: bool = True,
    grew_from: tuple[str, ...] = (),
) -> Spec:
    """The spec of a torchvision model as its default weights have it; see `records` and `Spec`."""
    default = default_of(model)
    preset = default.transforms()
    rescaled = (0.5, 0.5, 0.5) if model in RESCALED else None
    return Spec(
        name=name,
        taps=tuple(taps),
        default_tap="gap",
        weights=records(model, views, multiply_adds),
        parameters=default.meta["num_params"],
        size=preset.crop_size[0],
        short_side=_sides(preset),
        mean=rescaled or tuple(preset.mean),
        std=rescaled or tuple(preset.std),
        clip=clip,
        grew_from=grew_from if clip else (model,),
    )


def records(
    name: str, views: tuple[int, int] = (1, 1), multiply_adds: bool = True
) -> tuple[Weights, ...]:
    """Published weights of a torchvision model, its default first.

    A spec has one size, mean and deviation: weights that were trained with others than the
    default's are left out.

    Args:
        name: of a torchvision model.
        views: (clips, crops) a video that the accuracy was averaged over.
        multiply_adds: whether torchvision's figure is that of the view of these weights.
    """
    default = default_of(name)
    alike = [w for w in type(default) if _input(w) == _input(default)]
    ordered = [default, *(w for w in alike if w is not default)]
    return tuple(_record(weights, views, multiply_adds) for weights in ordered)


def record_of(name: str) -> Weights:
    """The default weights of an image classifier of torchvision.

    Raises:
        WeightsError: it has none of that name.
    """
    if name not in list_models(module=torchvision.models):
        near = difflib.get_close_matches(name, ["googlenet", "inception_v3", "resnet50"], cutoff=0)
        raise WeightsError(
            f"torchvision has no image classifier '{name}': name one, such as torchvision:{near[0]}"
        )
    return records(name)[0]


def _input(weights: WeightsEnum) -> tuple[Any, ...]:
    preset = weights.transforms()
    return (*preset.crop_size, *preset.mean, *preset.std)


def _sides(preset: Any) -> int | tuple[int, int]:
    """What frames are resized to: the short side, or (height, width)."""
    short, *rest = preset.resize_size
    return (short, rest[0]) if rest else short


def _record(weights: WeightsEnum, views: tuple[int, int], multiply_adds: bool) -> Weights:
    preset, meta = weights.transforms(), weights.meta
    ((trained_on, scores),) = meta["_metrics"].items()
    file = weights.url.rsplit("/", maxsplit=1)[1]
    digest = re.search(r"-([0-9a-f]{8,})\.pth$", file)
    # Images are shrunk with a low-pass filter; videos are not, as they were in training.
    filtered = "-antialias" if getattr(preset, "antialias", False) else ""
    return Weights(
        name=weights.name.lower(),
        file=file,
        url=weights.url,
        sha256=digest[1] if digest else "",
        licence=meta.get("license", LICENCE),
        trained_on=trained_on.replace("-1K", "-1k"),
        accuracy=None if math.isnan(scores["acc@1"]) else scores["acc@1"],
        views=views,
        multiply_adds=meta["_ops"] if multiply_adds else None,
        resize=_sides(preset),
        interpolation=f"{preset.interpolation.value}{filtered}",
    )

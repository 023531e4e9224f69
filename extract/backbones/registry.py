"""Every backbone by its name: one line a family, and what installed packages add."""

import difflib
from dataclasses import replace
from typing import Any

from torch import nn

from egofeat.errors import RequestError
from egofeat.extract.backbones import flow_grid, mobilenetv2
from egofeat.extract.backbones.backbone import Builder, Spec
from egofeat.extract.backbones.inception import i3d, s3d_v1, s3d_v3
from egofeat.extract.backbones.modules import build_module
from egofeat.extract.backbones.slowfast import networks as slowfast
from egofeat.extract.backbones.torchvision import images as torchvision_images
from egofeat.extract.backbones.torchvision import video as torchvision_video
from egofeat.plugins import Plugin, Registry

_FAMILIES = (
    mobilenetv2.FAMILY,
    torchvision_images.FAMILY,
    slowfast.FAMILY,
    i3d.FAMILY,
    torchvision_video.FAMILY,
    s3d_v1.FAMILY,
    s3d_v3.FAMILY,
    flow_grid.FAMILY,
)


def _adopt(plugin: Plugin, found: Any) -> tuple[Spec, Builder]:
    spec, build = found if isinstance(found, tuple) and len(found) == 2 else (None, None)
    if isinstance(found, type) and issubclass(found, nn.Module):
        spec, build = getattr(found, "spec", None), build_module(found)
    if not isinstance(spec, Spec) or not callable(build):
        raise TypeError("an nn.Module class with a Spec as its `spec`, or (Spec, builder)")
    own = found if isinstance(found, type) else None
    return replace(spec, name=plugin.name, package=plugin.package, module=own), build


BACKBONES: Registry[tuple[Spec, Builder]] = Registry(
    "backbone",
    "egofeat.backbones",
    {name: pair for family in _FAMILIES for name, pair in family.items()},
    _adopt,
    by_path=True,
)
"""Name to spec and builder, and torchvision's image classifiers as `tv:NAME`."""


def find_backbone(name: str) -> tuple[Spec, Builder]:
    """The spec and the builder of a backbone.

    Raises:
        RequestError: there is no backbone of that name, or the package's is broken.
    """
    if name.startswith("tv:"):
        return torchvision_images.family_of(name.removeprefix("tv:"))
    if name not in BACKBONES:
        near = difflib.get_close_matches(name, BACKBONES, n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise RequestError(
            f"there is no backbone '{name}': {hint}`egofeat backbones` lists them, tv:NAME is any "
            "image classifier of torchvision, and others come with the package that adds them"
        )
    return BACKBONES[name]


def spec_of(name: str) -> Spec:
    """The spec of a backbone.

    Raises:
        RequestError: there is no backbone of that name.
    """
    return find_backbone(name)[0]

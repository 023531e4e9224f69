"""Every backbone by its name: one line a family, and what installed packages add."""

import difflib
from dataclasses import replace
from pkgutil import resolve_name
from typing import Any

from torch import nn

from egofeat.errors import RequestError
from egofeat.extract.backbones import flow_grid, mobilenetv2
from egofeat.extract.backbones.backbone import Builder, Spec
from egofeat.extract.backbones.inception import i3d, s3d_v1, s3d_v3
from egofeat.extract.backbones.modules import build_module
from egofeat.extract.backbones.slowfast import networks as slowfast
from egofeat.names import DESCRIBED, VARIANT
from egofeat.plugins import Plugin, Registry
from egofeat.recipe.imported import BACKBONE as IMPORTED

_TORCHVISION = "egofeat.extract.backbones.torchvision"
_OWN: dict[str, tuple[Spec, Builder] | str] = {
    **mobilenetv2.FAMILY,
    # Torchvision takes a second and a half to import.
    **{name: f"{_TORCHVISION}.images:{name.upper()}" for name in ("resnet50", "inception_v3")},
    **slowfast.FAMILY,
    **i3d.FAMILY,
    **{
        name: f"{_TORCHVISION}.video:{name.upper()}"
        for name in ("s3d", "r2plus1d_18", "r3d_18", "mc3_18")
    },
    **s3d_v1.FAMILY,
    **s3d_v3.FAMILY,
    **flow_grid.FAMILY,
}
PREFIXES = {
    "tv": (
        "any other image classifier of torchvision, as tv:vit_b_16",
        f"{_TORCHVISION}.images:family_of",
    ),
    "timm": (
        "any image network of timm, as timm:convnext_tiny",
        "egofeat.extract.backbones.timm_images:family_of",
    ),
    "hf": (
        "a network of transformers, hf:ORG/NAME or hf:/path/to/folder",
        "egofeat.extract.backbones.hf.networks:family_of",
    ),
}
"""`PREFIX:NAME` is a network of another library: what it is, and who makes the family of a name."""

VARIANTS = "FILE.yaml is a member of the SlowFast or S3D family, as the file describes it"
_DESCRIBED = "egofeat.extract.backbones.variants.networks:family_of"


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
    _OWN,
    _adopt,
    by_path=True,
)
"""Name to spec and builder; other libraries' networks are named by `PREFIXES`."""


def find_backbone(name: str) -> tuple[Spec, Builder]:
    """The spec and the builder of a backbone.

    The name of the spec stands for the same network everywhere: of a file, it is what it says.

    Raises:
        RequestError: there is no backbone of that name, the package's is broken, a file describes
            none, or it is that of imported features.
    """
    if name.startswith(VARIANT) or name.endswith(DESCRIBED):
        described: tuple[Spec, Builder] = resolve_name(_DESCRIBED)(name)
        return described
    if name.startswith(IMPORTED):
        raise RequestError(
            f"the features of {name} were imported from files that another program made, and no "
            "network here makes them: name a store of `egofeat extract`, or a run on one"
        )
    prefix, _, rest = name.partition(":")
    if prefix in PREFIXES:
        if not rest:
            raise RequestError(f"'{name}' names no network: {name}NAME is {PREFIXES[prefix][0]}")
        family: tuple[Spec, Builder] = resolve_name(PREFIXES[prefix][1])(rest)
        return family
    if name not in BACKBONES:
        near = difflib.get_close_matches(name, BACKBONES, n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise RequestError(
            f"there is no backbone '{name}': {hint}`egofeat backbones` lists them, "
            f"{', '.join(f'{one}:NAME' for one in PREFIXES)} are networks of other libraries, "
            "FILE.yaml describes a variant, and others come with the package that adds them"
        )
    return BACKBONES[name]


def spec_of(name: str) -> Spec:
    """The spec of a backbone.

    Raises:
        RequestError: there is no backbone of that name.
    """
    return find_backbone(name)[0]

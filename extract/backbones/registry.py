"""Every backbone by its name: one line a family."""

import difflib

from egofeat.errors import RequestError
from egofeat.extract.backbones import flow_grid, mobilenetv2
from egofeat.extract.backbones.backbone import Builder, Spec
from egofeat.extract.backbones.inception import i3d, s3d_v1, s3d_v3
from egofeat.extract.backbones.slowfast import networks as slowfast
from egofeat.extract.backbones.torchvision import images as torchvision_images
from egofeat.extract.backbones.torchvision import video as torchvision_video

BACKBONES: dict[str, tuple[Spec, Builder]] = {
    mobilenetv2.SPEC.name: (mobilenetv2.SPEC, mobilenetv2.build),
    **torchvision_images.FAMILY,
    **slowfast.FAMILY,
    **i3d.FAMILY,
    **torchvision_video.FAMILY,
    **s3d_v1.FAMILY,
    **s3d_v3.FAMILY,
    **flow_grid.FAMILY,
}
"""Name to spec and builder; beside them, torchvision's image classifiers as `tv:NAME`."""


def find_backbone(name: str) -> tuple[Spec, Builder]:
    """The spec and the builder of a backbone.

    Raises:
        RequestError: there is no backbone of that name.
    """
    if name.startswith("tv:"):
        return torchvision_images.family_of(name.removeprefix("tv:"))
    if name not in BACKBONES:
        near = difflib.get_close_matches(name, BACKBONES, n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise RequestError(
            f"there is no backbone '{name}': {hint}`egofeat backbones` lists them, and tv:NAME is "
            "any image classifier of torchvision"
        )
    return BACKBONES[name]


def spec_of(name: str) -> Spec:
    """The spec of a backbone.

    Raises:
        RequestError: there is no backbone of that name.
    """
    return find_backbone(name)[0]

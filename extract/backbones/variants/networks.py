"""From a description, in a file or in a name, to the spec and the builder of the network."""

import functools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from egofeat.errors import RequestError
from egofeat.extract.backbones.backbone import Builder, Spec
from egofeat.extract.backbones.building import blank
from egofeat.extract.backbones.inception import s3d_v1, s3d_v3, separable
from egofeat.extract.backbones.slowfast import networks as slowfast
from egofeat.extract.backbones.slowfast.network import Design, Pathway, layers
from egofeat.extract.backbones.variants.descriptions import FAMILIES, S3D, Description, SlowFast
from egofeat.extract.backbones.variants.keys import Turn
from egofeat.manifest import read_yaml
from egofeat.names import VARIANT, short_name
from egofeat.words import nearest, quoted

_NOTE = (
    "Described, not published: it takes weights of your own, those of an image network of the same "
    "layers, or random ones."
)
_LONGEST = 4000
"""Letters of a description in a name."""


def family_of(name: str) -> tuple[Spec, Builder]:
    """Spec and builder of a variant.

    Args:
        name: of a file, `FILE.yaml`; or a description itself, `variant:{"family":"slowfast"}`.

    Raises:
        RequestError: the file cannot be read, or describes no network.
    """
    if name.startswith(VARIANT):
        description = _described(f"the variant {quoted(name)}", _parsed(name))
    else:
        description = _described(name, read_yaml(Path(name)))
    return _network(description.name)


def _parsed(name: str) -> Any:
    text = name.removeprefix(VARIANT)
    try:
        if len(text) > _LONGEST:
            raise ValueError
        return json.loads(text)
    except (ValueError, RecursionError):
        raise RequestError(
            f"the variant {quoted(name)} is no description in JSON, such as "
            f'{VARIANT}{{"family":"slowfast","alpha":8}}: correct it, or name the file alone'
        ) from None


def _described(where: str, raw: Any) -> Description:
    families = " or ".join(f"`family: {one}`" for one in FAMILIES)
    if not isinstance(raw, dict):
        found = "is empty" if raw is None else "is no mapping of keys"
        raise RequestError(f"{where} {found}: begin it with {families}")
    if "family" not in raw:
        raise RequestError(f"{where}: key 'family' is missing: begin with {families}")
    family = raw["family"]
    if not isinstance(family, str) or family not in FAMILIES:
        known = nearest(family, list(FAMILIES))
        raise RequestError(f"{where}: key 'family': there is no family {quoted(family)}: {known}")
    for key in raw:
        if not isinstance(key, str):
            raise RequestError(f"{where}: unknown key {quoted(key)}: write names of keys")
    try:
        return FAMILIES[family](**{key: of for key, of in raw.items() if key != "family"})
    except RequestError as error:
        raise RequestError(f"{where}, {error}") from None


@functools.lru_cache(maxsize=64)
def _network(name: str) -> tuple[Spec, Builder]:
    """Of a canonical name."""
    description = _described("", json.loads(name.removeprefix(VARIANT)))
    if isinstance(description, SlowFast):
        return _slowfast(description)
    assert isinstance(description, S3D)
    return _s3d(description)


def design_of(described: SlowFast) -> Design:
    """The design of a network of one or two pathways."""
    slow = _pathway(described, described.width, described.slow_kernels)
    fast = _pathway(described, described.width // described.shrink, described.fast_kernels)
    only = {"slow": slow, "fast": fast}.get(described.pathways)
    alpha = 1 if described.pathways == "slow" else described.alpha
    pool_T, pool_H, pool_W = described.non_local_pool
    return Design(
        slow=only or slow,
        fast=None if only else fast,
        alpha=1 if only else alpha,
        laterals=described.laterals,
        fusion_kernel=described.lateral_kernel,
        frames=described.frames * alpha,
        stride=described.stride // alpha,
        temporal_pool=described.temporal_pool,
        nonlocal_after=described.places,
        nonlocal_pool=(pool_T, pool_H, pool_W),
        nonlocal_softmax=described.non_local_softmax,
        detection=described.detection,
    )


def _pathway(described: SlowFast, width: int, kernels: Sequence[Turn]) -> Pathway:
    stem, *of_stages = [(one,) if isinstance(one, int) else one for one in kernels]
    limits = described.temporal_blocks or described.blocks
    stages = zip(of_stages, described.blocks, limits, strict=True)
    return Pathway(
        width=width,
        stem=stem[0],
        kernels=tuple(
            tuple(turn[k % len(turn)] if k < limit else 1 for k in range(blocks))
            for turn, blocks, limit in stages
        ),
    )


def _slowfast(described: SlowFast) -> tuple[Spec, Builder]:
    design, name = design_of(described), described.name
    build = slowfast.build_by(short_name(name), design)
    for published, known in slowfast.DESIGNS.items():
        if known == design:
            return replace(slowfast.FAMILY[published][0], name=name), build
    network = blank(lambda: layers(design, slowfast.published_classes(design)))
    parameters = sum(one.numel() for one in network.parameters())
    return slowfast.spec_of(name, design, parameters, (), _NOTE), build


def _s3d(described: S3D) -> tuple[Spec, Builder]:
    name, flat = described.name, described.flat_layers
    if described.inception == "v1":
        build = s3d_v1.build_flat(short_name(name), flat)
        like = s3d_v1.S3D_V1_TOP_HEAVY
    else:
        joint = described.sevens == "two"
        temporal = separable.joint_sevens if joint else separable.SeparableConv
        build = s3d_v3.build_flat(short_name(name), flat, temporal)
        like = s3d_v3.S3D_V3
    parameters = sum(one.numel() for one in blank(build.make).parameters())
    return replace(like, name=name, parameters=parameters, note=s3d_v3.S3D_V3.note), build

"""What `egofeat bench backbones` measures: backbones, and the detector of persons."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any

import torch

from egofeat.device import exact
from egofeat.errors import EgofeatError
from egofeat.extract import persons
from egofeat.extract.backbones import find_backbone, load
from egofeat.extract.backbones.cost import count_parameters, multiply_adds
from egofeat.extract.weights import Weights
from egofeat.names import VARIANT
from egofeat.pipelines.bench.options import BackboneBench
from egofeat.pipelines.extraction.choices import check_clip_frames

_PAPERS = {
    "slowfast_nln_16x8_r101": Weights(
        name="",
        file="",  # never released
        url="https://arxiv.org/abs/1812.03982",  # table 2
        hosted=False,
        sha256="",
        licence="",
        trained_on="Kinetics-400",
        accuracy=79.8,
        views=(10, 3),
        multiply_adds=234.0,
    ),
}
"""What is published of backbones that have no published weights."""

OfBatch = Callable[[int], Callable[[], object]]
"""Makes so many views, and gives what runs the network on them."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network of which a view is measured."""

    name: str
    parameters: int
    """With its classifier, as trained."""
    size: int
    """Pixels of a view's sides."""
    frames: int
    multiply_adds: Callable[[], int]
    """Counts those of a view."""
    published: Weights | None
    """The record of weights, for their views."""
    as_published: bool
    """Whether a view is of the size and frames that the record is of."""
    prepare: Callable[[torch.device], OfBatch]
    """Loads it onto a device."""


def check_networks(config: BackboneBench) -> None:
    """Refuse names of no network, and clips that one cannot take.

    Raises:
        RequestError: one of them.
    """
    for name in config.backbones:
        if name != persons.NAME:
            spec, _ = find_backbone(name)
            if spec.clip and config.clip_frames:
                check_clip_frames(spec, config.clip_frames)


def network_of(config: BackboneBench) -> Network:
    """The first of the networks that are to be measured."""
    name = config.backbones[0]
    return _detector(config) if name == persons.NAME else _backbone(name, config)


def _backbone(name: str, config: BackboneBench) -> Network:
    spec, build = find_backbone(name)
    clip = spec.clip and replace(spec.clip, frames=config.clip_frames or spec.clip.frames)
    sized = replace(spec, size=config.size or spec.size, clip=clip)
    of_name = min(spec.weights, key=lambda record: record.name != config.weights, default=None)
    sides = (clip.frames, sized.size, sized.size) if clip else (sized.size, sized.size)

    def prepare(device: torch.device) -> OfBatch:
        network = load(name, config.weights, (), device, config.precision, config.engine)
        return lambda batch: partial(
            network, torch.randn(batch, spec.channels, *sides, device=device)
        )

    return Network(
        name=spec.called if spec.name.startswith(VARIANT) else name,
        parameters=count_parameters(spec, build),
        size=sized.size,
        frames=clip.frames if clip else 1,
        multiply_adds=partial(multiply_adds, sized, build),
        published=of_name or _PAPERS.get(name),
        as_published=sized == spec,
        prepare=prepare,
    )


def _detector(config: BackboneBench) -> Network:
    """That of `egofeat persons`, which makes frames of its own size itself."""
    return Network(
        name=persons.NAME,
        parameters=persons.PARAMETERS,
        size=persons.SIDE,
        frames=1,
        multiply_adds=persons.multiply_adds,
        published=persons.RECORD,
        as_published=True,
        prepare=partial(_prepare_detector, config),
    )


def _prepare_detector(config: BackboneBench, device: torch.device) -> OfBatch:
    """Load it as `egofeat persons` runs it.

    Random weights propose boxes of no size, and the same ones again and again, which would be left
    out: then none is, and it looks at as many as trained weights do.

    Raises:
        EgofeatError: it is asked for in another way.
    """
    if config.precision != "float32" or config.engine != "torch":
        raise EgofeatError(
            "egofeat persons runs it by torch in float32: leave out `precision` and `engine`"
        )
    loaded = persons.load(config.weights, threshold=0.8, min_size=0, device=device)
    network: Any = loaded.network
    if config.weights.startswith("random"):
        network.rpn.nms_thresh, network.rpn.min_size = inf, -inf

    def look(frames: torch.Tensor) -> object:
        with torch.inference_mode(), exact():
            return network(frames)

    sides = (3, persons.SIDE, persons.SIDE)
    return lambda batch: partial(look, torch.rand(batch, *sides, device=device))

"""The classifier of a published detection network: it tells what persons in boxes do."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat import console
from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.extract.backbones import load, spec_of
from egofeat.extract.roi import Persons
from egofeat.extract.weights import find
from egofeat.names import short_name
from egofeat.pipelines.extraction.choices import check_transform, choose_plan, choose_transform
from egofeat.pipelines.extraction.in_memory import Maker
from egofeat.pipelines.extraction.job import Job
from egofeat.pipelines.extraction.options import (
    ExtractConfig,
    Numbers,
    Pixels,
    RoiConfig,
    Storage,
)
from egofeat.pipelines.extraction.roi_options import align_of, choose_maps
from egofeat.pipelines.recognition.class_names import class_names
from egofeat.pipelines.training.published_heads import read_classifier
from egofeat.recipe import KeyFrames
from egofeat.segments import Dataset

ACTION = "action"
TAP = "roi"


@dataclass(frozen=True)
class PublishedPersons:
    """What makes features of persons, and what tells their actions from them."""

    maker: Maker
    names: tuple[str, ...]
    classify: Callable[[NDArray[Any]], Tensor]
    """Logits `[n, actions]` of features `[n, 1, C]`; the sigmoid of each is its probability."""


def published_persons(
    backbone: str, weights: str = "default", device: str = "auto", size: int | None = None
) -> PublishedPersons:
    """A detection network with its own classifier.

    Args:
        backbone: its name; of a variant, its file or its description.
        weights: `default`, the name of published weights, or a file, with the classifier.
        device: where to run.
        size: pixels of the shorter side of its input; None takes the published.

    Raises:
        RequestError: random weights, or action names that are not known.
        WeightsError: the weights are not to be had, or have no classifier.
    """
    called = short_name(backbone)
    if weights.split(":", maxsplit=1)[0] in ("random", "torchvision"):
        raise RequestError(
            f"{weights} weights of {called} know no action: give published `weights`, or a file"
        )
    config = ExtractConfig(
        backbone=backbone, weights=weights, roi=RoiConfig(), dtype="float32", size=size
    )
    job = _job(config, device)
    record = job.backbone.published
    own = Path(weights).expanduser()
    path = own if own.is_file() or record is None else find(record, console.note)
    weight, bias = (one.to(job.backbone.device) for one in read_classifier(path))
    if weight.shape[1:] != job.recipe.taps[TAP]:
        raise RequestError(
            f"the classifier of {path} takes {weight.shape[1]} channels, and persons have "
            f"{job.recipe.taps[TAP][0]}: give weights of {called}"
        )

    def classify(rows: NDArray[Any]) -> Tensor:
        return torch.from_numpy(rows).float().to(weight.device)[:, 0] @ weight.T + bias

    names = class_names(len(weight), called)
    return PublishedPersons(Maker(job.recipe, TAP, job.backbone), names, classify)


def _job(config: ExtractConfig, device: str) -> Job:
    """Features of persons around key frames of no data set yet."""
    assert config.roi
    spec = spec_of(config.backbone)
    pixels = replace(config.group(Pixels), transform=check_transform(spec, config))
    network = load(
        config.backbone,
        config.weights,
        choose_maps(spec, config.roi),
        choose_device(device),
        note=console.note,
    )
    plan = choose_plan(spec, config, network.published, key_frames=True)
    assert isinstance(plan, KeyFrames)
    align = align_of(network, config.weights, plan.view_frames, config.roi)
    return Job.of(
        network,
        replace(plan, boxes="sha256:"),
        choose_transform(spec, network.published, pixels),
        config.group(Numbers),
        Persons({}, align, (TAP,)),
        dataset=Dataset("videos", {}, (), {}, key_frames=True),
        segments=(),
        storage=config.group(Storage),
        made_with={"weights": config.weights},
    )

"""What tells classes from features: a run's head, or the classifier of a published network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.extract.backbones import spec_of
from egofeat.pipelines.annotated.options import AnnotateConfig
from egofeat.pipelines.extraction.in_memory import Maker
from egofeat.pipelines.recognition.persons import ACTION, published_persons
from egofeat.pipelines.recognition.published import TARGET, Published, one_of, whole
from egofeat.pipelines.runs.run import Run, load_run
from egofeat.pipelines.training.predict import logits_of, makers_of


@dataclass(frozen=True)
class Seer:
    """What makes features of a video, and what tells classes from them."""

    makers: Sequence[Maker]
    """One for each store that the head was trained on."""
    classes: Mapping[str, Sequence[str]]
    """Target to the names of its classes."""
    logits: Callable[[Sequence[NDArray[Any]]], dict[str, Tensor]]
    """Target to `[n, classes]`, of rows `[n, …]` by each maker."""
    of_persons: bool
    others: int = 0
    """Persons beside each that it sees too."""


def choose_seer(config: AnnotateConfig) -> Seer:
    """Load what the options name.

    Raises:
        RequestError: no such run or backbone, or one that cannot label a video.
        WeightsError: the weights are not those of the run, or not to be had.
    """
    return _of_run(config) if config.backbone is None else _of_backbone(config, config.backbone)


def _of_run(config: AnnotateConfig) -> Seer:
    run = load_run(config.run)
    if not run.config.of_persons:
        _check_stretches(run, config)
    device = choose_device(config.device)
    head = run.head.to(device)
    return Seer(
        makers=makers_of(run, config.weights or None, config.device),
        classes=run.config.classes,
        logits=lambda rows: logits_of(head, [torch.from_numpy(one) for one in rows], device),
        of_persons=run.config.of_persons,
        others=run.config.sources[0].shape[0] - 1,
    )


def _check_stretches(run: Run, config: AnnotateConfig) -> None:
    for source in run.config.sources:
        if not (plan := source.recipe.plan).counted:
            raise RequestError(
                f"run {run.path} was trained on features by '{plan.sampling}', which cannot be "
                "made of any stretch of a video: name a run on a store of persons, or of "
                "segments"
            )
    if config.boxes:
        raise RequestError(
            f"run {run.path} was trained on segments and knows no persons: leave `boxes` out"
        )


def _of_backbone(config: AnnotateConfig, backbone: str) -> Seer:
    weights = one_of(config.weights, backbone)
    if spec_of(backbone).detects:
        return _of_detector(config, backbone, weights)
    if config.boxes:
        raise RequestError(f"{backbone} knows no persons: leave `boxes` out")
    published = Published.of(
        backbone,
        whole({}),
        weights=weights,
        views=config.views or (1, 1),
        device=config.device,
    )
    return Seer(
        makers=[published.maker],
        classes={TARGET: published.names()},
        logits=lambda rows: {TARGET: published.logits(rows[0])},
        of_persons=False,
    )


def _of_detector(config: AnnotateConfig, backbone: str, weights: str) -> Seer:
    if config.views:
        raise RequestError(f"{backbone} sees persons of one clip each: leave `views` out")
    published = published_persons(backbone, weights, config.device)
    return Seer(
        makers=[published.maker],
        classes={ACTION: published.names},
        logits=lambda rows: {ACTION: published.classify(rows[0])},
        of_persons=True,
    )

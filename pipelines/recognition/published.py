"""`egofeat predict --backbone`: what a published classifier sees in whole videos."""

from collections.abc import Sequence
from pathlib import Path

import torch

from egofeat.errors import RequestError
from egofeat.extract.backbones import BACKBONES, find_backbone
from egofeat.extract.backbones.backbone import Spec
from egofeat.extract.decoding.threads import decoding_threads
from egofeat.extract.extractor import extract
from egofeat.extract.task import Task
from egofeat.extract.units import all_units
from egofeat.pipelines.extraction.in_memory import Memory
from egofeat.pipelines.extraction.job import plan_job
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.pipelines.recognition.class_names import class_names
from egofeat.pipelines.training.predict import Prediction, Predictions, guesses_of
from egofeat.pipelines.training.views import mean_of_views
from egofeat.segments import Dataset, Media, Segment

LOGITS = "logits"
"""Tap of the classifier that a network was published with."""
TARGET = "class"


def recognise(
    videos: Sequence[Path],
    backbone: str,
    *,
    weights: str = "default",
    views: tuple[int, int] | None = None,
    device: str = "auto",
    top: int = 5,
) -> Predictions:
    """Let a network's own classifier name what it sees: the mean softmax over views of a video.

    Args:
        videos: video files.
        backbone: one of `egofeat backbones` that has the tap `logits`.
        weights: `default`, the name of published weights, or a file.
        views: (clips, crops) of a video, of image networks (frames, crops); None takes those of
            the published accuracy, and of image networks 20 frames.
        device: where to run.
        top: classes to name.

    Raises:
        RequestError: the backbone has no classifier, random weights, or no known class names.
        WeightsError: the weights are not to be had.
    """
    spec, _ = find_backbone(backbone)
    _check(spec, weights)
    names = [str(video) for video in dict.fromkeys(videos)]
    dataset = Dataset(
        name="videos",
        media={name: Media(Path(name)) for name in names},
        segments=tuple(Segment(id=name, video=name) for name in names),
        classes={},
    )
    job = plan_job(_config(spec, weights, views, device), dataset)
    sink = Memory(LOGITS)
    units = all_units(job.segments, [job.recipe.row_bytes], job.dataset.media)
    task = Task(backbone=job.backbone, recipe=job.recipe, sink=sink)
    extract(units, [task], decoder=job.recipe.decoder, workers=decoding_threads())
    classes = {TARGET: class_names(job.recipe.taps[LOGITS][-1], backbone)}
    seen = []
    for name in names:
        if name in sink.features:
            logits_VK = torch.from_numpy(sink.features[name]).float()
            logits = {TARGET: mean_of_views(logits_VK[None])}
            seen.append(Prediction(name, guesses_of(logits, classes, top)))
    return Predictions(seen, {one.video: one.reason for one in sink.failures})


def _config(spec: Spec, weights: str, views: tuple[int, int] | None, device: str) -> ExtractConfig:
    """What makes the views on which the weights were judged, or other views."""
    record = next((one for one in spec.weights if one.name == weights), None)
    record = record or next(iter(spec.weights), None)
    number, crops = views or (record.views if record else (1, 1))
    return ExtractConfig(
        backbone=spec.name,
        weights=weights,
        taps=(LOGITS,),
        clips=number if spec.clip else None,
        frames=number if views and not spec.clip else None,
        crops=crops,
        transform="weights",
        dtype="float32",
        device=device,
    )


def _check(spec: Spec, weights: str) -> None:
    if LOGITS not in spec.taps:
        others = ", ".join(name for name in BACKBONES.own if LOGITS in BACKBONES[name][0].taps)
        raise RequestError(f"backbone {spec.name} has no classifier here: choose one of {others}")
    if weights == "random":
        raise RequestError(
            f"random weights of {spec.name} know no class: give published `weights`, or a file"
        )

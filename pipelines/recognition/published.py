"""The classifier that a network was published with, ready to see: what makes views, and names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat.errors import RequestError
from egofeat.extract.backbones import BACKBONES, find_backbone
from egofeat.extract.backbones.backbone import Spec
from egofeat.pipelines.extraction.in_memory import Maker
from egofeat.pipelines.extraction.job import Job, plan_job
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.pipelines.recognition.class_names import class_names
from egofeat.pipelines.training.views import mean_of_views
from egofeat.segments import Dataset, Media, Segment

LOGITS = "logits"
"""Tap of the classifier that a network was published with."""
SCORES = "scores"
"""Tap of the mean softmax over places of the last map, of networks that are tested so."""
TARGET = "class"
"""What its classes are called."""


@dataclass(frozen=True)
class Published:
    """A network's own classifier: its job makes the logits of each view."""

    job: Job

    @classmethod
    def of(
        cls,
        backbone: str,
        dataset: Dataset | None = None,
        *,
        weights: str = "default",
        views: tuple[int, int] | None = None,
        **options: Any,
    ) -> "Published":
        """A network by its name.

        Args:
            backbone: one of `egofeat backbones` that has the tap `logits`.
            dataset: whose segments are wanted; None takes that of the options.
            weights: `default`, the name of published weights, or a file.
            views: (clips, crops) of a segment, of image networks (frames, crops); None takes those
                of the published accuracy, and of image networks 20 frames. Clips lie where the
                weights' publisher has them in its test.
            options: others of an extraction.

        Raises:
            RequestError: the backbone has no classifier, or random weights.
            WeightsError: the weights are not to be had.
        """
        spec, _ = find_backbone(backbone)
        _check(spec, weights)
        asked = ExtractConfig(**_sampling(spec, weights, views), weights=weights, **options)
        return cls(plan_job(asked, dataset))

    @property
    def maker(self) -> Maker:
        """What makes the logits, or scores, of views, `[V, classes]` a segment."""
        return Maker(self.job.recipe, self.tap, self.job.backbone)

    @property
    def tap(self) -> str:
        """Which of the taps is averaged over views, as the weights' publisher does."""
        record = self.job.backbone.published
        by_place = record is not None and record.test == "pyslowfast"
        return SCORES if by_place and SCORES in self.job.recipe.taps else LOGITS

    def names(self) -> tuple[str, ...]:
        """Names of the classes.

        Raises:
            RequestError: they are not known here.
        """
        return class_names(self.job.recipe.taps[LOGITS][-1], self.job.recipe.network)

    def logits(self, views_NVK: NDArray[Any]) -> Tensor:
        """Log of the mean softmax over views, `[N, classes]`, of what `maker` makes of each."""
        views = torch.from_numpy(views_NVK).float()
        if self.tap == SCORES:
            return views.mean(dim=1).clamp(min=torch.finfo(torch.float32).tiny).log()
        return mean_of_views(views)


def whole(media: Mapping[str, Media]) -> Dataset:
    """A data set of whole videos, by their names."""
    return Dataset(
        name="videos",
        media=media,
        segments=tuple(Segment(id=name, video=name) for name in media),
        classes={},
    )


def _sampling(spec: Spec, weights: str, views: tuple[int, int] | None) -> dict[str, Any]:
    """What makes the views on which the weights were judged, or other views."""
    record = next((one for one in spec.weights if one.name == weights), None)
    record = record or next(iter(spec.weights), None)
    number, crops = views or (record.views if record else (1, 1))
    return {
        "backbone": spec.name,
        "taps": tuple(tap for tap in (LOGITS, SCORES) if tap in spec.taps),
        "clip_rule": "weights",
        "clips": number if spec.clip else None,
        "frames": number if views and not spec.clip else None,
        "crops": crops,
        "transform": "weights",
        "dtype": "float32",
    }


def _check(spec: Spec, weights: str) -> None:
    if LOGITS not in spec.taps:
        others = ", ".join(name for name in BACKBONES.own if LOGITS in BACKBONES[name][0].taps)
        mend = f"choose one of {others}"
        if spec.detects:
            mend = "it tells what persons in boxes do: `egofeat annotate` draws that"
        raise RequestError(f"backbone {spec.called} has no classifier of whole frames here: {mend}")
    if weights.split(":", maxsplit=1)[0] == "random":
        raise RequestError(
            f"random weights of {spec.called} know no class: give published `weights`, or a file"
        )


def one_of(weights: Sequence[str | Path], backbone: str) -> str:
    """The weights that are named for one network.

    Raises:
        RequestError: several are.
    """
    if len(weights) > 1:
        raise RequestError(f"{backbone} is one network: give `weights` once")
    return str(weights[0]) if weights else "default"

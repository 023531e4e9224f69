"""Recognition by views: a head sees each view of a segment alone, and its softmaxes are averaged.

The usual test of clip networks, over K clips × M crops a segment. Such a test often has more
views than the training had, so a run may be judged on another store than its own: one of the
same recipe but for the number of clips or frames, and of crops.
"""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from egofeat.errors import RequestError, StoreError
from egofeat.heads.head import Head, merge_steps
from egofeat.heads.training.feed import Features
from egofeat.heads.training.passes import predict
from egofeat.pipelines.runs.config import Source
from egofeat.pipelines.runs.run import Run
from egofeat.recipe import Recipe
from egofeat.store import FeatureStore


@dataclass(frozen=True)
class Views:
    """Views of a segment: clips, or frames of an image network, each under so many crops."""

    clips: int
    crops: int

    @property
    def count(self) -> int:
        """Views a segment."""
        return self.clips * self.crops

    @property
    def said(self) -> str:
        """How many they are, for people."""
        return "1 view" if self.count == 1 else f"{self.count} views"

    def __str__(self) -> str:
        return f"{self.clips}x{self.crops}"

    @classmethod
    def of(cls, recipe: Recipe) -> Self | None:
        """Return the views that a recipe gives each segment; None where it fixes no number."""
        return cls(recipe.plan.views, recipe.transform.crops) if recipe.plan.counted else None

    def check(self, run: Run, source: Source, store: FeatureStore) -> None:
        """Refuse a store that has other views of a segment, or differs in more from a run's own.

        Raises:
            RequestError: it has other views.
            StoreError: its features differ in more than views.
        """
        there = Views.of(store.recipe)
        if there is None:
            raise RequestError(
                f"`views` averages over the clips and crops of a segment, and store {store.path} "
                f"holds {store.recipe.plan.sampling}: leave `views` out"
            )
        if there != self:
            raise RequestError(
                f"store {store.path} has {there} views a segment and `views` asks for {self}: give "
                f"`views` {there}, or name a store that has {self} with `store`"
            )
        here, own = (of.only(source.tap).of_one_view() for of in (store.recipe, source.recipe))
        differing = [
            f"{name} {'absent' if value is None else value}, "
            f"not {'absent' if other is None else other}"
            for name, (value, other) in here.differences(own).items()
        ]
        if differing and store.digest != source.digest:
            raise StoreError(
                f"store {store.path} and the one that run {run.path} was trained on differ in more "
                f"than their views ({'; '.join(differing)}): extract one as the run's was, with "
                "other `clips` and `crops` alone"
            )


def view_of(run: Run) -> Run:
    """Return the same run, its head built for segments of one view.

    Raises:
        RequestError: its weights are those of another number of steps alone.
    """
    shapes = [source.shape for source in run.config.sources]
    alone = tuple((1, *shape[1:]) for shape in shapes)
    try:
        single = run.config.with_shapes(alone).make_head()
        single.load_state_dict(run.head.state_dict())
    except (RequestError, RuntimeError):  # refused as it is built, or as it takes the weights
        built_for, given = (max(merge_steps(shape)[0] for shape in of) for of in (shapes, alone))
        raise RequestError(
            f"head '{run.config.head}' of run {run.path} takes {built_for} steps, no other number, "
            f"and a view has {given}: leave `views` out, or fit a head of any number, such as "
            "linear"
        ) from None
    return replace(run, head=single.eval())


def predict_views(
    head: Head, features: Features, rows: NDArray[np.int64], views: Views
) -> dict[str, Tensor]:
    """Return target to logits `[rows,classes]` whose softmax is the mean of that of the views.

    Views pass through the head some segments at a time, as many as evaluation takes in a batch.

    Args:
        head: built for one view.
        features: `(V, C)`, `(V, C, H, W)` or `(V, t, C, H, W)` a row; or of stores side by side,
            of which each has these views, `(V·t, ΣC, …)`.
        rows: which of them.
        views: V of them.
    """

    def each_alone(batch: Tensor) -> dict[str, Tensor]:
        _, channels, *size = merge_steps(tuple(batch.shape[1:]))
        logits = head(batch.reshape(len(batch) * views.count, -1, channels, *size))
        shape = (len(batch), views.count)
        return {t: mean_of_views(of.float().unflatten(0, shape)) for t, of in logits.items()}

    return predict(head, features, rows, each_alone)


def mean_of_views(logits: Tensor) -> Tensor:
    """Return the log of the mean softmax, `[B,classes]`, from logits `[B,V,classes]`.

    One view's logits stay as they are, to the bit: their softmax is the mean.
    """
    if logits.shape[1] == 1:
        return logits[:, 0]
    return logits.log_softmax(dim=2).logsumexp(dim=1) - math.log(logits.shape[1])

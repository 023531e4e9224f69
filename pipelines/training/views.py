"""Recognition by views: a head sees each view of a segment alone, and its softmaxes are averaged.

The usual test of clip networks, over K clips × M crops a segment. Such a test often has more
views than the training had, so a run may be judged on another store than its own: one of the
same recipe but for the number of clips or frames, and of crops.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat.errors import RequestError, StoreError
from egofeat.heads.fusion import AveragedHeads
from egofeat.heads.head import Head, merge_steps
from egofeat.heads.training.feed import Features
from egofeat.heads.training.trainer import evaluation_feed
from egofeat.pipelines.training.run import Places, listed, make_head, open_run_store
from egofeat.pipelines.training.run_config import sources
from egofeat.recipe import Recipe
from egofeat.store import Rows, open_store


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


def open_views(run: Path, config: Mapping[str, Any], store: Places | None, views: Views) -> Rows:
    """Open the store that a run is judged on by views: its own, or one of another number of them.

    Args:
        run: the run.
        config: what its config.yaml says.
        store: where the store lies, if not where the run's own did; of a run on several, each
            in the order of the config.
        views: that the store, or each of them, must have.

    Raises:
        RequestError: a store has other views, or as `open_run_store`.
        StoreError: a store's features differ in more than views, or as `open_run_store`.
    """
    trained_on = sources(config)
    places = listed(store) or [Path(source["store"]) for source in trained_on]
    if len(places) == len(trained_on):  # else refused below
        pairs = zip(trained_on, places, strict=True)
        accepted = [_accepted(run, source, place, views) for source, place in pairs]
        config = {**config, "stores": accepted}
    return open_run_store(run, config, store)


def _accepted(run: Path, source: Mapping[str, Any], place: Path, views: Views) -> Mapping[str, Any]:
    """Return the source as if the run had been trained on the store at `place`."""
    opened = open_store(place, source["tap"])
    there = Views.of(opened.recipe)
    if there is None:
        raise RequestError(
            f"--views averages over the clips and crops of a segment, and store {place} holds "
            f"{opened.recipe.plan.sampling}: leave --views out"
        )
    if there != views:
        raise RequestError(
            f"store {place} has {there} views a segment and --views asks for {views}: give --views "
            f"{there}, or name a store that has {views} with --store"
        )
    if opened.digest != source["store_digest"]:
        here, trained = (
            recipe.only(opened.tap).of_one_view()
            for recipe in (opened.recipe, Recipe.from_dict(source["recipe"]))
        )
        differing = [
            f"{name} {'absent' if value is None else value}, "
            f"not {'absent' if other is None else other}"
            for name, (value, other) in here.differences(trained).items()
        ]
        if differing:
            raise StoreError(
                f"store {place} and the one that run {run} was trained on differ in more than "
                f"their views ({'; '.join(differing)}): extract one as the run's was, with other "
                "--clips and --crops alone"
            )
    return {**source, "store_digest": opened.digest}


def head_of_a_view(
    run: Path, config: Mapping[str, Any], head: Head | AveragedHeads
) -> Head | AveragedHeads:
    """Return the same head, built for segments of one view, in evaluation mode.

    Raises:
        RequestError: its weights are those of another number of steps alone.
    """
    shapes = [source["feature_shape"] for source in sources(config)]
    alone = [
        {**source, "feature_shape": [1, *shape[1:]]}
        for source, shape in zip(sources(config), shapes, strict=True)
    ]
    try:
        single = make_head({**config, "stores": alone})
        single.load_state_dict(head.state_dict())
    except (RequestError, RuntimeError):  # refused as it is built, or as it takes the weights
        built_for = max(merge_steps(tuple(shape))[0] for shape in shapes)
        given = max(merge_steps(tuple(source["feature_shape"]))[0] for source in alone)
        raise RequestError(
            f"head '{config['head']}' of run {run} takes {built_for} steps, no other number, and "
            f"a view has {given}: leave --views out, or fit a head of any number, such as linear"
        ) from None
    return single.eval()


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
    feed = evaluation_feed(features, rows, device=next(head.parameters()).device)
    head.eval()
    parts: dict[str, list[Tensor]] = {target: [] for target in head.targets}
    with torch.inference_mode():
        for batch, _ in feed.batches(np.arange(len(rows))):
            _, channels, *size = merge_steps(tuple(batch.shape[1:]))
            each = batch.reshape(len(batch) * views.count, -1, channels, *size)
            for target, logits in head(each).items():
                of_views = logits.float().unflatten(0, (len(batch), views.count))
                parts[target].append(mean_of_views(of_views).cpu())
    return {target: torch.cat(values) for target, values in parts.items()}


def mean_of_views(logits: Tensor) -> Tensor:
    """Return the log of the mean softmax, `[B,classes]`, from logits `[B,V,classes]`.

    One view's logits stay as they are, to the bit: their softmax is the mean.
    """
    if logits.shape[1] == 1:
        return logits[:, 0]
    return logits.log_softmax(dim=2).logsumexp(dim=1) - math.log(logits.shape[1])

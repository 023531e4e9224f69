"""`egofeat predict`: what a trained head sees in whole videos that are in no data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from egofeat import console
from egofeat.device import choose_device
from egofeat.errors import WeightsError
from egofeat.extract.backbones import Backbone, load, spec_of
from egofeat.extract.decoding import passes_over
from egofeat.extract.extractor import extract
from egofeat.extract.sampling import Uniform
from egofeat.extract.shards import cut
from egofeat.extract.transforms import Transform
from egofeat.heads.metrics import top_pairs
from egofeat.pipelines.extract import ExtractConfig, machinery
from egofeat.pipelines.run import load_run
from egofeat.segments import Media, Segment
from egofeat.store import Failure, Recipe, ShardRows


@dataclass(frozen=True)
class Guess:
    """One class and how probable the head holds it, in [0, 1]."""

    name: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What the head sees in one video."""

    video: str
    targets: Mapping[str, list[Guess]]
    """Target to its most probable classes, the first first."""


@dataclass(frozen=True)
class Predictions:
    """What was seen, and what could not be read."""

    predictions: list[Prediction]
    failures: dict[str, str]
    """Video to the reason why it could not be read."""

    def lines(self) -> list[str]:
        """The predictions for people."""
        said = []
        for prediction in self.predictions:
            said.append(prediction.video)
            for target, guesses in prediction.targets.items():
                ranked = ", ".join(f"{g.name} {100 * g.probability:.1f} %" for g in guesses)
                said.append(f"  {target}: {ranked}")
        return said + [f"{video} could not be read: {why}" for video, why in self.failures.items()]


@dataclass
class _Memory:
    """A sink that keeps rows where a store would write them."""

    tap: str
    features: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def write_shard(self, name: str, rows: ShardRows) -> None:
        self.features.update(zip(rows.ids, rows.taps[self.tap], strict=True))

    def record_failures(self, failures: list[Failure]) -> None:
        self.failures += failures


def predict(
    run: Path,
    videos: Sequence[Path],
    *,
    weights: str | None = None,
    device: str = "auto",
    top: int = 5,
) -> Predictions:
    """Extract features as the run's store did, and let the head name what it sees.

    Args:
        run: folder that `fit_head` made.
        videos: video files, each taken as one segment.
        weights: backbone weights file, where the store's were a user's own.
        device: where to run.
        top: classes to name a target.

    Raises:
        RequestError: no such run.
        WeightsError: the backbone's weights are not those of the run.
    """
    head, config = load_run(run)
    recipe = Recipe.from_dict(config["recipe"])
    backbone = _backbone_of(recipe, config["tap"], weights, device)
    segments = [Segment(id=str(path), video=str(path)) for path in dict.fromkeys(videos)]
    memory = _Memory(config["tap"])
    extract(
        passes_over(segments, {str(path): Media(path) for path in videos}),
        [shard for batch in cut(segments, recipe.row_bytes) for shard in batch.shards],
        backbone=backbone,
        plan=Uniform(recipe.plan["frames"]),
        transform=Transform.from_description(recipe.transform),
        dtype=recipe.dtype,
        sink=memory,
        machinery=machinery(ExtractConfig(decoder=recipe.decoder), backbone.device),
    )
    head = head.to(backbone.device)
    seen = []
    for segment in segments:
        if segment.id in memory.features:
            features = torch.from_numpy(memory.features[segment.id]).float()[None]
            with torch.inference_mode():
                logits = head(features.to(backbone.device))
            seen.append(Prediction(segment.id, _guesses(logits, config["classes"], top)))
    return Predictions(seen, {one.video: one.reason for one in memory.failures})


def _backbone_of(recipe: Recipe, tap: str, weights: str | None, device: str) -> Backbone:
    """The backbone that made a store, with the very weights."""
    if weights is None:
        digest = recipe.weights.removeprefix("sha256:")
        known = [w.name for w in spec_of(recipe.backbone).weights if digest.startswith(w.sha256)]
        known += [recipe.weights] if recipe.weights.startswith("random:") else []
        if not known:
            raise WeightsError(
                f"the run's features were made with weights of your own ({recipe.weights[:15]}…): "
                "name the file with --weights"
            )
        weights = known[0]
    backbone = load(
        recipe.backbone,
        weights=weights,
        taps=[tap],
        device=choose_device(device),
        precision=recipe.precision,
        note=console.note,
    )
    if backbone.weights != recipe.weights:
        raise WeightsError(
            f"the run's features were made with {recipe.backbone} weights {recipe.weights[:15]}…, "
            f"these are {backbone.weights[:15]}…: name the right file with --weights"
        )
    return backbone


def _guesses(
    logits: Mapping[str, Tensor], classes: Mapping[str, Sequence[str]], top: int
) -> dict[str, list[Guess]]:
    guesses = {}
    for target, values in logits.items():
        names = classes[target]
        best = values[0].softmax(dim=0).topk(min(top, len(names)))
        guesses[target] = [
            Guess(names[index], round(probability, 4))
            for probability, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
    if {"verb", "noun"} <= set(logits):
        pairs = top_pairs(logits["verb"], logits["noun"], top)[0].tolist()
        verb, noun = (logits[target][0].softmax(dim=0) for target in ("verb", "noun"))
        guesses["action"] = [
            Guess(f"{classes['verb'][v]} {classes['noun'][n]}", round(float(verb[v] * noun[n]), 4))
            for v, n in pairs
        ]
    return guesses

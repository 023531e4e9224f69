"""`egofeat predict`: what a trained head sees in whole videos that are in no data set."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from egofeat.adapters.videos import find_videos
from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.heads.added import blamed
from egofeat.heads.fusion import AveragedHeads, for_members
from egofeat.heads.head import Head
from egofeat.heads.measures.metrics import top_pairs
from egofeat.pipelines.extraction.in_memory import Maker, Memory, make_features, unread
from egofeat.pipelines.runs.rows import refuse_persons
from egofeat.pipelines.runs.run import Run, load_run
from egofeat.segments import Media, Segment


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

    @property
    def exit_code(self) -> int:
        """Of the command."""
        return int(bool(self.failures))

    def lines(self) -> list[str]:
        """The predictions for people."""
        said = []
        for prediction in self.predictions:
            said.append(prediction.video)
            for target, guesses in prediction.targets.items():
                ranked = ", ".join(f"{g.name} {100 * g.probability:.1f} %" for g in guesses)
                said.append(f"  {target}: {ranked}")
        return said + [unread(video, why) for video, why in self.failures.items()]


def predict(
    run: Path,
    videos: Sequence[Path],
    *,
    weights: str | Sequence[str] | None = None,
    device: str = "auto",
    top: int = 5,
    fps: float | None = None,
) -> Predictions:
    """Extract features as the run's stores did, and let the head name what it sees.

    Videos are decoded once for each store.

    Args:
        run: folder that `fit_head` made.
        videos: files, frames, or folders of them; each video is taken as one segment.
        weights: backbone weights file, where the store's were a user's own; of a run on
            several stores, one a store.
        device: where to run.
        top: classes to name a target.
        fps: frames per second of frames.

    Raises:
        RequestError: no such run, one on persons, or more or fewer weights than it has stores.
        WeightsError: the backbone's weights are not those of the run.
    """
    loaded = load_run(run)
    refuse_persons(loaded)
    media = media_of(videos, fps)
    memories = features_of(loaded, media, weights, device)
    head = loaded.head.to(choose_device(device))
    seen = []
    for video in media:
        if all(video in memory.features for memory in memories):
            features = [torch.from_numpy(memory.features[video])[None] for memory in memories]
            logits = logits_of(head, features, choose_device(device))
            seen.append(Prediction(video, guesses_of(logits, loaded.config.classes, top)))
    failures = {one.video: one.reason for memory in memories for one in memory.failures}
    return Predictions(seen, failures)


def logits_of(
    head: Head | AveragedHeads, features: Sequence[Tensor], device: torch.device
) -> dict[str, Tensor]:
    """What the head gives for rows `[n, *row_shape]` of each store, target to `[n, classes]`."""
    with torch.inference_mode(), blamed(type(head.members[0])):
        pairs = zip(head.members, for_members(head, features), strict=True)
        return head.combine([member(block.to(device)) for member, block in pairs])


def media_of(paths: Iterable[Path], fps: float | None = None) -> dict[str, Media]:
    """Videos at paths by their own paths; a folder of videos stands for all of them.

    Raises:
        RequestError: a folder without videos, or frames without a rate.
    """
    return {str(video): of for path in paths for video, of in find_videos(path, fps).items()}


def features_of(
    run: Run, media: Mapping[str, Media], weights: str | Sequence[str] | None, device: str
) -> list[Memory]:
    """Features of whole videos, made as those of each store of a run, in one decode."""
    segments = [Segment(id=name, video=name) for name in media]
    return make_features(makers_of(run, weights, device), segments, media)


def makers_of(run: Run, weights: str | Sequence[str] | None, device: str) -> list[Maker]:
    """What makes features as each store of a run has them.

    Raises:
        RequestError: more or fewer weights than the run has stores.
        WeightsError: the backbone's weights are not those of the store.
    """
    pairs = zip(run.config.sources, weights_of_sources(run, weights), strict=True)
    return [Maker.of_store(source.recipe, source.tap, named, device) for source, named in pairs]


def weights_of_sources(run: Run, weights: str | Sequence[str] | None) -> Sequence[str | None]:
    """Return the named weights of each store of a run; one name stands for all.

    Raises:
        RequestError: more or fewer weights than the run has stores.
    """
    count = len(run.config.sources)
    given = [weights] if weights is None or isinstance(weights, str) else list(weights)
    if len(given) == 1:
        given *= count
    if len(given) != count:
        raise RequestError(
            f"run {run.path} was trained on {count} stores and {len(given)} weights are "
            "named: give `weights` once for each, in the order of its config.yaml"
        )
    return given


def guesses_of(
    logits: Mapping[str, Tensor], classes: Mapping[str, Sequence[str]], top: int
) -> dict[str, list[Guess]]:
    """Most probable classes of each target for one segment, of logits `[1, classes]`."""
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

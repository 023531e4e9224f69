"""What a run's head sees in one video, stretch after stretch, as what is drawn over its frames."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat.errors import RequestError
from egofeat.heads.fusion import AveragedHeads
from egofeat.heads.head import Head
from egofeat.pipelines.annotated.captions import Label, Tag
from egofeat.pipelines.annotated.people import People
from egofeat.pipelines.annotated.video import TimedTags
from egofeat.pipelines.extraction.in_memory import Maker, PersonFeatures, Watched, make_features
from egofeat.pipelines.training.predict import guesses_of, logits_of
from egofeat.segments import Segment
from egofeat.store.reading.persons import with_neighbours

STRETCH = 30.0
"""Seconds of video that are known of at once: what is further on takes no memory yet."""


@dataclass(frozen=True, kw_only=True)
class Recogniser:
    """A run's head, and which labels of it are drawn how often."""

    head: Head | AveragedHeads
    classes: Mapping[str, Sequence[str]]
    every: float
    """Seconds from one key frame to the next, or of a stretch that is recognised."""
    threshold: float
    """Score that a label has at least."""
    top: int
    """Labels of a person, or of a target, at most."""
    device: torch.device

    def logits(self, rows: Sequence[NDArray[Any]]) -> dict[str, Tensor]:
        """Of the head, for an array `[n, …]` of each store that it was trained on."""
        return logits_of(self.head, [torch.from_numpy(one) for one in rows], self.device)


@dataclass
class Seen:
    """Counts of what has been seen so far."""

    moments: int = 0
    """Key frames, or stretches that were recognised."""
    persons: int | None = None
    """None where none were looked for."""
    labels: int = 0
    unread: dict[str, str] = field(default_factory=dict)
    """Stretch that could not be read to the reason."""


def person_tags(
    recogniser: Recogniser,
    video: Watched,
    people: People,
    features: PersonFeatures,
    others: int,
    seen: Seen,
) -> Iterator[TimedTags]:
    """Persons at key frames, each with what it does; its tags last around its key frame.

    Args:
        recogniser: of a run on persons.
        video: opened.
        people: who stands where.
        features: makes those of the persons.
        others: persons of the same key frame that the head sees beside each.
        seen: counts on.
    """
    seen.persons, half = 0, recogniser.every / 2
    for _, moments in groupby(people.moments, lambda moment: moment // STRETCH):
        wanted = list(moments)
        boxes = people.at(wanted)
        seen.moments += len(boxes)
        lost = {moment: "its frame cannot be decoded" for moment in wanted if moment not in boxes}
        there = {moment: of for moment, of in boxes.items() if len(of)}
        made, unread = features.at(video, there) if there else ({}, {})
        seen.unread |= {f"{moment:g} s": why for moment, why in (lost | unread).items()}
        for moment in filter(made.__contains__, there):
            of_moment = there[moment]
            logits = recogniser.logits([with_others(made[moment], of_moment.scores, others)])
            scores = torch.cat([of.sigmoid().cpu() for of in logits.values()], dim=1)
            tags = [
                Tag(_labels(of_person, [*logits], recogniser), tuple(corners))
                for corners, of_person in zip(of_moment.corners.tolist(), scores, strict=True)
            ]
            seen.persons += len(tags)
            seen.labels += sum(len(tag.labels) for tag in tags)
            yield TimedTags(moment - half, moment + half, tuple(tags))


def _labels(scores: Tensor, targets: Sequence[str], recogniser: Recogniser) -> tuple[Label, ...]:
    """The highest of the scores `[C]` of all targets' classes, side by side."""
    names = [name for target in targets for name in recogniser.classes[target]]
    best = scores.argsort(descending=True, stable=True)[: recogniser.top].tolist()
    labels = (Label(names[number], float(scores[number])) for number in best)
    return tuple(label for label in labels if label.score >= recogniser.threshold)


def with_others(features: NDArray[Any], scores: NDArray[np.float32], others: int) -> NDArray[Any]:
    """Each person with the others of its key frame, `[n, …]` to `[n, 1 + others, …]`.

    As a store of persons is read for heads: the most confident first, zeros where there are fewer.
    """
    numbers = with_neighbours(np.zeros(len(features), np.int64), scores, others)
    nobody = np.zeros((1, *features.shape[1:]), features.dtype)
    together: NDArray[Any] = np.concatenate([features, nobody])[numbers]
    return together


def clip_tags(
    recogniser: Recogniser, video: Watched, stop: float, makers: Sequence[Maker], seen: Seen
) -> Iterator[TimedTags]:
    """Stretches of video, each with what is recognised in it.

    Args:
        recogniser: of a run on segments.
        video: opened.
        stop: second at which it ends, exclusive.
        makers: of the features of each store of the run.
        seen: counts on.

    Raises:
        RequestError: not one of the first stretches can be read.
    """
    name = str(video.path)
    at_once = max(1, int(STRETCH / recogniser.every))
    edges = stretch_edges(stop, recogniser.every)
    for first in range(0, len(edges) - 1, at_once):
        segments = [
            Segment(f"{start:.2f} to {end:.2f} s", name, start, end)
            for start, end in pairwise(edges[first : first + at_once + 1])
        ]
        memories = make_features(makers, segments, {name: video})
        for memory in memories:
            seen.unread.update({one.id: one.reason for one in memory.failures})
        read = [segment for segment in segments if segment.id not in seen.unread]
        if not first and not read:
            reason = next(iter(seen.unread.values()))
            raise RequestError(f"{name} could not be read: {reason}")
        for segment in read:
            rows = [memory.features[segment.id][np.newaxis] for memory in memories]
            guesses = guesses_of(recogniser.logits(rows), recogniser.classes, recogniser.top)
            labels = tuple(
                Label(f"{target}: {one.name}" if len(guesses) > 1 else one.name, one.probability)
                for target, of_target in guesses.items()
                for one in of_target
                if one.probability >= recogniser.threshold
            )
            seen.moments += 1
            seen.labels += len(labels)
            yield TimedTags(segment.start, segment.stop, (Tag(labels),))


def stretch_edges(stop: float, every: float) -> list[float]:
    """Seconds between which a video is cut; what is left over stands alone from half a cut on."""
    edges = [round(number * every, 6) for number in range(int(np.ceil(stop / every)))]
    if len(edges) > 1 and stop - edges[-1] < every / 2:
        edges.pop()
    return [*edges, stop]

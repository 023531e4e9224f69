"""What a run's head sees in one video, stretch after stretch, as what is drawn over its frames."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from egofeat.boxes import Boxes
from egofeat.errors import RequestError
from egofeat.heads.fusion import AveragedHeads
from egofeat.heads.head import Head
from egofeat.pipelines.annotated.captions import Label, Tag
from egofeat.pipelines.annotated.people import People
from egofeat.pipelines.annotated.video import Scene
from egofeat.pipelines.extraction.in_memory import Maker, Watched, make_features
from egofeat.pipelines.extraction.roi_in_memory import PersonFeatures
from egofeat.pipelines.training.predict import guesses_of, logits_of
from egofeat.segments import Segment
from egofeat.store.reading.neighbours import company

STRETCH = 30.0
"""Seconds of video that are known of at once: what is further on takes no memory yet."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which labels are drawn, and how often they are made."""

    every: float
    """Seconds from one key frame to the next, or of a stretch that is recognised."""
    threshold: float
    """Score that a label has at least."""
    top: int
    """Labels of a person, or of a target, at most."""


@dataclass
class Seen:
    """What has been seen so far."""

    moments: int = 0
    """Key frames, or stretches that were recognised."""
    persons: int | None = None
    """None where none were looked for."""
    labels: int = 0
    unread: dict[str, str] = field(default_factory=dict)
    """Stretch that could not be read to the reason."""


@dataclass(frozen=True, kw_only=True)
class PersonScenes:
    """Persons at key frames, each with what it does; a scene holds around its key frame."""

    head: Head | AveragedHeads
    classes: Mapping[str, Sequence[str]]
    features: PersonFeatures
    others: int
    """Persons of the same key frame that the head sees beside each."""
    people: People
    video: Watched
    choice: Choice
    device: torch.device
    seen: Seen = field(default_factory=Seen)

    def __iter__(self) -> Iterator[Scene]:
        self.seen.persons = 0
        for _, moments in groupby(self.people.moments, lambda moment: moment // STRETCH):
            wanted = list(moments)
            boxes = self.people.at(wanted)
            self.seen.moments += len(boxes)
            lost = [f"{moment:g} s" for moment in wanted if moment not in boxes]
            self.seen.unread.update(dict.fromkeys(lost, "its frame cannot be decoded"))
            there = {moment: of for moment, of in boxes.items() if len(of)}
            if not there:
                continue
            features, unread = self.features.at(self.video, there)
            self.seen.unread.update({f"{moment:g} s": why for moment, why in unread.items()})
            half = self.choice.every / 2
            for moment, of_moment in there.items():
                if moment not in features:
                    continue
                rows = beside(features[moment], of_moment.scores, self.others)
                logits = logits_of(self.head, [torch.from_numpy(rows)], self.device)
                scores = {target: of.sigmoid().cpu().numpy() for target, of in logits.items()}
                yield Scene(moment - half, moment + half, self._tags(of_moment, scores))

    def _tags(self, boxes: Boxes, scores: Mapping[str, NDArray[np.float32]]) -> tuple[Tag, ...]:
        names = [name for target in scores for name in self.classes[target]]
        of_all = np.concatenate(list(scores.values()), axis=1)
        tags = []
        for corners, of_person in zip(boxes.corners, of_all, strict=True):
            best = np.argsort(-of_person, kind="stable")[: self.choice.top]
            labels = tuple(
                Label(names[number], float(of_person[number]))
                for number in best
                if of_person[number] >= self.choice.threshold
            )
            left, top, right, bottom = corners.tolist()
            tags.append(Tag(labels, (left, top, right, bottom)))
            self.seen.labels += len(labels)
        self.seen.persons = (self.seen.persons or 0) + len(tags)
        return tuple(tags)


def beside(features: NDArray[Any], scores: NDArray[np.float32], others: int) -> NDArray[Any]:
    """Each person with the others of its key frame, `[n, …]` to `[n, 1 + others, …]`.

    As a store of persons is read for heads: the most confident first, zeros where there are fewer.
    """
    numbers = company(np.zeros(len(features), np.int64), scores, others)
    nobody = np.zeros((1, *features.shape[1:]), features.dtype)
    together: NDArray[Any] = np.concatenate([features, nobody])[numbers]
    return together


@dataclass(frozen=True, kw_only=True)
class ClipScenes:
    """Stretches of video, each with what is recognised in it."""

    head: Head | AveragedHeads
    classes: Mapping[str, Sequence[str]]
    makers: Sequence[Maker]
    """Of the features of each store of the run."""
    stop: float
    """Second at which the video ends, exclusive."""
    video: Watched
    choice: Choice
    device: torch.device
    seen: Seen = field(default_factory=Seen)

    def __iter__(self) -> Iterator[Scene]:
        video = str(self.video.path)
        at_once = max(1, int(STRETCH / self.choice.every))
        edges = stretch_edges(self.stop, self.choice.every)
        for first in range(0, len(edges) - 1, at_once):
            inner = edges[first : first + at_once + 1]
            segments = [
                Segment(f"{start:.2f} to {stop:.2f} s", video, start, stop)
                for start, stop in pairwise(inner)
            ]
            memories = make_features(self.makers, segments, {video: self.video})
            for memory in memories:
                self.seen.unread.update({one.id: one.reason for one in memory.failures})
            read = [s for s in segments if s.id not in self.seen.unread]
            if not first and not read:
                reason = next(iter(self.seen.unread.values()))
                raise RequestError(f"{video} could not be read: {reason}")
            for segment in read:
                rows = [torch.from_numpy(memory.features[segment.id])[None] for memory in memories]
                tag = self._tag(logits_of(self.head, rows, self.device))
                yield Scene(segment.start, segment.stop, (tag,))

    def _tag(self, logits: Mapping[str, torch.Tensor]) -> Tag:
        guesses = guesses_of(logits, self.classes, self.choice.top)
        labels = tuple(
            Label(f"{target}: {guess.name}" if len(guesses) > 1 else guess.name, guess.probability)
            for target, of_target in guesses.items()
            for guess in of_target
            if guess.probability >= self.choice.threshold
        )
        self.seen.moments += 1
        self.seen.labels += len(labels)
        return Tag(labels)


def stretch_edges(stop: float, every: float) -> list[float]:
    """Seconds between which a video is cut; what is left over stands alone from half a cut on."""
    edges = [round(number * every, 6) for number in range(int(np.ceil(stop / every)))]
    if len(edges) > 1 and stop - edges[-1] < every / 2:
        edges.pop()
    return [*edges, stop]

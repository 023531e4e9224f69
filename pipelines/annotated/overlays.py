"""What is seen in one video, stretch after stretch, as what is drawn over its frames."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby, pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egofeat.errors import RequestError
from egofeat.extract.video import FrameSource
from egofeat.pipelines.annotated.captions import Label, Tag
from egofeat.pipelines.annotated.options import AnnotateConfig
from egofeat.pipelines.annotated.people import detect_people, load_detector, read_people
from egofeat.pipelines.annotated.seers import Seer
from egofeat.pipelines.annotated.video import TimedTags
from egofeat.pipelines.extraction.in_memory import (
    PersonFeatures,
    Watched,
    make_features,
    unread,
)
from egofeat.pipelines.training.predict import guesses_of
from egofeat.segments import Media, Segment
from egofeat.store.reading.persons import with_neighbours

STRETCH = 30.0
"""Seconds of video that are known of at once: what is further on takes no memory yet."""


class Recogniser(ABC):
    """A head or a published classifier at work on one video; counts what it has seen so far.

    Args:
        seer: who sees.
        config: what is asked for.
        video: opened.
        media: where it is.
        opened: closes what is opened beside it.
    """

    usual_every: ClassVar[float]
    """Seconds from one key frame to the next, or of a stretch, unless asked for."""
    usual_threshold: ClassVar[float]
    """Score that a label has at least, unless asked for."""

    def __init__(
        self,
        seer: Seer,
        config: AnnotateConfig,
        video: FrameSource,
        media: Media,
        opened: ExitStack,
    ) -> None:
        self.seer, self.stop, self.top = seer, video.stop, config.top
        self.video = opened.enter_context(Watched(video, media))
        self.every = config.every or self.usual_every
        asked = config.threshold
        self.threshold = self.usual_threshold if asked is None else asked
        self.moments = self.labels = 0
        """Key frames, or stretches that were recognised; and what was told of them."""
        self.persons: int | None = None
        """None where none are looked for."""
        self.unread: dict[str, str] = {}
        """Stretch that could not be read to the reason."""

    @abstractmethod
    def timed_tags(self) -> Iterator[TimedTags]:
        """What is seen, in the order of time."""

    def told(self, labels: Sequence[Label]) -> tuple[Label, ...]:
        """Those that are sure enough; they are counted."""
        sure = tuple(label for label in labels if label.score >= self.threshold)
        self.labels += len(sure)
        return sure


class PersonRecogniser(Recogniser):
    """Persons at key frames, each with what it does; its tags last around its key frame."""

    usual_every = 1.0
    usual_threshold = 0.3

    def __init__(
        self,
        seer: Seer,
        config: AnnotateConfig,
        video: FrameSource,
        media: Media,
        opened: ExitStack,
    ) -> None:
        super().__init__(seer, config, video, media, opened)
        self.persons, name = 0, media.path.name if media.path.is_dir() else media.path.stem
        if config.boxes:
            self._people = read_people(config.boxes, name, video.stop, self.every, config.min_score)
        else:
            detector = load_detector(config.min_score, config.device)
            # Of its own: the frames that are written are read at the same time.
            alone = opened.enter_context(video.again())
            self._people = detect_people(detector, alone, self.every)
        (maker,) = seer.makers  # persons are never joined
        self._features = PersonFeatures(maker)

    def timed_tags(self) -> Iterator[TimedTags]:
        """See `Recogniser.timed_tags`."""
        for _, moments in groupby(self._people.moments, lambda moment: moment // STRETCH):
            wanted = list(moments)
            boxes = self._people.at(wanted)
            self.moments += len(boxes)
            lost = {m: "its frame cannot be decoded" for m in wanted if m not in boxes}
            there = {moment: of for moment, of in boxes.items() if len(of)}
            made, unread = self._features.at(self.video, there) if there else ({}, {})
            self.unread |= {f"{moment:g} s": why for moment, why in (lost | unread).items()}
            for moment in filter(made.__contains__, there):
                of = there[moment]
                scores = self._scores(made[moment], of.scores)
                corners = map(tuple, of.corners.tolist())
                labels = map(self._labels, scores)
                tags = tuple(map(Tag, labels, corners))
                self.persons = (self.persons or 0) + len(tags)
                yield TimedTags(moment - self.every / 2, moment + self.every / 2, tags)

    def _scores(self, features: NDArray[Any], sureness: NDArray[np.float32]) -> Tensor:
        """Scores `[n,C]` of all targets' classes side by side, of the persons of a key frame.

        As a store of persons is read for heads: each with the others of its key frame, the most
        confident first, zeros where there are fewer.
        """
        numbers = with_neighbours(np.zeros(len(features), np.int64), sureness, self.seer.others)
        nobody = np.zeros((1, *features.shape[1:]), features.dtype)
        logits = self.seer.logits([np.concatenate([features, nobody])[numbers]])
        of_targets = [logits[target].sigmoid().cpu() for target in self.seer.classes]
        return torch.cat(of_targets, dim=1)

    def _labels(self, scores: Tensor) -> tuple[Label, ...]:
        """The highest of the scores `[C]` of one person."""
        names = [name for names in self.seer.classes.values() for name in names]
        best = scores.argsort(descending=True, stable=True)[: self.top].tolist()
        return self.told([Label(names[number], float(scores[number])) for number in best])


class StretchRecogniser(Recogniser):
    """Stretches of video, each with what is recognised in it."""

    usual_every = 3.0
    usual_threshold = 0.0

    def timed_tags(self) -> Iterator[TimedTags]:
        """See `Recogniser.timed_tags`.

        Raises:
            RequestError: not one of the first stretches can be read.
        """
        name = str(self.video.path)
        at_once = max(1, int(STRETCH / self.every))
        edges = stretch_edges(self.stop, self.every)
        for first in range(0, len(edges) - 1, at_once):
            segments = [
                Segment(f"{start:.2f} to {end:.2f} s", name, start, end)
                for start, end in pairwise(edges[first : first + at_once + 1])
            ]
            memories = make_features(self.seer.makers, segments, {name: self.video})
            for memory in memories:
                self.unread.update({one.id: one.reason for one in memory.failures})
            read = [segment for segment in segments if segment.id not in self.unread]
            if not first and not read:
                reason = next(iter(self.unread.values()))
                raise RequestError(unread(name, reason))
            for segment in read:
                self.moments += 1
                labels = self._labels([memory.features[segment.id] for memory in memories])
                yield TimedTags(segment.start, segment.stop, (Tag(labels),))

    def _labels(self, features: Sequence[NDArray[Any]]) -> tuple[Label, ...]:
        """The most probable classes of each target of one stretch."""
        logits = self.seer.logits([row[np.newaxis] for row in features])
        guesses = guesses_of(logits, self.seer.classes, self.top)
        of = {target: f"{target}: " if len(guesses) > 1 else "" for target in guesses}
        return self.told(
            [
                Label(f"{of[target]}{guess.name}", guess.probability)
                for target, of_target in guesses.items()
                for guess in of_target
            ]
        )


def stretch_edges(stop: float, every: float) -> list[float]:
    """Seconds between which a video is cut; what is left over stands alone from half a cut on."""
    edges = [round(number * every, 6) for number in range(int(np.ceil(stop / every)))]
    if len(edges) > 1 and stop - edges[-1] < every / 2:
        edges.pop()
    return [*edges, stop]

"""Features in memory, made as those of a store are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from egofeat.boxes import Boxes
from egofeat.errors import MediaError
from egofeat.extract.backbones import Backbone
from egofeat.extract.decoding.threads import decoding_threads
from egofeat.extract.extractor import extract
from egofeat.extract.roi import Persons
from egofeat.extract.task import Task
from egofeat.extract.units import all_units
from egofeat.extract.video import FrameSource, open_video
from egofeat.extract.video.pyav_source import PyavSource
from egofeat.pipelines.extraction.recipe_weights import backbone_of
from egofeat.recipe import Recipe
from egofeat.segments import Media, Segment
from egofeat.store import Failure, ShardRows


@dataclass
class Memory:
    """A sink that keeps rows where a store would write them."""

    tap: str
    features: dict[str, NDArray[Any]] = field(default_factory=dict)
    """Id of a segment to its row, or to its rows `[n, …]` where it has a number of its own."""
    failures: list[Failure] = field(default_factory=list)
    scratch: None = None

    def write_shard(self, name: str, rows: ShardRows) -> None:
        """Keep the rows of one shard."""
        of_tap = rows.taps[self.tap]
        features = of_tap if rows.offsets is None else np.split(of_tap, rows.offsets[1:-1])
        self.features.update(zip(rows.ids, features, strict=True))

    def record_failures(self, failures: list[Failure]) -> None:
        """Keep what could not be read."""
        self.failures += failures


def unread(video: str, reason: str) -> str:
    """Why a video could not be read, as a sentence that names it once: most reasons do."""
    return reason if video in reason else f"{video} could not be read: {reason}"


@dataclass(frozen=True)
class Maker:
    """What makes features by a recipe: of a store of a run, or of a published classifier."""

    recipe: Recipe
    tap: str
    """Which of its taps."""
    backbone: Backbone
    """With that tap, or with the maps that persons are cut out of."""

    @classmethod
    def of_store(cls, recipe: Recipe, tap: str, weights: str | None, device: str) -> Self:
        """Make features as one store of a run has them.

        Args:
            recipe: of the store.
            tap: which of its taps.
            weights: backbone weights file, where the store's were a user's own.
            device: where to run.

        Raises:
            WeightsError: the backbone's weights are not those of the store.
        """
        taps = recipe.roi.maps if recipe.roi else [tap]
        return cls(recipe, tap, backbone_of(recipe, taps, weights, device))


class Watched:
    """One video of which features are made again and again: opened once for each decoder.

    Args:
        source: the video, opened by PyAV where it is a file; its index is that of all who read
            it so.
        media: where it is, and the rate of frames; by default the source's file.
    """

    def __init__(self, source: FrameSource, media: Media | None = None) -> None:
        self.path = source.path
        self._first, self._media = source, media or Media(source.path)
        self._opened: dict[str, FrameSource] = {}

    def by(self, decoder: str) -> Media | FrameSource:
        """It, opened; or where it is, if the decoder does not open it and is to say why."""
        if decoder not in self._opened:
            try:
                # No decoder is asked for images.
                alike = decoder == "pyav" or not isinstance(self._first, PyavSource)
                self._opened[decoder] = (
                    self._first.again() if alike else open_video(self._media, decoder)
                )
            except MediaError:
                return self._media
        return self._opened[decoder]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for source in self._opened.values():
            source.close()


def make_features(
    makers: Sequence[Maker],
    segments: Sequence[Segment],
    media: Mapping[str, Media | Watched],
    persons: Persons | None = None,
) -> list[Memory]:
    """Features of segments by each maker; those of one decoder share one decode.

    Args:
        makers: one a store.
        segments: of any videos.
        media: name of a video, as segments have it, to what it is, or to itself, opened.
        persons: whose features are made, by makers of persons.
    """
    memories = [Memory(maker.tap) for maker in makers]
    by_decoder: dict[str, list[Task]] = {}
    for maker, memory in zip(makers, memories, strict=True):
        task = Task(
            backbone=maker.backbone,
            recipe=maker.recipe,
            sink=memory,
            persons=persons,
        )
        by_decoder.setdefault(maker.recipe.decoder, []).append(task)
    for decoder, tasks in by_decoder.items():
        given = {
            name: one.by(decoder) if isinstance(one, Watched) else one
            for name, one in media.items()
        }
        units = all_units(segments, [task.recipe.row_bytes for task in tasks], given)
        extract(units, tasks, decoder=decoder, workers=decoding_threads())
    return memories


class PersonFeatures:
    """Makes features of persons, for any video.

    Args:
        maker: of persons.
    """

    def __init__(self, maker: Maker) -> None:
        self._maker = maker
        assert maker.recipe.roi  # of persons
        self._align = maker.recipe.roi

    def at(
        self, media: Watched, boxes: Mapping[float, Boxes]
    ) -> tuple[dict[float, NDArray[Any]], dict[float, str]]:
        """Features of the persons at each moment, `[n, *row_shape]` in the order of the boxes.

        Args:
            media: the video, opened.
            boxes: second of the video to who is there; moments without boxes are left out.

        Returns:
            Moment to features, and moment to the reason where it could not be read.
        """
        moments = {repr(moment): moment for moment, of in boxes.items() if len(of)}
        video = str(media.path)
        segments = [Segment(id_, video, moment) for id_, moment in moments.items()]
        there = {id_: boxes[moment] for id_, moment in moments.items()}
        persons = Persons(there, self._align, (self._maker.tap,))
        (memory,) = make_features([self._maker], segments, {video: media}, persons)
        return (
            {moments[id_]: rows for id_, rows in memory.features.items()},
            {moments[one.id]: one.reason for one in memory.failures},
        )

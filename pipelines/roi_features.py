"""Features of persons at moments of one video, in memory, as those of a store were made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.boxes import Boxes
from egofeat.extract.backbones import Backbone
from egofeat.extract.decoding import passes_over
from egofeat.extract.extractor import Task, extract
from egofeat.extract.roi import Persons, RoiAlign
from egofeat.extract.sampling import plan_from_description
from egofeat.extract.shards import cut
from egofeat.extract.transforms import Transform
from egofeat.pipelines.extract import decoding_threads, suiting_batch
from egofeat.pipelines.official import backbone_of
from egofeat.segments import Media, Segment
from egofeat.store import Failure, Recipe, ShardRows


@dataclass
class _Memory:
    """A sink that keeps the rows of each moment where a store would write them."""

    tap: str
    features: dict[str, NDArray[Any]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def write_shard(self, name: str, rows: ShardRows) -> None:
        """Keep the rows of one shard."""
        assert rows.offsets is not None
        stretches = np.split(rows.taps[self.tap], rows.offsets[1:-1])
        self.features.update(zip(rows.ids, stretches, strict=True))

    def record_failures(self, failures: list[Failure]) -> None:
        """Keep what could not be read."""
        self.failures += failures


class PersonFeatures:
    """Makes features of persons as a store of persons has them, for any video.

    Args:
        source: of a run: `recipe` and `tap` of its store.
        weights: backbone weights file, where the store's were a user's own.
        device: where to run.

    Raises:
        WeightsError: the backbone's weights are not those of the store.
    """

    def __init__(
        self, source: Mapping[str, Any], weights: str | None = None, device: str = "auto"
    ) -> None:
        self._recipe = Recipe.from_dict(source["recipe"])
        self._tap: str = source["tap"]
        self._align = RoiAlign.from_description(self._recipe.transform["roi"])
        self._backbone: Backbone = backbone_of(
            self._recipe, list(self._align.maps), weights, device
        )
        self._plan = plan_from_description(self._recipe.plan)
        self._transform = Transform.from_description(self._recipe.transform)

    def at(
        self, media: Media, boxes: Mapping[float, Boxes]
    ) -> tuple[dict[float, NDArray[Any]], dict[float, str]]:
        """Features of the persons at each moment, `[n, *row_shape]` in the order of the boxes.

        Args:
            media: the video.
            boxes: second of the video to who is there; moments without boxes are left out.

        Returns:
            Moment to features, and moment to the reason where it could not be read.
        """
        moments = {repr(moment): moment for moment, of in boxes.items() if len(of)}
        video = str(media.path)
        segments = [Segment(id_, video, moment) for id_, moment in moments.items()]
        memory = _Memory(self._tap)
        task = Task(
            backbone=self._backbone,
            plan=self._plan,
            transform=self._transform,
            shards=[s for batch in cut(segments, self._recipe.row_bytes) for s in batch.shards],
            dtype=self._recipe.dtype,
            sink=memory,
            batch_size=suiting_batch(self._backbone.device, self._plan, self._transform),
            persons=Persons(
                {id_: boxes[moment] for id_, moment in moments.items()}, self._align, (self._tap,)
            ),
        )
        extract(
            passes_over([segments], {video: media}),
            [task],
            decoder=self._recipe.decoder,
            workers=decoding_threads(),
        )
        return (
            {moments[id_]: rows for id_, rows in memory.features.items()},
            {moments[one.id]: one.reason for one in memory.failures},
        )

"""Features of persons at moments of one video, in memory, as those of a store were made."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from egofeat.boxes import Boxes
from egofeat.extract.roi import Persons
from egofeat.pipelines.extraction.in_memory import Maker, Watched, make_features
from egofeat.segments import Segment


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
        self._maker = Maker(source, weights, device)
        assert self._maker.recipe.roi  # of a run on persons
        self._align = self._maker.recipe.roi

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

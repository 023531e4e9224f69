"""What is wanted of a data set, and the recipe of its numbers: all this needs no network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from egofeat import console
from egofeat.adapters.reading.box_files import Detections
from egofeat.manifest import load_manifest
from egofeat.pipelines.extraction.options import Storage
from egofeat.recipe import Plan, Recipe, Windows
from egofeat.segments import Dataset, Segment, Segments
from egofeat.store import Key

if TYPE_CHECKING:
    from egofeat.extract.roi import Persons


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Features of segments, by one recipe."""

    dataset: Dataset
    segments: Sequence[Segment]
    """Those that are wanted."""
    recipe: Recipe
    storage: Storage
    splits: tuple[str, ...] = ()
    """Those that were asked for; none: all."""
    persons: "Persons | None" = None
    """Whose features are kept, of the boxes of all wanted segments."""

    @property
    def store(self) -> Path:
        """The folder that the recipe names."""
        return self.storage.out / self.dataset.name / self.recipe.store_name

    @property
    def unit(self) -> str:
        """What segments are, for people."""
        return "key frames" if self.dataset.key_frames else "segments"

    def rows_of(self, segments: Sequence[Segment]) -> int:
        """Rows of segments, of which each has one but where persons are the rows."""
        if self.persons is None:
            return len(segments)
        return sum(len(self.persons.boxes[segment.id]) for segment in segments)

    @property
    def segment_bytes(self) -> int:
        """Bytes of a segment's features: the mean, where segments have several rows."""
        rows = self.rows_of(self.segments)
        return max(1, self.recipe.row_bytes * rows // max(1, len(self.segments)))


def choose_segments(
    dataset: Dataset,
    splits: Sequence[str],
    plan: Plan,
    found: Detections | None = None,
    only: frozenset[Key] | None = None,
) -> tuple[Dataset, Segments]:
    """The data set as the plan sees it, and which of its segments are wanted.

    Args:
        dataset: of the manifest.
        splits: that are asked for; none: all.
        plan: which frames are taken.
        found: boxes of persons, where only key frames with some are wanted.
        only: these at most.
    """
    segments = dataset.of_splits(splits)
    if isinstance(plan, Windows):
        dataset = dataset.whole_videos()
        videos = set(segments.videos.tolist())
        whole = Segments.of(dataset.segments)
        segments = whole.where(video in videos for video in whole.videos.tolist())
    if only is not None:
        segments = segments.where(key in only for key in segments.keys)
    if found:
        segments = segments.where(id_ in found.boxes for id_ in segments.ids.tolist())
    return dataset, segments


def read_dataset(manifest: Path, name: str | None) -> Dataset:
    """The data set that the manifest describes; what it lacks is said."""
    dataset = load_manifest(manifest).dataset(name)
    for remark in dataset.remarks:
        console.note(remark)
    return dataset

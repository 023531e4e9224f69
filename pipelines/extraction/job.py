"""An extraction, planned: what is wanted, and the recipe that its numbers are made by."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from egofeat import console
from egofeat.adapters.reading.box_files import Detections
from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.extract.backbones import Backbone, load, spec_of
from egofeat.extract.flow import choose_motion
from egofeat.extract.pooling import pooled_shapes
from egofeat.extract.roi import Persons
from egofeat.extract.sampling import KeyFrames, Plan, Windows
from egofeat.extract.transforms import Transform
from egofeat.manifest import load_manifest
from egofeat.pipelines.extraction.choices import (
    CLIP_OPTIONS,
    IMAGE_OPTIONS,
    check,
    check_transform,
    choose_plan,
    choose_transform,
)
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.pipelines.extraction.roi_options import (
    choose_align,
    choose_maps,
    choose_person_taps,
    find_boxes,
)
from egofeat.segments import Dataset, Segment
from egofeat.store import Key, Recipe


@dataclass(frozen=True, kw_only=True)
class Job:
    """An extraction by one backbone, planned. No video was opened."""

    config: ExtractConfig
    dataset: Dataset
    segments: tuple[Segment, ...]
    """Those that are wanted."""
    backbone: Backbone
    plan: Plan
    transform: Transform
    recipe: Recipe
    persons: Persons | None = None
    """Whose features are kept, of the boxes of all wanted segments."""

    @property
    def store(self) -> Path:
        """The folder that the recipe names."""
        return self.config.out / self.dataset.name / self.recipe.store_name

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


def plan_job(
    config: ExtractConfig, dataset: Dataset | None = None, only: frozenset[Key] | None = None
) -> Job:
    """Resolve the manifest, the weights and the recipe.

    Args:
        config: what the person chose.
        dataset: used in place of the manifest's.
        only: the segments that are wanted; None means all of the splits.

    Raises:
        RequestError: any choice that cannot be.
    """
    spec = spec_of(config.backbone)
    # What cannot be is refused before weights are looked for.
    check(config)
    check_transform(spec, config)
    motion = choose_motion(spec, config.motion, config.motion_values, console.note)
    if dataset is None:
        dataset = read_dataset(config.manifest, config.dataset)
    key_frames = dataset.key_frames
    plan = choose_plan(spec, config, key_frames=key_frames)
    found = find_boxes(config.roi, dataset) if config.roi else None
    dataset, segments = _wanted(dataset, config.splits, plan, found, only)
    backbone = load(
        config.backbone,
        weights=config.weights,
        taps=choose_maps(spec, config.roi) if config.roi else config.taps,
        device=choose_device(config.device),
        precision=config.precision,
        note=console.note,
    )
    transform = choose_transform(spec, config, backbone.official, motion)
    plan = choose_plan(spec, config, backbone.official, key_frames=key_frames)
    persons = None
    if config.roi and found and isinstance(plan, KeyFrames):
        plan = replace(plan, boxes=found.digest)
        align = choose_align(backbone, plan.view_frames, config.roi)
        persons = Persons(found.boxes, align, choose_person_taps(config.taps))
    return Job(
        config=config,
        dataset=dataset,
        segments=segments,
        backbone=backbone,
        plan=plan,
        transform=transform,
        recipe=_recipe(config, backbone, plan, transform, persons),
        persons=persons,
    )


def _wanted(
    dataset: Dataset,
    splits: Sequence[str],
    plan: Plan,
    found: Detections | None,
    only: frozenset[Key] | None,
) -> tuple[Dataset, tuple[Segment, ...]]:
    """The data set as the plan sees it, and which of its segments are wanted."""
    segments = dataset.of_splits(splits)
    if isinstance(plan, Windows):
        dataset = dataset.whole_videos()
        videos = {segment.video for segment in segments}
        segments = tuple(s for s in dataset.segments if s.video in videos)
    if only is not None:
        segments = tuple(s for s in segments if (s.id, s.start, s.stop) in only)
    if found:
        segments = tuple(s for s in segments if s.id in found.boxes)
    return dataset, segments


def _recipe(
    config: ExtractConfig,
    backbone: Backbone,
    plan: Plan,
    transform: Transform,
    persons: Persons | None,
) -> Recipe:
    described = transform.describe()
    shapes = backbone.tap_shapes(transform.crop, plan.view_frames)
    if persons:
        described["roi"] = persons.align.describe()
        shapes = {tap: persons.align.shapes(shapes)[tap] for tap in persons.taps}
    else:
        shapes = pooled_shapes(shapes, config.pool_grid, config.pool_time)
    return Recipe(
        backbone=config.backbone,
        weights=backbone.weights,
        transform=described,
        plan=plan.describe(),
        taps={tap: _row_shape(shape, plan, transform) for tap, shape in shapes.items()},
        dtype=config.dtype,
        precision=config.precision,
        decoder=config.decoder,
    )


def plan_jobs(configs: Sequence[ExtractConfig], dataset: Dataset | None = None) -> list[Job]:
    """Several jobs on one data set, which is read once; see `plan_job`."""
    if dataset is None:
        dataset = read_dataset(configs[0].manifest, configs[0].dataset)
    return [plan_job(config, dataset) for config in configs]


def together(jobs: Sequence[Job]) -> list[list[int]]:
    """Places of the jobs that can share one decode, group by group.

    They have one data set, read from the same media, one decoder and one device; and all are dense
    windows, whose segments are whole videos, or none is.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    media = [job.dataset.media for job in jobs]
    for place, job in enumerate(jobs):
        of = (job.dataset.name, media.index(media[place]), isinstance(job.plan, Windows))
        how = (job.recipe.decoder, job.backbone.device)
        groups.setdefault((*of, *how), []).append(place)
    return list(groups.values())


def for_each(
    config: ExtractConfig,
    backbones: Sequence[str],
    weights: Sequence[str] = (),
    taps: Sequence[tuple[str, ...]] = (),
) -> list[ExtractConfig]:
    """One config a backbone, which differ in nothing else.

    Args:
        config: what they share. Where image and clip networks go together, or networks of
            colours and of flow, each takes the options of its own kind.
        backbones: names, each once.
        weights: one for each backbone, or one for all; none means the config's own.
        taps: likewise.

    Raises:
        RequestError: a number of weights or taps that is neither.
    """
    for option, given in (("weights", weights), ("tap", taps)):
        if len(given) not in (0, 1, len(backbones)):
            raise RequestError(
                f"--{option} is given {len(given)} times for {len(backbones)} backbones: give one "
                "for all, or one for each in the same order"
            )
    if len(set(backbones)) < len(backbones):
        raise RequestError(f"--backbone names one twice: {', '.join(backbones)}")
    of_clips = [spec_of(name).clip is not None for name in backbones]
    of_flow = [spec_of(name).channels != 3 for name in backbones]
    configs = []
    for place, name in enumerate(backbones):
        own: dict[str, Any] = {"backbone": name}
        if weights:
            own["weights"] = weights[place % len(weights)]
        if taps:
            own["taps"] = taps[place % len(taps)]
        if len(set(of_clips)) > 1:
            own |= dict.fromkeys(IMAGE_OPTIONS if of_clips[place] else CLIP_OPTIONS)
            if config.windows is None and not of_clips[place]:
                own["fps"] = None
        if len(set(of_flow)) > 1 and of_flow[place] == (config.motion in ("none", "rgbdiff")):
            own |= {"motion": None, "motion_values": None}
        configs.append(replace(config, **own))
    return configs


def _row_shape(shape: tuple[int, ...], plan: Plan, transform: Transform) -> tuple[int, ...]:
    if isinstance(plan, Windows) or plan.flat:
        return shape
    return (plan.views * transform.crops, *shape)


def read_dataset(manifest: Path, name: str | None) -> Dataset:
    """The data set that the manifest describes; what it lacks is said."""
    dataset = load_manifest(manifest).dataset(name)
    for remark in dataset.remarks:
        console.note(remark)
    return dataset

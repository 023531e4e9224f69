"""From options, or from a recipe, to an extraction that is planned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from egofeat import console
from egofeat.adapters.reading.box_files import at_boxes
from egofeat.device import choose_device
from egofeat.extract.backbones import Backbone, load, spec_of
from egofeat.extract.decoding.threads import decoding_threads
from egofeat.extract.flow import choose_motion
from egofeat.extract.pooling import pooled_shapes
from egofeat.extract.roi import Persons
from egofeat.extract.video.fastest import choose_decoder
from egofeat.extract.video.opening import AUTO
from egofeat.extract.weights import files_of
from egofeat.pipelines.extraction.choices import (
    check,
    check_transform,
    choose_plan,
    choose_transform,
    transform_today,
)
from egofeat.pipelines.extraction.options import ExtractConfig, Numbers, Pixels, Storage
from egofeat.pipelines.extraction.roi_options import (
    align_of,
    choose_maps,
    choose_person_taps,
    find_boxes,
)
from egofeat.pipelines.extraction.wanted import Wanted, choose_segments, read_dataset
from egofeat.recipe import KeyFrames, Plan, Recipe, Transform, Windows
from egofeat.segments import Dataset, Segments
from egofeat.store import Key
from egofeat.store.description import begun


@dataclass(frozen=True, kw_only=True)
class Job(Wanted):
    """An extraction by one backbone, planned. No video was opened but to time decoders."""

    backbone: Backbone
    made_with: Mapping[str, str]
    """What the weights, and the boxes, were called: recorded, never compared."""

    @classmethod
    def of(
        cls,
        backbone: Backbone,
        plan: Plan,
        transform: Transform,
        numbers: Numbers,
        persons: Persons | None = None,
        **rest: Any,
    ) -> Self:
        """The job that makes features by these values, of options or of a recipe.

        Args:
            backbone: with the taps to keep, or the maps that persons are cut out of.
            plan: which frames are taken.
            transform: how they become the network's input.
            numbers: what is computed and kept.
            persons: whose features are kept.
            rest: the other fields.
        """
        shapes = backbone.tap_shapes(transform.crop, plan.view_frames)
        if persons:
            shapes = {tap: persons.align.shapes(shapes)[tap] for tap in persons.taps}
        else:
            shapes = pooled_shapes(shapes, transform.pool_grid, transform.pool_time)
        views = () if plan.flat else (plan.views * transform.crops,)
        recipe = Recipe(
            backbone=backbone.spec.name,
            weights=backbone.weights,
            transform=transform,
            plan=plan,
            taps={tap: (*views, *shape) for tap, shape in shapes.items()},
            roi=persons.align if persons else None,
            dtype=numbers.dtype,
            precision=backbone.precision,
            engine=backbone.engine,
            decoder=numbers.decoder,
            package=backbone.spec.package,
        )
        return cls(backbone=backbone, recipe=recipe, persons=persons, **rest)

    def by(self, decoder: str) -> "Job":
        """The same by another decoder."""
        return replace(self, recipe=replace(self.recipe, decoder=decoder))


def plan_job(
    config: ExtractConfig, dataset: Dataset | None = None, only: frozenset[Key] | None = None
) -> Job:
    """The job that options ask for.

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
    pixels = replace(config.group(Pixels), transform=check_transform(spec, config))
    motion = choose_motion(spec, config.motion, config.motion_values, console.note)
    if dataset is None:
        dataset = read_dataset(config.manifest, config.dataset)
    if config.roi and not dataset.key_frames and Path(config.roi.boxes).exists():
        dataset = at_boxes(dataset, Path(config.roi.boxes))
    key_frames = dataset.key_frames
    plan = choose_plan(spec, config, key_frames=key_frames)
    found = find_boxes(config.roi, dataset) if config.roi else None
    dataset, segments = choose_segments(dataset, config.splits, plan, found, only)
    backbone = load(
        config.backbone,
        weights=config.weights,
        taps=choose_maps(spec, config.roi) if config.roi else config.taps,
        device=choose_device(config.device),
        precision=config.precision,
        engine=config.engine,
        note=console.note,
        runs_here=not config.has_crew,
    )
    plan = choose_plan(spec, config, backbone.published, key_frames=key_frames)
    published = backbone.published if config.weights == "default" else None
    made_with = {"weights": published.name if published else config.weights}
    persons = None
    if config.roi and found and isinstance(plan, KeyFrames):
        plan = replace(plan, boxes=found.digest)
        align = align_of(backbone, config.weights, plan.view_frames, config.roi)
        persons = Persons(found.boxes, align, choose_person_taps(config.taps))
        made_with["boxes"] = config.roi.said
    job = Job.of(
        backbone,
        plan,
        choose_transform(spec, backbone.published, pixels, motion),
        config.group(Numbers),
        persons,
        dataset=dataset,
        segments=segments,
        storage=config.group(Storage),
        splits=config.splits,
        made_with=made_with,
    )
    return job.by(_decoder_of(job, config))


def _decoder_of(job: Job, config: ExtractConfig) -> str:
    """The decoder that is asked for; of `auto`, that of the store, or the fastest on its videos."""
    return choose_decoder(
        config.decoder,
        lambda decoder: begun(job.by(decoder).store),
        map(
            job.dataset.media.__getitem__, dict.fromkeys(Segments.of(job.segments).videos.tolist())
        ),
        config.workers or decoding_threads(),
        console.note,
    )


def plan_again(
    recipe: Recipe,
    weights: str,
    dataset: Dataset,
    only: frozenset[Key],
    storage: Storage,
    device: str,
) -> Job:
    """The job that makes a store's features as its recipe says, with what there is today.

    Args:
        recipe: of segments or windows.
        weights: what its weights are called.
        dataset: that it was extracted from.
        only: the segments that are wanted.
        storage: where features are kept.
        device: where the network runs.

    Raises:
        RequestError: what cannot be any more.
        WeightsError: the weights are not to be had.
    """
    dataset, segments = choose_segments(dataset, (), recipe.plan, None, only)
    backbone = load(
        recipe.backbone,
        weights=weights,
        taps=tuple(recipe.taps),
        device=choose_device(device),
        precision=recipe.precision,
        engine=recipe.engine,
        note=console.note,
    )
    return Job.of(
        backbone,
        recipe.plan,
        transform_today(backbone, recipe.transform),
        Numbers(
            dtype=recipe.dtype,
            precision=recipe.precision,
            engine=recipe.engine,
            decoder=recipe.decoder,
        ),
        dataset=dataset,
        segments=segments,
        storage=storage,
        made_with={"weights": weights},
    )


def plan_jobs(configs: Sequence[ExtractConfig], dataset: Dataset | None = None) -> list[Job]:
    """Several jobs on one data set, which is read once; see `plan_job`."""
    if dataset is None:
        dataset = read_dataset(configs[0].manifest, configs[0].dataset)
    first = plan_job(configs[0], dataset)
    chosen = [  # where the decoder is left open, it is one for all
        replace(one, decoder=first.recipe.decoder) if one.decoder == AUTO else one
        for one in configs[1:]
    ]
    return [first, *(plan_job(one, dataset) for one in chosen)]


def together(jobs: Sequence[Job]) -> list[list[int]]:
    """Places of the jobs that can share one decode, group by group.

    They have one data set, read from the same media, one decoder and one device; and all are dense
    windows, whose segments are whole videos, or none is.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    media = [job.dataset.media for job in jobs]
    for place, job in enumerate(jobs):
        of = (job.dataset.name, media.index(media[place]), isinstance(job.recipe.plan, Windows))
        how = (job.recipe.decoder, job.backbone.device)
        groups.setdefault((*of, *how), []).append(place)
    return list(groups.values())


def weights_files(config: ExtractConfig) -> list[Path] | None:
    """Where the weights of a backbone are looked for; None where more decides what it is."""
    spec = spec_of(config.backbone)
    if spec.package or spec.module:
        return None
    return files_of(config.weights, spec.weights) if spec.parameters else []

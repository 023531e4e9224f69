"""`egofeat reextract --from`: another backbone over the very segments of a store."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from egofeat import console
from egofeat.errors import ManifestError, RequestError
from egofeat.extract.backbones import spec_of
from egofeat.extract.shards import key_of
from egofeat.manifest import Manifest, load_manifest
from egofeat.pipelines.extraction.choices import for_each
from egofeat.pipelines.extraction.job import Job, plan_job
from egofeat.pipelines.extraction.options import ExtractConfig, ReextractConfig
from egofeat.recipe import Clips, Recipe, Uniform, Windows
from egofeat.segments import Dataset
from egofeat.store import Key, progress_of
from egofeat.store.description import Description
from egofeat.store.reading.opening import find_store


def swap(
    store: Path,
    backbones: Sequence[str],
    config: ReextractConfig,
    *,
    weights: Sequence[str] = (),
    taps: Sequence[tuple[str, ...]] = (),
) -> list[Job]:
    """Plan other backbones over the very segments of a store.

    Args:
        store: folder of the store to follow.
        backbones: names; their stores are made next to it.
        config: what else was chosen.
        weights: one for each backbone, or one for all; none means their default.
        taps: likewise.

    Raises:
        RequestError: what cannot be, or a data set that the manifest does not have.
        StoreError: there is no such store.
    """
    description = Description.read(path := find_store(store))
    refuse_imported(path, description.recipe)
    if description.recipe.of_persons:
        raise RequestError(
            f"{path} holds features of persons: give `egofeat roi` the other backbone, with their "
            "boxes"
        )
    only = progress_of(path).tried
    manifest = load_manifest(config.manifest)
    dataset = dataset_of(path, description, only, manifest, manifest.dataset)
    recipe, out = description.recipe, config.out or path.parent.parent
    shared = ExtractConfig(
        out=out,
        format=description.format,
        compress=description.compress,
        dtype=recipe.dtype,
        precision=recipe.precision,
        engine=recipe.engine,
        decoder=recipe.decoder,
        device=config.device,
    )
    return [
        plan_job(_like(recipe, own), dataset, only)
        for own in for_each(shared, backbones, weights, taps)
    ]


def refuse_imported(path: Path, recipe: Recipe) -> None:
    """Refuse a store whose features another program made.

    Raises:
        RequestError: it is one.
    """
    if recipe.imported:
        raise RequestError(
            f"{path} was imported, and no network here makes its features again: give `egofeat "
            "import` the new files, or `egofeat extract` the videos"
        )


def dataset_of(
    path: Path,
    description: Description,
    segments: Collection[Key],
    manifest: Manifest,
    read: Callable[[str], Dataset],
) -> Dataset:
    """The data set that a store was extracted from, by whichever entry reads it now.

    Several entries may read one data set: its colours and its shipped flow, at times that differ
    a little.

    Args:
        path: of the store.
        description: of it.
        segments: that it has, or failed at.
        manifest: with the entries.
        read: an entry's data set, by the entry's name.

    Raises:
        RequestError: no entry reads it, or none has any of its segments.
    """
    motion = description.recipe.transform.motion
    of_flow = motion is not None and motion.of_flow_frames
    names = manifest.entries_of(description.dataset)
    alike = [n for n in names if manifest.reads_flow(n) == of_flow] or list(names)
    found = []
    for name in alike:
        try:
            found.append(read(name))
        except ManifestError:
            if name == alike[-1] and not found:
                raise
    dataset = max(found, key=lambda one: len(_known(one).intersection(segments)))
    if segments and _known(dataset).isdisjoint(segments):
        raise RequestError(
            f"none of the segments of {path} is in the data set '{description.dataset}' as "
            f"{manifest.path} has it now: correct the manifest, or extract the store's features "
            "with `egofeat extract`"
        )
    return dataset


def _known(dataset: Dataset) -> set[Key]:
    """Segments that a store of a data set may have: its own, or whole videos."""
    return {key_of(s) for s in dataset.segments} | {(v, 0.0, math.inf) for v in dataset.media}


def lines_of(then: Recipe, now: Recipe) -> list[str]:
    """Fields of two recipes that differ, a line each: `field: then → now`."""
    return [
        f"{field}: {'none' if old is None else old} → {'none' if new is None else new}"
        for field, (old, new) in then.differences(now).items()
    ]


def _like(recipe: Recipe, config: ExtractConfig) -> ExtractConfig:
    """The old plan and transform, as far as another backbone can follow them."""
    spec = spec_of(config.backbone)
    both_images = spec.clip is None and spec_of(recipe.backbone).clip is None
    squashed = recipe.transform.resize == "squash"
    name = ("squash" if squashed else "weights") if both_images else spec.transform
    if name != "squash":
        then = recipe.transform
        config = replace(config, crops=then.crops, resize=then.arithmetic)
    config = replace(config, transform=name)
    match recipe.plan:
        case Windows(size, stride, fps):
            return replace(config, windows=size, stride=stride, fps=fps)
        case Uniform(frames) if spec.clip is None:
            return replace(config, frames=frames)
        case Clips(clips, rule=rule) if spec.clip is not None:
            return replace(config, clips=clips, clip_rule=rule or "ends")
    return config


def say_changes(old: Path, job: Job) -> None:
    """Tell a person, before work starts, what the new store has otherwise than the old one."""
    changes = lines_of(Description.read(find_store(old)).recipe, job.recipe)
    console.note("\n  ".join([f"{old}\n→ {job.store}", *changes]))

"""`egofeat reextract`: another backbone over what a store holds, or stale stores made anew."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from egofeat import console
from egofeat.errors import RequestError
from egofeat.extract.backbones import spec_of
from egofeat.extract.sampling import Clips, Uniform, Windows, plan_from_description
from egofeat.extract.video import decoder_version
from egofeat.manifest import load_manifest
from egofeat.pipelines.extract import run_jobs
from egofeat.pipelines.extract_reports import ExtractReport, JointReport
from egofeat.pipelines.job import ExtractConfig, Job, for_each, plan_job
from egofeat.store import Key, Recipe, is_superseded, standing, supersede
from egofeat.store.description import Description, find_stores


@dataclass(frozen=True, kw_only=True)
class ReextractConfig:
    """What a person can choose about a new extraction; the rest is the old one's."""

    manifest: Path = Path("data_manifest.yaml")
    out: Path | None = None
    """Folder of the feature stores; None means where the old one is."""
    device: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    retry_failed: bool = False


@dataclass(frozen=True, kw_only=True)
class Stale:
    """A store that would not be made so today."""

    path: Path
    job: Job
    changes: tuple[str, ...]
    """Why: a line a field, `field: then → now`; or that segments are missing."""


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
        backbones: names; their stores stand beside it.
        config: what else was chosen.
        weights: one for each backbone, or one for all; none means their default.
        taps: likewise.

    Raises:
        RequestError: what cannot be, or a data set that the manifest does not have.
        StoreError: there is no such store.
    """
    (path,) = _stores_at(store)
    description = Description.read(path)
    dataset = load_manifest(config.manifest).dataset(description.dataset)
    done, failures = standing(path)
    only = frozenset(done | {failure.key for failure in failures})
    shared = replace(
        _settings(path, description, config), transform=None, size=None, crops=1, weights="default"
    )
    return [
        plan_job(_like(description.recipe, own), dataset, only)
        for own in for_each(shared, backbones, weights, taps)
    ]


def stale_stores(dataset: str, config: ReextractConfig) -> list[Stale]:
    """The stores of a data set whose weights, transform or decoder are no longer what they were.

    A store that a killed refresh left unfinished is one of them.

    Args:
        dataset: entry of the manifest.
        config: what else was chosen.

    Raises:
        RequestError: there is no such entry, or no store of it.
    """
    known = load_manifest(config.manifest).dataset(dataset)
    folder = (config.out or Path("features")) / dataset
    families: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*/store.json")):
        families.setdefault(path.parent.name.split(".superseded-")[0], []).append(path.parent)
    if not families:
        raise RequestError(f"there is no store in {folder}: make one with `egofeat extract`")
    stale = []
    for paths in families.values():
        current = [path for path in paths if not is_superseded(path)]
        source = (current or paths)[-1]
        description = Description.read(source)
        wanted: set[Key] = set()
        for path in paths:
            done, failures = standing(path)
            wanted |= done | {failure.key for failure in failures}
        own = _again(description.recipe, _settings(source, description, config))
        job = plan_job(own, known, frozenset(wanted))
        if changes := _changes(description, job):
            stale.append(Stale(path=source, job=job, changes=tuple(changes)))
    return stale


def refresh(stale: Sequence[Stale]) -> JointReport:
    """Make stale stores anew, those that can share it in one decode; the old ones are set aside."""
    for one in stale:
        if one.job.store.exists() and _decoder_changed(Description.read(one.job.store)):
            supersede(one.job.store)
    reports = [run_jobs(group) for group in _alike([one.job for one in stale])]
    for one in stale:
        if one.path.exists() and one.path != one.job.store and not is_superseded(one.path):
            supersede(one.path)
    stores: tuple[ExtractReport, ...] = sum((report.stores for report in reports), ())
    return JointReport(
        stores=stores,
        decoded=sum(report.decoded for report in reports),
        seconds=sum(report.seconds for report in reports),
    )


def differences(then: Recipe, now: Recipe) -> list[str]:
    """Fields of two recipes that differ, a line each: `field: then → now`."""
    old, new = _flat(then), _flat(now)
    return [
        f"{field}: {old.get(field, 'none')} → {new.get(field, 'none')}"
        for field in sorted({*old, *new})
        if old.get(field) != new.get(field)
    ]


def _flat(recipe: Recipe) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in vars(recipe).items():
        if isinstance(value, dict):
            fields |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            fields[name] = value[:19] if name == "weights" else value
    return fields


def _changes(description: Description, job: Job) -> list[str]:
    changes = differences(description.recipe, job.recipe)
    if job.store.exists():
        now = Description.read(job.store)
        if _decoder_changed(now):
            current = decoder_version(job.config.decoder)
            changes.append(f"decoder: {now.made_with.get('decoder')} → {current}")
            return changes
        done, failures = standing(job.store)
        missing = {(s.id, s.start, s.stop) for s in job.segments} - done
        missing -= {failure.key for failure in failures}
        return [f"{len(missing)} segments are missing"] if missing else []
    return changes or ["the store is missing"]


def _decoder_changed(description: Description) -> bool:
    current = decoder_version(description.recipe.decoder)
    return description.made_with.get("decoder") != current


def _alike(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs in groups that can share a decode; those of one store are one."""
    groups: dict[tuple[bool, str], dict[Path, Job]] = {}
    for job in jobs:
        group = groups.setdefault((job.plan.flat, job.config.decoder), {})
        if job.store not in group or len(group[job.store].segments) < len(job.segments):
            group[job.store] = job
    return [list(group.values()) for group in groups.values()]


def _stores_at(path: Path) -> list[Path]:
    found = find_stores(path)
    if len(found) != 1:
        said = "several" if found else "no"
        raise RequestError(f"there are {said} feature stores at {path}: name one with --from")
    return found


def _settings(path: Path, description: Description, config: ReextractConfig) -> ExtractConfig:
    """What a new extraction shares with an old one, whatever its backbone."""
    recipe = description.recipe
    named = description.made_with.get("weights", "default")
    return ExtractConfig(
        backbone=recipe.backbone,
        dataset=description.dataset,
        manifest=config.manifest,
        out=config.out or path.parent.parent,
        weights=recipe.weights if recipe.weights.startswith("random") else named,
        dtype=recipe.dtype,
        precision=recipe.precision,
        decoder=recipe.decoder,
        format=description.format,
        compress=description.compress,
        device=config.device,
        batch_size=config.batch_size,
        workers=config.workers,
        retry_failed=config.retry_failed,
    )


def _like(recipe: Recipe, config: ExtractConfig) -> ExtractConfig:
    """The old plan and transform, as far as another backbone can follow them."""
    spec = spec_of(config.backbone)
    both_images = spec.clip is None and spec_of(recipe.backbone).clip is None
    squashed = recipe.transform["resize"] == "squash"
    name = ("squash" if squashed else "weights") if both_images else spec.transform
    crops = 1 if name == "squash" else recipe.transform["crops"]
    config = replace(config, transform=name, crops=crops)
    match plan_from_description(recipe.plan):
        case Windows(size, stride, fps):
            return replace(config, windows=size, stride=stride, fps=fps)
        case Uniform(frames) if spec.clip is None:
            return replace(config, frames=frames)
        case Clips(clips) if spec.clip is not None:
            return replace(config, clips=clips)
    return config


def _again(recipe: Recipe, config: ExtractConfig) -> ExtractConfig:
    """The same plan, transform and taps by the same backbone."""
    spec = spec_of(recipe.backbone)
    crop = recipe.transform["crop"]
    squashed = recipe.transform["resize"] == "squash"
    config = replace(
        config,
        taps=tuple(recipe.taps),
        transform="squash" if squashed else "weights",
        size=None if crop == (spec.squash_size if squashed else spec.size) else crop,
        crops=recipe.transform["crops"],
        pool_grid=recipe.transform.get("pool_grid"),
    )
    if motion := recipe.transform.get("motion"):
        config = replace(config, motion=motion["method"], motion_values=motion["values"])
    match plan_from_description(recipe.plan):
        case Uniform(frames):
            return replace(config, frames=frames)
        case Clips(clips, frames, _, fps):
            return replace(config, clips=clips, clip_frames=frames, fps=fps)
        case Windows(size, stride, fps, frames):
            clip_frames = frames if spec.clip else None
            return replace(config, windows=size, stride=stride, fps=fps, clip_frames=clip_frames)


def say_changes(old: Path, job: Job) -> None:
    """Tell a person, before work starts, what the new store has otherwise than the old one."""
    console.note(f"{old}\n→ {job.store}")
    for line in differences(Description.read(old).recipe, job.recipe):
        console.note(f"  {line}")

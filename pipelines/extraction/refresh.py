"""`egofeat reextract --all`: the stores of a data set that would not be made so today, made anew.

The new store is built aside, and takes its place when it has every segment of the old one,
which is then set aside in turn; so whatever instant the process is killed at, the features
that there were are still there under a name that heads read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeVar

from egofeat import console
from egofeat.errors import EgofeatError, RequestError
from egofeat.extract.shards import key_of
from egofeat.extract.video import decoder_version
from egofeat.manifest import Manifest, load_manifest
from egofeat.pipelines.extraction.extract import forecast_jobs, run_jobs
from egofeat.pipelines.extraction.job import Job, plan_again
from egofeat.pipelines.extraction.options import ReextractConfig, Storage
from egofeat.pipelines.extraction.recipe_weights import named_weights
from egofeat.pipelines.extraction.reextract import dataset_of, lines_of, refuse_imported
from egofeat.pipelines.extraction.reports import ExtractReport, Forecast, JointForecast, JointReport
from egofeat.pipelines.extraction.share import changed_videos
from egofeat.pipelines.options import Compute
from egofeat.segments import Dataset
from egofeat.store import begun, progress_of, supersede
from egofeat.store.description import Description, find_stores
from egofeat.store.files import sync
from egofeat.store.formats.sharing import share_shards
from egofeat.store.removal import is_shell, remove_store
from egofeat.words import counted

_Report = TypeVar("_Report", ExtractReport, Forecast)
_ASIDE = ".refresh"
"""Folder, beside the data sets' own, in which new stores are built."""


@dataclass(frozen=True, kw_only=True)
class Stale:
    """Stores that would be made otherwise today, into one and the same new one."""

    paths: tuple[Path, ...]
    target: Path
    """Where the new store will stand."""
    job: Job
    """That makes it: where it will stand if it is there already, else aside."""
    changes: tuple[str, ...]
    """Why: a line a field, `field: then → now`."""
    replaced: frozenset[str] = frozenset()
    """Videos whose file is another now, where nothing else changed: the features of the others
    are taken over."""

    def lines(self) -> list[str]:
        """What a person is told before work starts."""
        return [*map(str, self.paths), f"→ {self.target}", *(f"  {line}" for line in self.changes)]


def stale_stores(dataset: str, config: ReextractConfig) -> list[Stale]:
    """The stores of a data set whose weights, transform or decoder are no longer what they were.

    A store that cannot be made again, because its weights are gone, is said and left.

    Args:
        dataset: entry of the manifest.
        config: what else was chosen.

    Raises:
        RequestError: there is no such entry, or no store of it.
    """
    manifest = load_manifest(config.manifest)
    read = cache(manifest.dataset)
    read(dataset)  # which must be there
    out = config.out or Path("features")
    _finish_swaps(out, dataset)
    stores = find_stores(out / dataset)
    if not stores:
        raise RequestError(f"there is no store in {out / dataset}: make one with `egofeat extract`")
    stale: dict[Path, Stale] = {}
    for path in stores:
        try:
            one = _stale(path, manifest, read, config)
        except EgofeatError as error:
            console.note(f"{path} is left as it is: {error}")
            continue
        if one:
            stale[one.target] = _together(stale.get(one.target), one)
    return list(stale.values())


def refresh(stale: Sequence[Stale], compute: Compute) -> JointReport:
    """Make stale stores anew, those that can share it in one decode, and put them in place."""
    for one in stale:
        if one.replaced:
            _take_over(one)
    report = run_jobs([one.job for one in stale], compute)
    for one in stale:
        had = set().union(*(progress_of(path).done for path in one.paths))
        missing = had - progress_of(one.job.store).done
        if missing:
            console.note(
                f"{', '.join(map(str, one.paths))} stays in use: {len(missing)} of its segments "
                f"could not be extracted again; repair them and add `retry_failed`"
            )
        else:
            _swap(one)
    places = [one.job.store if begun(one.job.store) else one.target for one in stale]
    return replace(report, stores=_standing_at(report.stores, places))


def forecast(stale: Sequence[Stale], compute: Compute) -> JointForecast:
    """What `refresh` would do; the stores are named by where they will stand."""
    forecasts = forecast_jobs([one.job for one in stale], compute).stores
    return JointForecast(stores=_standing_at(forecasts, [one.target for one in stale]))


def _standing_at(reports: Sequence[_Report], places: Sequence[Path]) -> tuple[_Report, ...]:
    pairs = zip(reports, places, strict=True)
    return tuple(replace(report, store=str(place)) for report, place in pairs)


def _stale(
    path: Path, manifest: Manifest, read: Callable[[str], Dataset], config: ReextractConfig
) -> Stale | None:
    """How a store would be made today, where that is otherwise."""
    description = Description.read(path)
    held = progress_of(path)
    only = held.tried
    recipe, out = description.recipe, config.out or path.parent.parent
    refuse_imported(path, recipe)
    if recipe.of_persons:
        raise RequestError(
            "features of persons are extracted again by `egofeat roi`, with their boxes"
        )
    storage = Storage(out=out, format=description.format, compress=description.compress)
    dataset = dataset_of(path, description, only, manifest, read)
    weights = description.made_with["weights"]
    if not Path(weights).is_file():
        weights = named_weights(recipe) or weights
    job = plan_again(recipe, weights, dataset, only, storage, config.device)
    target = job.store
    changes = lines_of(recipe, job.recipe)
    if decoder := _decoder_change(description):
        changes.append(decoder)
    replaced: list[str] = []
    if not changes and (replaced := changed_videos(job, job.segments, held)):
        named = ", ".join(replaced[:3]) + (", …" if len(replaced) > 3 else "")
        changes.append(f"{counted(len(replaced), 'videos')} changed: {named}")
    if not changes:
        return None
    if replaced or not begun(target) or _decoder_change(Description.read(target)):
        job = replace(job, storage=replace(storage, out=out / _ASIDE))
    return Stale(
        paths=(path,),
        target=target,
        job=job,
        changes=tuple(changes),
        replaced=frozenset(replaced),
    )


def _take_over(one: Stale) -> None:
    """Give the new store the features of videos that are what they were."""
    renewed = {key_of(s) for s in one.job.segments if s.video in one.replaced}
    for path in one.paths:
        share_shards(path, one.job.store, lambda key: key not in renewed)


def _together(first: Stale | None, second: Stale) -> Stale:
    """Two old stores that become one: its segments are those of both."""
    if first is None:
        return second
    segments = {key_of(s): s for s in (*first.job.segments, *second.job.segments)}
    return replace(
        first,
        paths=first.paths + second.paths,
        job=replace(first.job, segments=tuple(segments.values())),
        changes=tuple(dict.fromkeys(first.changes + second.changes)),
        replaced=frozenset(),
    )


def _swap(one: Stale) -> None:
    if one.target in one.paths:  # the same recipe: the name must be free first
        supersede(one.target)
    if one.job.store != one.target:
        _move(one.job.store, one.target)
    for path in one.paths:
        if path != one.target:
            supersede(path)


def _finish_swaps(out: Path, dataset: str) -> None:
    """Put in place what a killed refresh had finished, and had made the name free for."""
    for built in find_stores(out / _ASIDE / dataset):
        target = out / dataset / built.name
        if not begun(target) and list(target.parent.glob(f"{built.name}.superseded-*")):
            _move(built, target)


def _move(built: Path, target: Path) -> None:
    if is_shell(target):
        remove_store(target)
    built.rename(target)
    sync(target.parent)
    sync(built.parent)


def _decoder_change(description: Description) -> str | None:
    then = description.made_with.get("decoder")
    now = decoder_version(description.recipe.decoder)
    return None if then == now else f"decoder: {then} → {now}"

"""`egofeat extract --dry-run`: what an extraction would do. Nothing is decoded, nothing written.

How long it would take is told by what runs before measured: `<out>/.rates.jsonl` has a line a run
and store. It is next to the stores and not in them: two runs of the same recipe leave the same
store, and never take the same time.
"""

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from egofeat.device import choose_device, device_name
from egofeat.extract.extractor import Tally, TaskTally
from egofeat.pipelines.crew import settled
from egofeat.pipelines.extraction.disk_room import (
    bytes_at_most,
    bytes_left,
    free_bytes,
    windows_of,
)
from egofeat.pipelines.extraction.job import Job, plan_job, together
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.pipelines.extraction.reports import Forecast, JointForecast
from egofeat.pipelines.extraction.share import Share, shares_of
from egofeat.pipelines.options import Compute
from egofeat.recipe import Windows
from egofeat.segments import Dataset

_RATES = ".rates.jsonl"


def forecast(config: ExtractConfig, dataset: Dataset | None = None) -> Forecast:
    """What `run` would do; see `plan_job`."""
    config = settled(config)
    return forecast_jobs([plan_job(config, dataset)], config).stores[0]


def forecast_jobs(jobs: Sequence[Job], compute: Compute) -> JointForecast:
    """What `run_jobs` would do, and refuse: but for room on the disk, which is said."""
    of_store: dict[int, Forecast] = {}
    needed: Counter[Path] = Counter()
    for places in together(jobs):
        shares = shares_of([jobs[place] for place in places], compute)
        of_store |= {
            place: _forecast(share, shares, compute)
            for place, share in zip(places, shares, strict=True)
        }
        for place, share in zip(places, shares, strict=True):
            if share.compress is None:  # what is compressed may still fit
                needed[share.job.storage.out] += of_store[place].bytes_needed
    stores = (
        replace(of_store[place], fits=needed[job.storage.out] <= of_store[place].bytes_free)
        for place, job in enumerate(jobs)
    )
    return JointForecast(stores=tuple(stores))


@dataclass(frozen=True)
class _Amount:
    """How much there is to do."""

    rows: int
    frames: int
    views: int
    bytes_needed: int


def _forecast(share: Share[Job], together: Sequence[Share[Job]], compute: Compute) -> Forecast:
    job, row_bytes = share.job, share.job.recipe.row_bytes
    amount = _amount(share)
    wanted = share.wanted
    there = wanted.where(key in share.progress.done for key in wanted.keys)
    missing = {one.key for one in share.missing}
    if isinstance(job.recipe.plan, Windows):
        bytes_present, bytes_missing = _bytes_of_shards(job.store), None
    else:
        bytes_present = job.rows_of(there) * row_bytes
        of_missing = wanted.where(key in missing for key in wanted.keys)
        bytes_missing = job.rows_of(of_missing) * row_bytes
    rate = _rate_of(share, together, compute)
    to_extract, keys = share.to_extract, set(wanted.keys)
    return Forecast(
        store=str(job.store),
        segments=len(keys),
        splits=share.splits,
        present=len(there),
        failed=len(keys - share.progress.done - missing - set(to_extract.keys)),
        to_extract=len(to_extract),
        videos=len(set(to_extract.videos.tolist())),
        missing_segments=len(missing),
        missing_videos=len({one.video for one in share.missing}),
        frames=amount.frames,
        bytes_to_write=amount.rows * row_bytes,
        bytes_needed=amount.bytes_needed,
        bytes_missing=bytes_missing,
        bytes_present=bytes_present,
        bytes_free=free_bytes(job.storage.out),
        fits=True,
        seconds=round(amount.views * rate.seconds / rate.views, 1) if rate else None,
        changed_videos=share.changed,
        renewed_by=share.renewed_by,
        unit=job.unit,
        idle=share.idle,
    )


def _amount(share: Share[Job]) -> _Amount:
    job, left = share.job, share.to_extract
    if isinstance(job.recipe.plan, Windows):
        counts = windows_of(job, share)
        rows = [count for count, _ in counts]
        needed = bytes_at_most(rows, job.recipe.row_bytes)
        return _Amount(sum(rows), sum(frames for _, frames in counts), sum(rows), needed)
    a_view = job.recipe.plan.view_frames + sum(job.recipe.transform.neighbours)
    views, crops = len(left) * job.recipe.plan.views, job.recipe.transform.crops
    return _Amount(job.rows_of(left), views * a_view, views * crops, bytes_left(share))


def _bytes_of_shards(store: Path) -> int:
    return sum(path.stat().st_size for path in store.glob("shards/**/*") if path.is_file())


class Rate(BaseModel):
    """How fast one run went for one store."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    store: str
    """Its name, of backbone and recipe."""
    backbone: str
    device: str
    """Of several workers: what each runs on, or what their engine was given."""
    sharing: list[str] = Field(validation_alias=AliasChoices("sharing", "company"))
    """Backbones that shared the decode, itself among them, sorted; `company` in older files."""
    views: int = Field(gt=0)
    """Frames or clips run through the network, each crop counted."""
    seconds: float = Field(gt=0, allow_inf_nan=False)


def keep_rates(shares: Sequence[Share[Job]], tally: Tally, compute: Compute) -> None:
    """Add what a run measured, for the next forecast: a disk that refuses it is no failure."""
    for share, done in zip(shares, tally.tasks, strict=True):
        if views := _views(share, done):
            measured = {"views": views, "seconds": max(tally.seconds, 1e-6)}
            rate = Rate.model_validate(_circumstances(share, shares, compute) | measured)
            path = share.job.storage.out / _RATES
            with contextlib.suppress(OSError), path.open("a", encoding="utf-8") as file:
                file.write(rate.model_dump_json() + "\n")


def _views(share: Share[Job], done: TaskTally) -> int:
    """Views that a run made: workers that died did not tell theirs, but left what they made."""
    recipe = share.job.recipe
    if isinstance(recipe.plan, Windows):
        return done.views
    return max(done.views, done.extracted * recipe.plan.views * recipe.transform.crops)


def _rate_of(share: Share[Job], together: Sequence[Share[Job]], compute: Compute) -> Rate | None:
    """The longest measurement that says most: of the store itself, else of its backbone."""
    rates = []
    asked = _circumstances(share, together, compute)
    store = asked.pop("store")
    path = share.job.storage.out / _RATES
    with contextlib.suppress(OSError):
        for line in path.read_bytes().splitlines() if path.is_file() else ():
            with contextlib.suppress(ValidationError):  # half written, or not ours
                rates.append(Rate.model_validate_json(line))
    alike = [rate for rate in rates if rate.model_dump(include=set(asked)) == asked]
    own = [rate for rate in alike if rate.store == store]
    return max(own or alike, key=lambda rate: rate.views, default=None)


def _circumstances(
    share: Share[Job], together: Sequence[Share[Job]], compute: Compute
) -> dict[str, Any]:
    """What the time that a store takes depends on."""
    return {
        "store": share.job.recipe.store_name,
        "backbone": share.job.recipe.backbone,
        "device": _workers(compute) or device_name(share.job.backbone.device),
        "sharing": sorted(one.job.recipe.backbone for one in together if one.left),
    }


def _workers(compute: Compute) -> str:
    """Which workers share the work; empty where this process does it alone."""
    if compute.ray or compute.slurm:
        return f"ray {compute.ray}" if compute.ray else f"slurm {compute.slurm}"
    count = Counter(device_name(choose_device(device)) for device in compute.devices)
    return ", ".join(f"{number} × {name}" for name, number in count.items())

"""`egofeat extract`: a data set's segments through a frozen backbone, into a store."""

import os
import platform
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch

from egofeat import console
from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.extract import transforms
from egofeat.extract.backbones import Backbone, load, spec_of
from egofeat.extract.decoding import passes_over
from egofeat.extract.extractor import Machinery, Tally, extract
from egofeat.extract.sampling import Uniform
from egofeat.extract.shards import Batch, cut, key_of, part, without
from egofeat.extract.transforms import Transform
from egofeat.extract.video import decoder_version
from egofeat.manifest import load_manifest
from egofeat.segments import Dataset, Segment
from egofeat.store import Recipe, StoreWriter, standing, versions
from egofeat.store.formats import check_choice

CPU_BATCH = 4
"""glibc gives blocks over 32 MB back to the kernel whenever they are freed, and fresh pages
cost more than the arithmetic: at 256 pixels, MobileNetV2's largest activation of four frames
takes 25 MB, and batches of 4 run more than twice as fast as batches of 32."""
GPU_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class ExtractConfig:
    """Everything that a person can choose about an extraction."""

    backbone: str = "mobilenetv2"
    dataset: str | None = None
    manifest: Path = Path("data_manifest.yaml")
    out: Path = Path("features")
    taps: tuple[str, ...] = ()
    """Empty means the backbone's default tap."""
    frames: int = 20
    """Frames a segment."""
    transform: str = "squash"
    size: int | None = None
    """Pixels of the network's square input; None means the transform's own."""
    splits: tuple[str, ...] = ()
    """Empty means all."""
    weights: str = "default"
    dtype: str = "float16"
    precision: str = "float32"
    decoder: str = "pyav"
    format: str | None = None
    compress: str | None = None
    device: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    part: tuple[int, int] = (1, 1)
    """Number of this part, from 1, and how many parts there are."""
    retry_failed: bool = False


@dataclass(frozen=True, kw_only=True)
class Job:
    """An extraction, planned: what is wanted and what will make it. No video was opened."""

    config: ExtractConfig
    dataset: Dataset
    segments: tuple[Segment, ...]
    """Those of the wanted splits."""
    backbone: Backbone
    plan: Uniform
    transform: Transform
    recipe: Recipe

    @property
    def store(self) -> Path:
        """The folder that the recipe names."""
        return self.config.out / self.dataset.name / self.recipe.store_name


@dataclass(frozen=True, kw_only=True)
class ExtractReport:
    """What an extraction did; the object that `--json` prints."""

    store: str
    segments: int
    """Wanted, in this part."""
    extracted: int
    skipped: int
    """In the store already."""
    failed: int
    """Could not be read, now or earlier."""
    frames: int
    """Decoded and run through the network."""
    seconds: float
    frames_per_second: float

    def lines(self) -> list[str]:
        """The report for people."""
        said = [
            f"{self.extracted} of {self.segments} segments extracted, {self.skipped} were there "
            f"already: {self.frames} frames in {self.seconds:.1f} s, "
            f"{self.frames_per_second:.1f} frames/s",
            self.store,
        ]
        if self.failed:
            said.append(self.failures_line())
        return said

    def failures_line(self) -> str:
        """One line that says where the reasons of the failures are."""
        return (
            f"{self.failed} segments could not be read: the reasons are in "
            f"{self.store}/failures-*.jsonl; mend them and add --retry-failed"
        )


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What an extraction would do; the object that `--dry-run --json` prints."""

    store: str
    segments: int
    present: int
    failed: int
    """Failed earlier, and left alone without `--retry-failed`."""
    to_extract: int
    videos: int
    """To be opened."""
    missing_videos: int
    """Of those, not there."""
    frames: int
    """To be decoded at most: segments that overlap share frames."""
    bytes_to_write: int
    bytes_present: int
    bytes_free: int

    def lines(self) -> list[str]:
        """The forecast for people."""
        said = [
            f"{self.to_extract} of {self.segments} segments would be extracted from "
            f"{self.videos} videos, at most {self.frames} frames; {self.present} are there already",
            f"{console.size(self.bytes_to_write)} would be written beside the "
            f"{console.size(self.bytes_present)} that are there; "
            f"{console.size(self.bytes_free)} are free",
            self.store,
        ]
        if self.missing_videos:
            said.append(f"{self.missing_videos} of the videos are missing: check 'media'")
        if self.bytes_to_write > self.bytes_free:
            said.append("there is not enough room: give another --out")
        if self.failed:
            said.append(f"{self.failed} segments failed earlier: add --retry-failed to try them")
        return said


def plan_job(config: ExtractConfig, dataset: Dataset | None = None) -> Job:
    """Resolve the manifest, the weights and the recipe.

    Args:
        config: what the person chose.
        dataset: used in place of the manifest's.

    Raises:
        RequestError: any choice that cannot be.
    """
    _check(config)
    if dataset is None:
        dataset = load_manifest(config.manifest).dataset(config.dataset)
    segments = _of_splits(dataset, config.splits)
    spec = spec_of(config.backbone)
    backbone = load(
        config.backbone,
        weights=config.weights,
        taps=config.taps,
        device=choose_device(config.device),
        precision=config.precision,
        note=console.note,
    )
    transform = transforms.named(
        config.transform,
        size=config.size,
        squash_size=spec.squash_size,
        crop=spec.size,
        short_side=(backbone.official or spec.weights[0]).resize,
    )
    plan = Uniform(config.frames)
    shapes = backbone.tap_shapes(transform.crop)
    recipe = Recipe(
        backbone=config.backbone,
        weights=backbone.weights,
        transform=transform.describe(),
        plan=plan.describe(),
        taps={tap: (config.frames, *shape) for tap, shape in shapes.items()},
        dtype=config.dtype,
        precision=config.precision,
        decoder=config.decoder,
    )
    return Job(
        config=config,
        dataset=dataset,
        segments=segments,
        backbone=backbone,
        plan=plan,
        transform=transform,
        recipe=recipe,
    )


def run(config: ExtractConfig, dataset: Dataset | None = None) -> ExtractReport:
    """Extract what is missing from the store; see `plan_job`."""
    job = plan_job(config, dataset)
    with closing(_writer(job)) as writer:
        batches = _share(job)
        if config.retry_failed:
            writer.clear_failures({key_of(segment) for segment in _segments(batches)})
        left = without(batches, writer.done(), {f.key for f in writer.failures()})
        if writer.description.compress is None:
            _refuse_full_disk(job, left)
        tally = _extract(job, left, writer)
        wanted = {key_of(s) for s in _segments(batches)}
        failed = len(wanted & {f.key for f in writer.failures()})
    return ExtractReport(
        store=str(writer.path),
        segments=len(wanted),
        extracted=tally.extracted,
        skipped=len(wanted) - tally.extracted - failed,
        failed=failed,
        frames=tally.frames,
        seconds=round(tally.seconds, 3),
        frames_per_second=round(tally.frames_per_second, 2),
    )


def forecast(config: ExtractConfig, dataset: Dataset | None = None) -> Forecast:
    """What `run` would do; nothing is decoded and nothing written. See `plan_job`."""
    job = plan_job(config, dataset)
    done, failures = standing(job.store)
    failed = set() if config.retry_failed else {f.key for f in failures}
    batches = _share(job)
    wanted = _segments(batches)
    left = _segments(without(batches, done, failed))
    videos = {segment.video for segment in left}
    present = sum(key_of(segment) in done for segment in wanted)
    return Forecast(
        store=str(job.store),
        segments=len(wanted),
        present=present,
        failed=len(wanted) - present - len(left),
        to_extract=len(left),
        videos=len(videos),
        missing_videos=sum(not job.dataset.media[video].path.exists() for video in videos),
        frames=len(left) * config.frames,
        bytes_to_write=len(left) * job.recipe.row_bytes,
        bytes_present=present * job.recipe.row_bytes,
        bytes_free=_free_bytes(config.out),
    )


def machinery(config: ExtractConfig, device: torch.device) -> Machinery:
    """Batch size and threads as chosen, or what suits the device."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    on_gpu = device.type == "cuda"
    return Machinery(
        batch_size=config.batch_size or (GPU_BATCH if on_gpu else CPU_BATCH),
        workers=config.workers or min(16, cores or 1),
        decoder=config.decoder,
    )


def _check(config: ExtractConfig) -> None:
    check_choice(config.format or "hdf5", config.compress if config.format else None)
    decoder_version(config.decoder)  # refuses one that is unknown or not installed
    if config.dtype not in ("float16", "float32"):
        raise RequestError(f"there is no dtype '{config.dtype}': choose float16 or float32")
    for name in ("frames", "batch_size", "workers"):
        value = getattr(config, name)
        if value is not None and value < 1:
            option = name.replace("_", "-")
            raise RequestError(f"--{option} is {value}: give 1 or more")
    number, parts = config.part
    if parts < 1:
        raise RequestError(f"--part {number}/{parts} is no part: give a number of so many, as 3/16")
    if not 1 <= number <= parts:
        raise RequestError(f"--part {number}/{parts} is no part: give 1/{parts} to {parts}/{parts}")


def _of_splits(dataset: Dataset, splits: Sequence[str]) -> tuple[Segment, ...]:
    for split in splits:
        if split not in dataset.splits:
            raise RequestError(
                f"the data set '{dataset.name}' has no split '{split}': "
                f"choose from {', '.join(dataset.splits)}"
            )
    return tuple(s for s in dataset.segments if not splits or s.split in splits)


def _writer(job: Job) -> StoreWriter:
    config = job.config
    official = job.backbone.official
    made_with = versions()
    made_with["decoder"] = decoder_version(config.decoder)
    made_with["device"] = _device_name(job.backbone.device)
    made_with["weights"] = official.name if official else config.weights
    return StoreWriter.open(
        config.out,
        job.dataset,
        job.recipe,
        format=config.format,
        compress=config.compress,
        made_with=made_with,
        worker="-".join(
            [f"{config.part[0]}of{config.part[1]}", *sorted(map(_plain, config.splits))]
        ),
    )


def _plain(name: str) -> str:
    """A split's name as part of a file's."""
    return "".join(c if c.isalnum() else "_" for c in name)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({platform.machine()})"


def _share(job: Job) -> list[Batch]:
    """The share of the cut that is this part's."""
    return part(cut(job.segments, job.recipe.row_bytes), *job.config.part)


def _segments(batches: Sequence[Batch]) -> list[Segment]:
    return [s for batch in batches for shard in batch.shards for s in shard.segments]


def _extract(job: Job, batches: Sequence[Batch], writer: StoreWriter) -> Tally:
    segments = _segments(batches)
    with console.progress("extracting", len(segments), "segments") as progress:
        return extract(
            passes_over(segments, job.dataset.media),
            [shard for batch in batches for shard in batch.shards],
            backbone=job.backbone,
            plan=job.plan,
            transform=job.transform,
            dtype=job.config.dtype,
            sink=writer,
            machinery=machinery(job.config, job.backbone.device),
            progress=progress,
        )


def _refuse_full_disk(job: Job, batches: Sequence[Batch]) -> None:
    needed = len(_segments(batches)) * job.recipe.row_bytes
    free = _free_bytes(job.config.out)
    if needed > free:
        raise RequestError(
            f"the features take {console.size(needed)} and {job.config.out} has "
            f"{console.size(free)} free: make room or give another --out"
        )


def _free_bytes(folder: Path) -> int:
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    return shutil.disk_usage(existing).free

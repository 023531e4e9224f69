"""An extraction, planned: what is wanted, and the recipe that its numbers are made by."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from egofeat import console
from egofeat.device import choose_device
from egofeat.errors import RequestError
from egofeat.extract import transforms
from egofeat.extract.backbones import Backbone, Spec, load, spec_of
from egofeat.extract.flow import Motion, choose_motion
from egofeat.extract.pooling import pooled_shapes
from egofeat.extract.sampling import Clips, Plan, Uniform, Windows
from egofeat.extract.transforms import Transform
from egofeat.extract.video import decoder_version
from egofeat.extract.weights import Weights
from egofeat.manifest import load_manifest
from egofeat.segments import Dataset, Segment
from egofeat.store import Key, Recipe
from egofeat.store.formats import check_choice

_IMAGE_OPTIONS = ("frames",)
_CLIP_OPTIONS = ("clips", "clip_frames")


@dataclass(frozen=True, kw_only=True)
class ExtractConfig:
    """Everything that a person can choose about an extraction."""

    backbone: str = "mobilenetv2"
    dataset: str | None = None
    manifest: Path = Path("data_manifest.yaml")
    out: Path = Path("features")
    taps: tuple[str, ...] = ()
    """Empty means the backbone's default tap."""
    frames: int | None = None
    """Frames a segment, of an image network; None means 20."""
    clips: int | None = None
    """Clips a segment, of a clip network; None means 1."""
    clip_frames: int | None = None
    """Frames a clip; None means the backbone's own."""
    crops: int = 1
    """Spatial crops of each view, 1 or 3."""
    windows: int | None = None
    """Frames of a window: dense windows over whole videos in place of segments."""
    stride: int | None = None
    """Frames from one window to the next; None means half a window."""
    fps: float | None = None
    """Frame rate that clips and windows count in; None means the backbone's own, and 30."""
    transform: str | None = None
    """None means the backbone's own."""
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
    motion: str | None = None
    """How the motion that the network sees is had, or `none`; None means the backbone's own."""
    motion_values: str | None = None
    """`uint8` or `float32`; see `choose_motion`."""
    pool_grid: int | None = None
    """Places a side that maps are pooled to; None keeps them as they are."""
    part: tuple[int, int] = (1, 1)
    """Number of this part, from 1, and how many parts there are."""
    retry_failed: bool = False


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

    @property
    def store(self) -> Path:
        """The folder that the recipe names."""
        return self.config.out / self.dataset.name / self.recipe.store_name


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
    _check(config)
    plan = choose_plan(spec, config)  # refuses before weights are looked for
    if dataset is None:
        dataset = load_manifest(config.manifest).dataset(config.dataset)
    segments = _of_splits(dataset, config.splits)
    if plan.flat:
        dataset = dataset.whole_videos()
        videos = {segment.video for segment in segments}
        segments = tuple(s for s in dataset.segments if s.video in videos)
    if only is not None:
        segments = tuple(s for s in segments if (s.id, s.start, s.stop) in only)
    backbone = load(
        config.backbone,
        weights=config.weights,
        taps=config.taps,
        device=choose_device(config.device),
        precision=config.precision,
        note=console.note,
    )
    motion = choose_motion(spec, config.motion, config.motion_values, console.note)
    transform = choose_transform(backbone, config, motion)
    plan = choose_plan(spec, config, backbone.official)
    shapes = backbone.tap_shapes(transform.crop, plan.view_frames)
    shapes = pooled_shapes(shapes, config.pool_grid)
    recipe = Recipe(
        backbone=config.backbone,
        weights=backbone.weights,
        transform=transform.describe(),
        plan=plan.describe(),
        taps={tap: _row_shape(shape, plan, transform) for tap, shape in shapes.items()},
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


def plan_jobs(configs: Sequence[ExtractConfig], dataset: Dataset | None = None) -> list[Job]:
    """Several jobs on one data set, which is read once; see `plan_job`."""
    if dataset is None:
        dataset = load_manifest(configs[0].manifest).dataset(configs[0].dataset)
    return [plan_job(config, dataset) for config in configs]


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
            others = _IMAGE_OPTIONS if of_clips[place] else _CLIP_OPTIONS
            own |= dict.fromkeys(others)
        if len(set(of_flow)) > 1 and of_flow[place] == (config.motion in ("none", "rgbdiff")):
            own |= {"motion": None, "motion_values": None}
        configs.append(replace(config, **own))
    return configs


def choose_plan(spec: Spec, config: ExtractConfig, official: Weights | None = None) -> Plan:
    """The plan that the options ask of a backbone.

    Raises:
        RequestError: options that do not go together, or that the backbone cannot take.
    """
    refused = _CLIP_OPTIONS if spec.clip is None else _IMAGE_OPTIONS
    for name in refused:
        if getattr(config, name) is not None:
            takes = "single images, with --frames" if spec.clip is None else "clips, with --clips"
            raise RequestError(f"--{_option(name)} does not suit {spec.name}, which takes {takes}")
    if config.windows is not None:
        return _choose_windows(spec, config, config.windows)
    if config.stride is not None:
        raise RequestError("--stride is of windows: give --windows as well, or leave it out")
    if spec.clip is None:
        if config.fps is not None:
            raise RequestError(
                f"--fps does not suit the frames that {spec.name} takes of a segment: it goes with "
                "--windows"
            )
        return Uniform(20 if config.frames is None else config.frames)
    return Clips(
        clips=config.clips or 1,
        frames=_clip_frames(spec, config.clip_frames or spec.clip.frames),
        stride=spec.clip.stride,
        fps=config.fps or (official and official.fps) or spec.clip.fps,
    )


def _choose_windows(spec: Spec, config: ExtractConfig, size: int) -> Windows:
    for name in ("frames", "clips"):
        if getattr(config, name) is not None:
            raise RequestError(f"--windows and --{name} exclude each other: leave one out")
    if config.crops != 1:
        raise RequestError("--windows takes one crop: leave --crops out")
    frames = 1
    if spec.clip:
        most = min(spec.clip.frames, size)
        frames = _clip_frames(spec, config.clip_frames or most - most % spec.clip.multiple)
    return Windows(
        size=size, stride=config.stride or max(1, size // 2), fps=config.fps or 30.0, frames=frames
    )


def _clip_frames(spec: Spec, frames: int) -> int:
    """Refuse clips that the network cannot take."""
    assert spec.clip is not None
    if frames < spec.clip.fewest or frames % spec.clip.multiple:
        multiple = f", a multiple of {spec.clip.multiple}" if spec.clip.multiple > 1 else ""
        raise RequestError(
            f"{spec.name} takes clips of {spec.clip.fewest} frames or more{multiple}, not "
            f"{frames}: give longer --windows or --clip-frames"
        )
    return frames


def choose_transform(
    backbone: Backbone, config: ExtractConfig, motion: Motion | None = None
) -> Transform:
    """The transform that the options ask of a backbone with its weights.

    Args:
        backbone: with its weights.
        config: the options.
        motion: what the network sees; None means colours.

    Raises:
        RequestError: there is no transform of that name, or it cannot be cropped so.
    """
    spec, official = backbone.spec, backbone.official
    if spec.channels != 3 and motion is None:
        raise RequestError(f"{spec.name} takes optical flow, and videos hold colours")
    if config.size is not None:
        transforms.check_size(config.size)
    name = config.transform or spec.transform
    if name == "squash":
        if config.crops != 1:
            raise RequestError("--crops 3 cuts frames that squash keeps whole: --transform weights")
        side = config.size or spec.squash_size
        chosen = transforms.squash(side, mean=spec.mean, std=spec.std)
    elif name == "weights":
        record = official or (spec.weights[0] if spec.weights else None)
        chosen = transforms.as_published(
            spec.size,
            record.resize if record else spec.short_side,
            config.size,
            mean=spec.mean,
            std=spec.std,
            interpolation=record.interpolation if record else "bilinear-antialias",
            crops=config.crops,
        )
    else:
        raise RequestError(f"there is no transform '{name}': choose squash or weights")
    chosen = replace(chosen, motion=motion, pool_grid=config.pool_grid)
    if spec.channels != 3:
        return replace(chosen, channels="UV")
    if motion:
        # Differences have no mean, and on their scale a level is half as high as a colour's.
        halved = tuple(deviation / 2 for deviation in spec.std)
        chosen = replace(chosen, mean=(0.5, 0.5, 0.5), std=halved)
    return replace(chosen, channels=official.channels if official else "RGB")


def _row_shape(shape: tuple[int, ...], plan: Plan, transform: Transform) -> tuple[int, ...]:
    return shape if isinstance(plan, Windows) else (plan.views * transform.crops, *shape)


def _check(config: ExtractConfig) -> None:
    check_choice(config.format or "hdf5", config.compress if config.format else None)
    decoder_version(config.decoder)  # refuses one that is unknown or not installed
    if config.dtype not in ("float16", "float32"):
        raise RequestError(f"there is no dtype '{config.dtype}': choose float16 or float32")
    counts = ("frames", "clips", "clip_frames", "windows", "stride", "batch_size", "workers")
    for name in (*counts, "pool_grid"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise RequestError(f"--{_option(name)} is {value}: give 1 or more")
    if config.fps is not None and not 0 < config.fps <= 1000:
        raise RequestError(f"--fps {config.fps:g} cannot be: give more than 0 and 1000 at most")
    if config.crops not in (1, 3):
        raise RequestError(f"--crops is {config.crops}: choose 1 or 3")
    number, parts = config.part
    if parts < 1:
        raise RequestError(f"--part {number}/{parts} is no part: give a number of so many, as 3/16")
    if not 1 <= number <= parts:
        raise RequestError(f"--part {number}/{parts} is no part: give 1/{parts} to {parts}/{parts}")


def _option(name: str) -> str:
    return name.replace("_", "-")


def _of_splits(dataset: Dataset, splits: Sequence[str]) -> tuple[Segment, ...]:
    for split in splits:
        if split not in dataset.splits:
            raise RequestError(
                f"the data set '{dataset.name}' has no split '{split}': "
                f"choose from {', '.join(dataset.splits)}"
            )
    return tuple(s for s in dataset.segments if not splits or s.split in splits)

"""Everything that a person can choose about an extraction, and which choices go together."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from egofeat.errors import RequestError
from egofeat.extract import transforms
from egofeat.extract.backbones import Spec
from egofeat.extract.flow import Motion
from egofeat.extract.sampling import Clips, KeyFrames, Plan, Uniform, Windows
from egofeat.extract.transforms import Transform
from egofeat.extract.video import decoder_version
from egofeat.extract.weights import Weights
from egofeat.store.formats.registry import check_choice

IMAGE_OPTIONS = ("frames",)
"""Options of networks of images alone."""
CLIP_OPTIONS = ("clips", "clip_frames")
"""Options of networks of clips alone."""


@dataclass(frozen=True, kw_only=True)
class RoiConfig:
    """What a person can choose about the features of persons."""

    boxes: str = "annotated"
    """`annotated`: those of the data set; or a detector's, a CSV file or a folder of such."""
    min_score: float = 0.8
    """Detected boxes below are left out."""
    maps: tuple[str, ...] = ()
    """Taps that boxes are cut out of; empty means the maps of the backbone's last layer."""
    sampling: int = 0
    """Points a side of each place; 0 goes by the size of the box."""
    aligned: bool = False
    """Move boxes by half a pixel of the map; the published weights were trained without."""

    @property
    def said(self) -> str:
        """Which boxes, for people."""
        if self.boxes == "annotated":
            return self.boxes
        return f"{self.boxes}, of {self.min_score:g} and surer"


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
    pool_time: bool = False
    """Average maps of clips over their steps."""
    roi: RoiConfig | None = None
    """Keep features of persons in place of the taps; `taps` are then out of `roi`, `roi_map`."""
    part: tuple[int, int] = (1, 1)
    """Number of this part, from 1, and how many parts there are."""
    retry_failed: bool = False


def choose_plan(
    spec: Spec,
    config: ExtractConfig,
    official: Weights | None = None,
    *,
    key_frames: bool = False,
) -> Plan:
    """The plan that the options ask of a backbone.

    Args:
        spec: of the backbone.
        config: the options.
        official: record of its weights.
        key_frames: whether the segments are moments; a number of frames or clips asked for
            samples the second that follows each.

    Raises:
        RequestError: options that do not go together, or that the backbone cannot take.
    """
    refused = CLIP_OPTIONS if spec.clip is None else IMAGE_OPTIONS
    for name in refused:
        if getattr(config, name) is not None:
            takes = "single images, with --frames" if spec.clip is None else "clips, with --clips"
            raise RequestError(f"--{_option(name)} does not suit {spec.name}, which takes {takes}")
    if config.windows is not None:
        return _choose_windows(spec, config, config.windows)
    if config.stride is not None:
        raise RequestError("--stride is of windows: give --windows as well, or leave it out")
    if key_frames and config.frames is None and config.clips is None:
        return _choose_key_frames(spec, config, official)
    if spec.clip is None:
        if config.fps is not None:
            raise RequestError(
                f"--fps does not suit the frames that {spec.name} takes of a segment: it goes with "
                "--windows"
            )
        return Uniform(20 if config.frames is None else config.frames)
    return Clips(
        clips=config.clips or 1,
        frames=check_clip_frames(spec, config.clip_frames or spec.clip.frames),
        stride=spec.clip.stride,
        fps=config.fps or (official and official.fps) or spec.clip.fps,
    )


def _choose_key_frames(spec: Spec, config: ExtractConfig, official: Weights | None) -> KeyFrames:
    if spec.clip is None:
        return KeyFrames(1, 1, config.fps or 30.0)
    return KeyFrames(
        frames=check_clip_frames(spec, config.clip_frames or spec.clip.frames),
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
        rounded = most - most % spec.clip.multiple
        if config.clip_frames is None and rounded < spec.clip.fewest:
            rounded = size  # to be refused by the number that was given
        frames = check_clip_frames(spec, config.clip_frames or rounded)
        if frames > size:
            raise RequestError(f"--clip-frames {frames} is more than --windows {size}: give fewer")
    return Windows(
        size=size, stride=config.stride or max(1, size // 2), fps=config.fps or 30.0, frames=frames
    )


def check_clip_frames(spec: Spec, frames: int) -> int:
    """Refuse clips that the network cannot take.

    Raises:
        RequestError: too few frames, or not the multiple that it needs.
    """
    assert spec.clip is not None
    if frames < spec.clip.fewest or frames % spec.clip.multiple:
        multiple = f", a multiple of {spec.clip.multiple}" if spec.clip.multiple > 1 else ""
        raise RequestError(
            f"{spec.name} takes clips of {spec.clip.fewest} frames or more{multiple}, not "
            f"{frames}: give such a number"
        )
    return frames


def check_transform(spec: Spec, config: ExtractConfig) -> str:
    """The name of the transform that the options ask of a backbone.

    Raises:
        RequestError: there is none of that name, or it cannot be cropped or sized so.
    """
    if config.size is not None:
        transforms.check_size(config.size)
    name = config.transform or ("weights" if config.crops > 1 else spec.transform)
    known = ("squash", "weights")
    if config.roi:
        name, known = config.transform or "whole", ("whole", "squash")
    if name not in known:
        raise RequestError(f"there is no transform '{name}': choose {' or '.join(known)}")
    if name == "squash" and config.crops != 1:
        raise RequestError("--crops 3 cuts frames that squash keeps whole: --transform weights")
    return name


def choose_transform(
    spec: Spec, config: ExtractConfig, official: Weights | None, motion: Motion | None = None
) -> Transform:
    """The transform that the options ask of a backbone with its weights; see `check_transform`.

    Args:
        spec: of the backbone.
        config: the options.
        official: record of its weights.
        motion: what the network sees; None means colours.
    """
    name = check_transform(spec, config)
    if name == "squash":
        side = config.size or spec.squash_size
        chosen = transforms.squash(side, mean=spec.mean, std=spec.std)
    else:
        record = official or (spec.weights[0] if spec.weights else None)
        resize = record.resize if record else spec.short_side
        colours: dict[str, Any] = {"mean": spec.mean, "std": spec.std}
        colours["interpolation"] = record.interpolation if record else "bilinear-antialias"
        if name == "whole":
            chosen = transforms.whole(resize, config.size, **colours)
        else:
            chosen = transforms.as_published(
                spec.size, resize, config.size, **colours, crops=config.crops
            )
    chosen = replace(chosen, motion=motion, pool_grid=config.pool_grid, pool_time=config.pool_time)
    if spec.channels != 3:
        return replace(chosen, channels="UV")
    if motion:
        # Differences have no mean, and on their scale a level is half as high as a colour's.
        halved = tuple(deviation / 2 for deviation in spec.std)
        chosen = replace(chosen, mean=(0.5, 0.5, 0.5), std=halved)
    return replace(chosen, channels=official.channels if official else "RGB")


def check(config: ExtractConfig) -> None:
    """Refuse values that no backbone can take.

    Raises:
        RequestError: naming the option.
    """
    if config.roi:
        _check_roi(config, config.roi)
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
    check_part(config.part)


def _check_roi(config: ExtractConfig, roi: RoiConfig) -> None:
    if not 0 <= roi.min_score <= 1:
        raise RequestError(f"--min-score {roi.min_score:g} cannot be: give 0 to 1")
    if roi.sampling < 0:
        raise RequestError(f"--sampling is {roi.sampling}: give 0, by the box's size, or more")
    of_segments = ("frames", "clips", "windows", "stride", "pool_grid", "pool_time")
    given = [name for name in of_segments if getattr(config, name)]
    if given or config.crops != 1:
        raise RequestError(
            f"--{_option(given[0]) if given else 'crops'} does not go with features of persons, "
            "which are of one clip around each key frame: leave it out"
        )


def check_part(part: tuple[int, int]) -> None:
    """Refuse a share of the work that is none.

    Raises:
        RequestError: naming what it may be.
    """
    number, parts = part
    if parts < 1:
        raise RequestError(f"--part {number}/{parts} is no part: give a number of so many, as 3/16")
    if not 1 <= number <= parts:
        raise RequestError(f"--part {number}/{parts} is no part: give 1/{parts} to {parts}/{parts}")


def _option(name: str) -> str:
    return name.replace("_", "-")

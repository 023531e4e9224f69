"""Options that several commands have alike, group by group."""

import re
from pathlib import Path

from egofeat.errors import RequestError
from egofeat.options import Device, Options, inherited, option

DEFAULT_MANIFEST = Path("data_manifest.yaml")


def _read_part(text: str) -> tuple[int, int]:
    """`3/16` to `(3, 16)`."""
    if not (match := re.fullmatch(r"(\d+)/(\d+)", text)):
        raise RequestError(f"`part` {text} is not a part: give one such as 3/16")
    return int(match[1]), int(match[2])


def _show_part(part: tuple[int, int]) -> str:
    return f"{part[0]}/{part[1]}"


def read_views(text: str) -> tuple[int, int]:
    """`10x3` to `(10, 3)`: clips and crops.

    Raises:
        RequestError: anything else.
    """
    if not (match := re.fullmatch(r"([1-9]\d*)[x×]([1-9]\d*)", text)):
        raise RequestError(
            f"`views` {text} is not a number of views: give clips x crops, such as 10x3"
        )
    return int(match[1]), int(match[2])


def _show_views(views: tuple[int, int]) -> str:
    return f"{views[0]}x{views[1]}"


class Views(Options):
    """Clips and crops of a segment."""

    views: tuple[int, int] | None = option(
        "Run this many clips x crops, such as 10x3.",
        default=None,
        default_is="the published, else 1x1",
        read=read_views,
        show=_show_views,
    )


class Batch(Options, panel="Compute"):
    """How much the network takes at once."""

    batch_size: int | None = option(
        "Run this many frames, or clips, per batch.",
        default=None,
        default_is="by the frames' size and the engine, 64 at most; 1 clip; what a GPU takes",
        least=1,
    )


class Crew(Options, panel="Workers"):
    """Who does the work, beside this process."""

    devices: tuple[str, ...] = option(
        "Start a process on each of these devices, separated by commas: all, or such as "
        "cuda:0,cuda:1.",
        default=(),
        default_is="this process alone",
    )
    ray: str | None = option(
        "Start workers on a Ray cluster: auto, or its address; and what a worker needs, such as "
        "auto,gpus=0.5.",
        default=None,
    )
    slurm: str | None = option(
        "Start workers as a Slurm array, described as partition=gpu,nodes=4,gpus=1,time=600.",
        default=None,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [name for name in ("devices", "ray", "slurm") if getattr(self, name)]
        if len(given) > 1:
            raise RequestError(f"`{given[0]}` and `{given[1]}` exclude each other: leave one out")

    @property
    def has_crew(self) -> bool:
        """Whether others do the work."""
        return bool(self.devices or self.ray or self.slurm)


class Compute(Device, Batch, Crew, panel="Compute"):
    """How a pass over videos is done; no number of a feature depends on it."""

    workers: int | None = option(
        "Decode with this many threads.", default=None, default_is="one a core, 16 at most", least=1
    )
    part: tuple[int, int] = option(
        "Do only this share of the work, such as 3/16: part 3 of 16.",
        default=(1, 1),
        read=_read_part,
        show=_show_part,
    )
    """Number of this part, from 1, and how many parts there are."""
    retry_failed: bool = option("Try videos again that could not be read before.", default=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        number, parts = self.part
        if not 1 <= number <= parts:
            there = f"1/{parts} to {parts}/{parts}" if parts > 0 else "one such as 3/16"
            raise RequestError(f"`part` {number}/{parts} is not a part: give {there}")


class Weights(Options, panel="Network"):
    """Which weights a network has."""

    weights: str = option(
        "Load these weights: default, the name of published weights, random, or a file.",
        default="default",
    )


class Network(Weights, panel="Network"):
    """Which frozen network, and with which weights."""

    backbone: str = option(
        "Run this frozen network: one of `egofeat backbones`, or FILE.yaml of a variant.",
        default="mobilenetv2",
        imports=True,
    )


class Taps(Options):
    """What is kept, or drawn, of a network."""

    taps: tuple[str, ...] = option(
        "Keep these outputs, separated by commas, such as gap,map.",
        default=(),
        flag="--tap",
        default_is="the backbone's",
    )


class ClipFrames(Options):
    """How long a clip is."""

    clip_frames: int | None = option(
        "Take this many frames per clip, for clip networks.",
        default=None,
        default_is="the backbone's",
        least=1,
    )


class Size(Options):
    """How large the network's input is."""

    size: int | None = option(
        "Make the network's input this many pixels wide and high.",
        default=None,
        default_is="the transform's",
    )


class Precision(Options):
    """In what arithmetic a network runs."""

    precision: str = option(
        "Run the network in this precision; tf32 needs a GPU.",
        default="float32",
        choices=("float32", "tf32", "fp16", "bf16"),
    )


class Engine(Options):
    """What runs a network."""

    engine: str = option(
        "Run the network by this library; openvino needs egofeat[openvino], and runs on a CPU.",
        default="torch",
        choices=("torch", "openvino"),
    )


class Decoder(Options):
    """What reads frames of files."""

    decoder: str = option(
        "Decode videos with this library; nvdec needs a GPU; auto takes the fastest exact one.",
        default="pyav",
        known="egofeat.extract.video.opening:CHOICES",
    )


class Backbones(Options):
    """Several frozen networks."""

    backbones: tuple[str, ...] = option(
        "Run this frozen network: one of `egofeat backbones`, or FILE.yaml of a variant; repeat it "
        "to run several on one decode.",
        default=(),
        flag="--backbone",
        repeated=True,
        imports=True,
    )


class SeveralWeights(Options):
    """Which weights several networks have."""

    weights: tuple[str, ...] = option(
        "Load these weights: default, the name of published weights, random, or a file; once "
        "for all backbones, or once for each.",
        default=(),
        repeated=True,
        default_is="default",
    )


class StoreWeights(SeveralWeights, panel="Network"):
    """Which weights the network of a run's stores has."""

    weights: tuple[str, ...] = inherited(
        "Load the backbone's weights from this file, if the store was made with a file of "
        "yours; once per store.",
        default_is="those of the store",
    )


class Figures(Options):
    """In which format figures are, beside PNG."""

    figures: str = option(
        "Write each figure in this format too, for papers.",
        default="png",
        choices=("png", "pdf", "svg"),
    )


class Out(Options):
    """Where to write."""

    out: Path = option(
        "Keep feature stores in this folder.", default=Path("features"), writes="folder"
    )


class ChosenOut(Options):
    """Where to write, if not where the command would."""

    out: Path | None = option("Keep feature stores in this folder.", default=None, writes="folder")


class StoreFolder(Options):
    """Which store."""

    store: Path = option(
        "Feature store, or a folder that holds one.", argument=True, metavar="STORE"
    )


class Tap(Options):
    """Which tap of a store."""

    tap: str | None = option("Read this tap of the store.", default=None, default_is="the only one")


class Preset(Options):
    """How a head is built."""

    preset: str | None = option(
        "Build and train the head as published.", default=None, known="egofeat.heads.names:PRESETS"
    )


class VideoFile(Options, panel="Video"):
    """Which video."""

    video: Path = option("Video file to read.")


class MaybeVideo(Options, panel="Video"):
    """Which video, where there may be none."""

    video: Path | None = option("Video file to read.", default=None)


class Every(Options):
    """How often a video is looked at."""

    every: float | None = option(
        "Take a key frame every so many seconds.", default=None, least=0.001
    )
    """Time stamps are no finer than a millisecond."""


class Detected(Options):
    """Which of a detector's boxes count."""

    min_score: float = option(
        "Leave out detected boxes with a lower score.", default=0.8, least=0, most=1
    )


class Top(Options):
    """How much is named."""

    top: int = option("Name this many classes.", default=5, least=1)


class Split(Options):
    """Which segments."""

    split: str | None = option("Take this split.", default=None, default_is="the validation split")


class Stride(Options):
    """How far apart windows are."""

    stride: int | None = option(
        "Start a window every so many frames.", default=None, default_is="half a window", least=1
    )


class FrameRate(Options):
    """How fast frames follow each other."""

    fps: float | None = option(
        "Take frames of windows and clips at this rate.",
        default=None,
        default_is="30; the backbone's",
        above=0,
        most=1000,
    )


class FromManifest(Options, panel="Data"):
    """Where data sets are described."""

    manifest: Path = option("Read data sets from this YAML file.", default=DEFAULT_MANIFEST)


class Splits(Options, panel="Data"):
    """Which parts of a data set."""

    splits: tuple[str, ...] = option(
        "Use these splits, separated by commas.", default=(), flag="--split", default_is="all"
    )


class DataSet(Options, panel="Data"):
    """Which data set of a manifest."""

    dataset: str | None = option(
        "Use this data set of the manifest; not needed if there is only one.", default=None
    )


class Data(FromManifest, Splits, DataSet):
    """Which data set, and what of it."""


class Trial(Options):
    """Whether anything is done."""

    dry_run: bool = option("Print what would be done, and do nothing.", default=False)


class Folder(Options):
    """Where to look."""

    folder: Path = option(
        "Folder to look for feature stores in.", default=Path("features"), argument=True
    )


class Kept(Options):
    """What to check."""

    paths: tuple[Path, ...] = option(
        "Stores and runs, or folders that hold some.", argument=True, repeated=True, metavar="PATH"
    )


class BackboneName(Options):
    """Which network."""

    name: str | None = option(
        "Backbone to describe in full; tv:NAME, timm:NAME or hf:ORG/NAME is another library's, "
        "FILE.yaml a variant.",
        default=None,
        argument=True,
    )
    layers: bool = option(
        "List only its convolutions, as the published checkpoint names them.", default=False
    )

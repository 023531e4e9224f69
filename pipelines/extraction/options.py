"""What a person can choose about an extraction: options, and nothing that loads a network."""

from dataclasses import field
from pathlib import Path

from egofeat.errors import RequestError
from egofeat.options import Options, option
from egofeat.pipelines.options import Compute, Data, FromManifest, Weights


class Numbers(Options, panel="Store"):
    """What numbers are computed in and kept as, and what decodes the frames."""

    dtype: str = option(
        "Type of the stored numbers.", default="float16", choices=("float16", "float32")
    )
    precision: str = option(
        "Arithmetic of the network.", default="float32", choices=("float32", "bf16")
    )
    decoder: str = option(
        "Video decoder.", default="pyav", known="egofeat.extract.video.opening:DECODERS"
    )


class Storage(Options, panel="Store"):
    """Where features are kept, and in which files."""

    out: Path = option("Folder of the feature stores.", default=Path("features"))
    format: str | None = option(
        "Format of the shards.",
        default=None,
        default_is="the store's, or hdf5",
        known="egofeat.store.formats.registry:FORMATS",
    )
    compress: str | None = option(
        "Compression: gzip or lzf (hdf5), zstd (zarr), smaller and not mapped; none.",
        default=None,
        default_is="the store's, or none",
    )


class Sampling(Options, panel="Sampling"):
    """Which frames the network sees."""

    frames: int | None = option(
        "Frames a segment, for image networks.", default=None, default_is="20", least=1
    )
    clips: int | None = option(
        "Clips a segment, for clip networks.", default=None, default_is="1", least=1
    )
    clip_frames: int | None = option(
        "Frames a clip.", default=None, default_is="the backbone's", least=1
    )
    windows: int | None = option(
        "Take whole videos in windows of this many frames, in place of segments.",
        default=None,
        least=1,
    )
    stride: int | None = option(
        "Frames from one window to the next.", default=None, default_is="half a window", least=1
    )
    fps: float | None = option(
        "Frame rate of windows and clips.",
        default=None,
        default_is="30; the backbone's",
        above=0,
        most=1000,
    )


class Pixels(Options, panel="Frames"):
    """What the network sees of a frame, and what is kept of its maps."""

    crops: int = option("Crops of each frame or clip.", default=1, choices=(1, 3))
    transform: str | None = option(
        "squash: resize the whole frame to a square; weights: resize and crop as the publisher of "
        "the weights does.",
        default=None,
        default_is="the backbone's",
    )
    size: int | None = option(
        "Pixels of the network's input.", default=None, default_is="the transform's"
    )
    motion: str | None = option(
        "Show the network motion in place of colours: farneback, tvl1, raft, raft_small, frames "
        "(flow that the data set ships) or rgbdiff; none.",
        default=None,
        default_is="the backbone's",
    )
    motion_values: str | None = option(
        "Keep flow as uint8, within ±20 pixels, or float32.",
        default=None,
        default_is="uint8; float32 of grids",
    )
    pool_grid: int | None = option(
        "Pool maps to this many places a side.", default=None, default_is="all kept", least=1
    )
    pool_time: bool = option("Average the maps of a clip over its steps.", default=False)


class RoiConfig(Options, panel="Boxes"):
    """Which persons features are kept of, and how they are cut out of maps."""

    boxes: str = option(
        "annotated: boxes of the data set; or a detector's: a CSV file, or the folder that "
        "`egofeat persons` wrote.",
        default="annotated",
    )
    min_score: float = option(
        "Leave out detected boxes of a lower score.", default=0.8, least=0, most=1
    )
    maps: tuple[str, ...] = option(
        "Taps that boxes are cut out of, by comma.", default=(), default_is="the last maps"
    )
    sampling: int = option(
        "Points a side of each place; 0 goes by the size of the box.", default=0, least=0
    )
    aligned: bool = option(
        "Move boxes by half a pixel of the map, for weights trained so.", default=False
    )

    @property
    def said(self) -> str:
        """Which boxes, for people."""
        if self.boxes == "annotated":
            return self.boxes
        return f"{self.boxes}, of {self.min_score:g} and surer"


class Extraction(Sampling, Pixels, Data, Storage, Numbers, Compute):
    """What extractions by several backbones have in common."""


class ExtractConfig(Extraction):
    """Everything that a person can choose about an extraction by one backbone.

    It is its own `Compute`: `run_jobs(plan_jobs(configs), configs[0])`.
    """

    backbone: str = "mobilenetv2"
    taps: tuple[str, ...] = ()
    """Empty takes the backbone's default tap."""
    weights: str = "default"
    roi: RoiConfig | None = None
    """Keep features of persons in place of the taps; `taps` are then out of `roi`, `roi_map`."""


class ExtractRequest(Extraction, panel="Networks"):
    """`egofeat extract`: one backbone or several, from one decode."""

    backbones: tuple[str, ...] = option(
        "Frozen network, one of `egofeat backbones`; several times: all from one decode.",
        default=("mobilenetv2",),
        flag="--backbone",
        repeated=True,
        imports=True,
    )
    taps: tuple[tuple[str, ...], ...] = option(
        "Outputs to keep, by comma: gap, map, block12, …; for all backbones, or once for each.",
        default=(),
        flag="--tap",
        repeated=True,
        default_is="the backbone's",
    )
    weights: tuple[str, ...] = option(
        "default, the name of official weights, random, or a file; for all backbones, or once for "
        "each.",
        default=(),
        repeated=True,
        default_is="default",
    )

    @property
    def shared(self) -> ExtractConfig:
        """What the backbones have in common; see `for_each`."""
        return ExtractConfig(**vars(self.group(Extraction)))


class RoiRequest(Weights, Data, Storage, Numbers, Compute, panel="Network"):
    """`egofeat roi`."""

    backbone: str = option("Frozen network.", default="slowfast_32x2_r101_ava", imports=True)
    taps: tuple[str, ...] = option(
        "roi: a vector a person; roi_map: 7 × 7 places; or both, by comma.",
        default=("roi",),
        flag="--tap",
    )
    clip_frames: int | None = option(
        "Frames a clip.", default=None, default_is="the backbone's", least=1
    )
    transform: str | None = option(
        "whole: resize as the publisher of the weights does, nothing cut off; squash: resize to a "
        "square.",
        default=None,
        default_is="whole",
    )
    size: int | None = option(
        "Pixels of the shorter side.", default=None, default_is="the backbone's"
    )
    roi: RoiConfig = field(default_factory=RoiConfig)


class ReextractConfig(FromManifest, Compute):
    """What a person can choose about a new extraction; the rest is the old one's."""

    out: Path | None = option(
        "Folder of the feature stores.", default=None, default_is="the old one's; features"
    )
    part: tuple[int, int] = (1, 1)


class ReextractRequest(ReextractConfig, panel="What is extracted again"):
    """`egofeat reextract`: another backbone over a store, or what has gone stale of a data set."""

    source: Path | None = option(
        "Store whose data set and segments are taken.", default=None, flag="--from"
    )
    backbones: tuple[str, ...] = option(
        "Frozen network; several times: all from one decode.",
        default=(),
        flag="--backbone",
        repeated=True,
        imports=True,
    )
    taps: tuple[tuple[str, ...], ...] = option(
        "Outputs to keep, by comma; for all backbones, or once for each.",
        default=(),
        flag="--tap",
        repeated=True,
        default_is="the backbone's",
    )
    weights: tuple[str, ...] = option(
        "Weights: default, a name, random, or a file; for all backbones, or once for each.",
        default=(),
        repeated=True,
        default_is="default",
    )
    every: str | None = option(
        "Data set whose stores are made again where weights, transform or decoder changed.",
        default=None,
        flag="--all",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.every is None and self.source is not None and self.backbones:
            return
        if self.every is None or self.source is not None:
            raise RequestError("give --from STORE with --backbone NAME, or --all DATASET")
        if self.backbones or self.taps or self.weights:
            raise RequestError("--all keeps backbones, taps and weights: leave those options out")


class PruneConfig(Options, panel="Stores"):
    """What a person can choose about removing stores."""

    stores: tuple[Path, ...] = option(
        "Folders of stores.", default=(), argument=True, repeated=True, metavar="STORE…"
    )
    superseded: bool = option("Every store that a refresh replaced, below --out.", default=False)
    out: Path = option("Folder of the feature stores.", default=Path("features"))
    yes: bool = option("Remove them; without it only say what would go.", default=False)

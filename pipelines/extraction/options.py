"""What a person can choose about an extraction: options, and nothing that loads a network."""

from dataclasses import field
from pathlib import Path

from egofeat.errors import RequestError
from egofeat.options import inherited, option
from egofeat.pipelines.options import (
    Backbones,
    ChosenOut,
    ClipFrames,
    Compute,
    Data,
    Decoder,
    Detected,
    Engine,
    FrameRate,
    FromManifest,
    Network,
    Out,
    Precision,
    SeveralWeights,
    Size,
    Stride,
    Taps,
)


class Numbers(Precision, Engine, Decoder, panel="Store"):
    """What numbers are computed in and kept as, and what decodes the frames."""

    dtype: str = option(
        "Store numbers in this type.", default="float16", choices=("float16", "float32")
    )


class Storage(Out, panel="Store"):
    """Where features are kept, and in which files."""

    format: str | None = option(
        "Write shards in this format.",
        default=None,
        default_is="the store's, or hdf5",
        known="egofeat.store.formats.registry:FORMATS",
    )
    compress: str | None = option(
        "Compress shards with gzip or lzf (hdf5) or zstd (zarr), smaller but not "
        "memory-mapped; or none.",
        default=None,
        default_is="the store's, or none",
    )
    stage: Path | None = option(
        "Write shards in this folder of a local disk first, and copy them whole.", default=None
    )


class Sampling(ClipFrames, FrameRate, Stride, panel="Sampling"):
    """Which frames the network sees."""

    frames: int | None = option(
        "Take this many frames per segment, for image networks.",
        default=None,
        default_is="20",
        least=1,
    )
    clips: int | None = option(
        "Take this many clips per segment, for clip networks.",
        default=None,
        default_is="1",
        least=1,
    )
    clip_rule: str = option(
        "Place clips from the start to the end (ends), or as a publisher's test does; weights: as "
        "that of the weights.",
        default="ends",
        choices=("ends", "pyslowfast", "pytorchvideo", "weights"),
    )
    windows: int | None = option(
        "Take whole videos, in windows of this many frames, instead of segments.",
        default=None,
        least=1,
    )
    stride: int | None = inherited()


class Transforming(Size):
    """How a frame becomes the network's input."""

    transform: str | None = option(
        "Resize frames: squash, the whole frame to a square; weights, resized and cropped as "
        "published with the weights.",
        default=None,
        default_is="the backbone's",
    )
    resize: str | None = option(
        "Resize in this arithmetic; uint8 is faster on large frames and differs by at most one "
        "level of 255.",
        default=None,
        default_is="float32; uint8 of squash",
        choices=("float32", "uint8"),
    )


class Pixels(Transforming, panel="Frames"):
    """What the network sees of a frame, and what is kept of its maps."""

    crops: int = option("Take this many crops of each frame or clip.", default=1, choices=(1, 3))
    motion: str | None = option(
        "Show the network motion instead of colours: farneback, tvl1, raft, raft_small, "
        "frames (flow that the data set ships), rgbdiff or weighted (the frame, weighed by flow); "
        "or none.",
        default=None,
        default_is="the backbone's",
    )
    motion_values: str | None = option(
        "Keep flow as uint8, within ±20 pixels, or float32.",
        default=None,
        default_is="uint8; float32 of grids",
    )
    pool_grid: int | None = option(
        "Pool maps to this many places per side.", default=None, default_is="all kept", least=1
    )
    pool_time: bool = option("Average the maps of a clip over time.", default=False)


class RoiConfig(Detected, panel="Boxes"):
    """Which persons features are kept of, and how they are cut out of maps."""

    boxes: str = option(
        "Take boxes from here: annotated, those of the data set; or a CSV file of detections,"
        " or the folder that `egofeat persons` wrote.",
        default="annotated",
    )
    maps: tuple[str, ...] = option(
        "Cut boxes out of these taps, separated by commas.", default=(), default_is="the last maps"
    )
    sampling: int | None = option(
        "Sample this many points per side of each place; 0 adapts to the size of the box.",
        default=None,
        default_is="as the weights were trained, else 0",
        least=0,
    )
    aligned: bool | None = option(
        "Shift boxes by half a pixel of the map.",
        default=None,
        default_is="as the weights were trained, else not",
    )

    @property
    def said(self) -> str:
        """Which boxes, for people."""
        if self.boxes == "annotated":
            return self.boxes
        return f"{self.boxes}, of {self.min_score:g} and surer"


class Extraction(Sampling, Pixels, Data, Storage, Numbers, Compute):
    """What extractions by several backbones have in common."""


class ExtractConfig(Extraction, Network, Taps):
    """Everything that a person can choose about an extraction by one backbone.

    It is its own `Compute`: `run_jobs(plan_jobs(configs), configs[0])`.
    """

    roi: RoiConfig | None = None
    """Keep features of persons in place of the taps; `taps` are then out of `roi`, `roi_map`."""


class Networks(Backbones, SeveralWeights):
    """Several networks, from one decode."""

    taps: tuple[tuple[str, ...], ...] = option(
        "Keep these outputs, separated by commas, such as gap,map; once for all backbones, or once "
        "for each.",
        default=(),
        flag="--tap",
        repeated=True,
        default_is="the backbone's",
    )


class ExtractRequest(Extraction, Networks, panel="Networks"):
    """`egofeat extract`: one backbone or several, from one decode."""

    backbones: tuple[str, ...] = inherited(default=("mobilenetv2",))

    @property
    def shared(self) -> ExtractConfig:
        """What the backbones have in common; see `for_each`."""
        return ExtractConfig(**vars(self.group(Extraction)))


class PersonTaps(Taps):
    """What is kept of each person."""

    taps: tuple[str, ...] = inherited(
        "Keep roi, a vector per person; roi_map, 7 × 7 places; or both, separated by a comma.",
        default=("roi",),
    )


class RoiRequest(
    Network, PersonTaps, ClipFrames, Transforming, Data, Storage, Numbers, Compute, panel="Network"
):
    """`egofeat roi`."""

    backbone: str = inherited(default="slowfast_32x2_r101_ava")
    transform: str | None = inherited(
        "Resize frames: whole, as published with the weights but not cropped; squash, to a square.",
        default_is="whole",
    )
    size: int | None = inherited(
        "Resize the shorter side to this many pixels.", default_is="the backbone's"
    )
    roi: RoiConfig = field(default_factory=RoiConfig)


class ReextractConfig(FromManifest, ChosenOut, Compute, panel="Store"):
    """What a person can choose about a new extraction; the rest is the old one's."""

    out: Path | None = inherited(default_is="the old one's; features")
    part: tuple[int, int] = (1, 1)


class ReextractRequest(ReextractConfig, Networks, panel="What is extracted again"):
    """`egofeat reextract`: another backbone over a store, or what has gone stale of a data set."""

    source: Path | None = option("Extract the segments of this store.", default=None, flag="--from")
    every: str | None = option(
        "Extract the stores of this data set again whose weights, transform or decoder have "
        "changed.",
        default=None,
        flag="--all",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.every is None and self.source is not None and self.backbones:
            return
        if self.every is None or self.source is not None:
            raise RequestError("give `source` STORE with `backbone` NAME, or `every` DATASET")
        if self.backbones or self.taps or self.weights:
            raise RequestError("`every` keeps backbones, taps and weights: leave those options out")


class PruneConfig(Out, panel="Stores"):
    """What a person can choose about removing stores."""

    stores: tuple[Path, ...] = option(
        "Feature stores.", default=(), argument=True, repeated=True, metavar="STORE"
    )
    superseded: bool = option(
        "Remove every store below --out that a newer one replaced.", default=False
    )
    yes: bool = option("Remove them; without it, only print what would be removed.", default=False)

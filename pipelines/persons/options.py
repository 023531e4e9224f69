"""What a person can choose about detecting persons, and about cutting them out of maps."""

from dataclasses import field
from pathlib import Path

from egofeat.options import Device, option
from egofeat.pipelines.extraction.options import RoiConfig
from egofeat.pipelines.options import Compute, Data, FromManifest, Splits


class PersonsConfig(Data, Compute, panel="Detection"):
    """Options of person detection."""

    out: Path = option("Folder of the boxes.", default=Path("boxes"))
    every: float | None = option(
        "Take whole videos, a frame every this many seconds, where there are no key frames.",
        default=None,
        least=0.001,
    )
    """Time stamps are no finer than a millisecond."""
    threshold: float = option("Keep persons of a higher score.", default=0.8, least=0, below=1)
    min_size: float = option(
        "Pixels of a box's shorter side, at least, in the frame itself.", default=0.0, least=0
    )
    weights: str = option("default, random, or a file.", default="default")
    decoder: str = option(
        "Video decoder.", default="pyav", known="egofeat.extract.video.opening:DECODERS"
    )
    batch_size: int | None = option(
        "Frames a batch.", default=None, default_is="1; 8 on a GPU", least=1
    )


class FromMapsConfig(FromManifest, Splits, Device):
    """Everything that a person can choose where the maps are in a store."""

    store: Path = option(
        "Store of the maps of key frames, or a folder that holds one.", argument=True
    )
    taps: tuple[str, ...] = option(
        "roi: a vector a person; roi_map: 7 × 7 places; or both, by comma.",
        default=(),
        flag="--tap",
        default_is="roi",
    )
    roi: RoiConfig = field(default_factory=RoiConfig)
    out: Path | None = option(
        "Folder of the feature stores.", default=None, default_is="where the maps are"
    )

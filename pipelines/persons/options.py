"""What a person can choose about detecting persons, and about cutting them out of maps."""

from dataclasses import field
from pathlib import Path

from egofeat.options import Device, inherited, option
from egofeat.pipelines.extraction.options import PersonTaps, RoiConfig
from egofeat.pipelines.options import (
    ChosenOut,
    Compute,
    Data,
    Decoder,
    Every,
    FromManifest,
    Out,
    Splits,
    StoreFolder,
    Weights,
)


class PersonsConfig(Data, Out, Every, Weights, Decoder, Compute, panel="Detection"):
    """Options of person detection."""

    out: Path = inherited("Write boxes to this folder.", default=Path("boxes"))
    every: float | None = inherited(
        "Take a frame of whole videos every so many seconds, if there are no key frames."
    )
    threshold: float = option("Keep persons with a higher score.", default=0.8, least=0, below=1)
    min_size: float = option(
        "Keep boxes whose shorter side has at least this many pixels of the original frame.",
        default=0.0,
        least=0,
    )
    weights: str = inherited("Load these weights: default, random, or a file.")
    batch_size: int | None = inherited(
        "Run this many frames per batch.", default_is="1; 8 on a GPU"
    )


class FromMapsConfig(StoreFolder, PersonTaps, ChosenOut, FromManifest, Splits, Device):
    """Everything that a person can choose where the maps are in a store."""

    store: Path = inherited("Feature store of maps of key frames, or a folder that holds one.")
    roi: RoiConfig = field(default_factory=RoiConfig)
    out: Path | None = inherited(default_is="where the maps are")

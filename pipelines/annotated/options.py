"""What a person can choose about an annotated video."""

from dataclasses import MISSING
from pathlib import Path

from egofeat.options import Device, inherited, option
from egofeat.pipelines.options import Detected, Every, Out, StoreWeights, Top, VideoFile
from egofeat.pipelines.training.options import RunFolder


class AnnotateConfig(
    RunFolder, VideoFile, Out, Every, Detected, Top, StoreWeights, Device, panel="Video"
):
    """Everything that a person can choose about an annotated video."""

    video: Path = inherited(argument=True, metavar="VIDEO")
    out: Path = inherited("Write this file, .mp4 or .mkv.", default=MISSING, flag="--out,-o")
    boxes: Path | None = option(
        "Take persons from this CSV file of detections, or a folder of such files; for a run "
        "on persons.",
        default=None,
        default_is="the detector of egofeat persons",
    )
    every: float | None = inherited(
        "Take a key frame every so many seconds; of a run on segments, recognise stretches "
        "this long.",
        default_is="1, or 3",
        least=0.04,
    )
    threshold: float | None = option(
        "Leave out labels with a lower score.",
        default=None,
        default_is="0.3 for persons, else 0",
        least=0,
        below=1,
    )
    top: int = inherited("Show at most this many labels per person or target.", default=3)

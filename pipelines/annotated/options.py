"""What a person can choose about an annotated video."""

from pathlib import Path

from egofeat.options import Device, option
from egofeat.pipelines.options import StoreWeights
from egofeat.pipelines.training.options import RunFolder


class AnnotateConfig(RunFolder, StoreWeights, Device, panel="Video"):
    """Everything that a person can choose about an annotated video."""

    video: Path = option("Video file.", argument=True, metavar="VIDEO")
    out: Path = option("File to write, .mp4 or .mkv.", flag="--out,-o")
    boxes: Path | None = option(
        "Detections, a CSV file or a folder of such, for a run on persons.",
        default=None,
        default_is="the detector of egofeat persons",
    )
    every: float | None = option(
        "Seconds from key frame to key frame, or of each stretch that is recognised.",
        default=None,
        default_is="1, or 3",
        least=0.04,
    )
    threshold: float | None = option(
        "Leave out labels of a lower score.",
        default=None,
        default_is="0.3 for persons, else 0",
        least=0,
        below=1,
    )
    top: int = option("Labels a person, or a target, at most.", default=3, least=1)
    min_score: float = option("Leave out boxes of a lower score.", default=0.8, least=0, below=1)

"""What a person can choose about annotated videos."""

from dataclasses import MISSING
from pathlib import Path

from egofeat.errors import RequestError
from egofeat.options import Device, inherited, option
from egofeat.pipelines.options import (
    Detected,
    Every,
    FrameRate,
    MaybeVideo,
    Out,
    StoreWeights,
    Top,
    Views,
)
from egofeat.pipelines.training.options import OF_STORE, OWN_WEIGHTS, RATE, OwnClassifier, RunFolder


class AnnotateConfig(
    RunFolder,
    OwnClassifier,
    MaybeVideo,
    Out,
    Every,
    Detected,
    Views,
    Top,
    StoreWeights,
    FrameRate,
    Device,
    panel="Video",
):
    """Everything that a person can choose about annotated videos."""

    run: Path = inherited(
        "Folder of a run that fit-head made; with a backbone, the video.", metavar="RUN/VIDEO"
    )
    video: Path | None = inherited(
        "Video to read, after a run: a file, frames, or a folder of either.",
        argument=True,
        metavar="VIDEO",
    )
    out: Path = inherited(
        "Write this file, .mp4 or .mkv; of a folder of videos, a folder.",
        default=MISSING,
        flag="--out,-o",
        writes="either",
    )
    boxes: Path | None = option(
        "Take persons from this CSV file of detections, or a folder of such files; for a run "
        "on persons, or a detection network.",
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
    views: tuple[int, int] | None = inherited(
        "With a backbone: average over this many clips (or frames) x crops of each stretch.",
        default_is="1x1",
    )
    weights: tuple[str, ...] = inherited(OWN_WEIGHTS, default_is=OF_STORE)
    fps: float | None = inherited(RATE, default=None)
    top: int = inherited("Show at most this many labels per person or target.", default=3)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.backbone is None and self.video is None:
            raise RequestError("no video is named: name one after the run")
        if self.backbone is not None and self.video is not None:
            raise RequestError(
                f"`backbone` sees in place of a run: name one video, not {self.run} and "
                f"{self.video}"
            )
        if self.backbone is None and self.views:
            raise RequestError("`views` are of a backbone's own classifier: name a `backbone` too")

    @property
    def seen(self) -> Path:
        """The video."""
        return self.video or self.run

"""What a person can choose about an export."""

from dataclasses import MISSING
from pathlib import Path

from egofeat.options import Device, inherited, option
from egofeat.pipelines.options import ChosenOut, DataSet, Out, Splits, StoreFolder, Tap
from egofeat.pipelines.training.options import RunFolder, RunStores


class ExportConfig(StoreFolder, Out, Tap, Splits, DataSet, panel="Export"):
    """Everything that a person can choose about an export."""

    to: str = option("Write this format.", known="egofeat.pipelines.exporting.formats:FORMATS")
    out: Path = inherited("Write to this folder.", default=MISSING)
    manifest: Path | None = option(
        "Read splits and annotations of the videos from this manifest; a store of windows has"
        " none.",
        default=None,
    )
    dataset: str | None = inherited(
        "Use this data set of the manifest.", default_is="that of the store's name"
    )


class ChallengeConfig(RunStores, Out, Device, panel="Export"):
    """What a person can choose about a challenge's file."""

    out: Path = inherited("Write this zip file.", default=Path("submission.zip"), writes="file")
    split: str = option("Score the segments of this split; they need no labels.", default="test")
    incomplete: bool = option("Leave out segments without features.", default=False)


class WeightsConfig(RunFolder, ChosenOut, panel="Export"):
    """What a person can choose about exported weights."""

    out: Path | None = inherited(
        "Write this file, .safetensors.",
        default_is="weights.safetensors in the run's folder",
        writes="file",
    )
    target: str | None = option(
        "Write the classifier of this target.", default=None, default_is="the only one"
    )
    weights: Path | None = option(
        "Load the backbone's weights from this file, if the store was made with a file of yours.",
        default=None,
        default_is="those of the store",
    )

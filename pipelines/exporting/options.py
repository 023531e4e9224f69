"""What a person can choose about an export."""

from dataclasses import MISSING
from pathlib import Path

from egofeat.options import Device, inherited, option
from egofeat.pipelines.options import DataSet, Out, Splits, StoreFolder, Tap
from egofeat.pipelines.training.options import RunStores


class ExportConfig(StoreFolder, Out, Tap, Splits, DataSet, panel="Export"):
    """Everything that a person can choose about an export."""

    to: str = option(
        "Format of another project.", known="egofeat.pipelines.exporting.formats:FORMATS"
    )
    out = inherited(help="Folder of the files.", default=MISSING)
    manifest: Path | None = option(
        "Manifest that has the videos' splits and annotations, which dense windows do not have.",
        default=None,
    )
    dataset = inherited(help="Entry of the manifest.", default_is="that of the store's name")


class ChallengeConfig(RunStores, Out, Device, panel="Export"):
    """What a person can choose about a challenge's file."""

    out = inherited(help="Zip to write.", default=Path("submission.zip"))
    split: str = option("Split whose segments are scored; they need no labels.", default="test")
    incomplete: bool = option("Leave out segments without features.", default=False)

"""What a person can choose about an export."""

from pathlib import Path

from egofeat.options import Device, option
from egofeat.pipelines.options import Splits
from egofeat.pipelines.training.options import RunStores


class ExportConfig(Splits, panel="Export"):
    """Everything that a person can choose about an export."""

    store: Path = option("Folder of one store, or that holds one.", argument=True, metavar="STORE")
    to: str = option(
        "Format of another project.", known="egofeat.pipelines.exporting.formats:FORMATS"
    )
    out: Path = option("Folder of the files.")
    tap: str | None = option("Tap of the store.", default=None, default_is="the only one")
    manifest: Path | None = option(
        "Manifest that has the videos' splits and annotations, which dense windows do not have.",
        default=None,
    )
    dataset: str | None = option(
        "Entry of the manifest.", default=None, default_is="that of the store's name"
    )


class ChallengeConfig(RunStores, Device, panel="Export"):
    """What a person can choose about a challenge's file."""

    out: Path = option("Zip to write.", default=Path("submission.zip"))
    split: str = option("Split whose segments are scored; they need no labels.", default="test")
    incomplete: bool = option("Leave out segments without features.", default=False)

"""What a person can choose about an import of features."""

from pathlib import Path

from egofeat.errors import RequestError
from egofeat.options import inherited, option
from egofeat.pipelines.extraction.options import Storage
from egofeat.pipelines.options import Data, FrameRate, Stride, Tap

KINDS = "egofeat.pipelines.importing.formats:FORMATS"


class ImportConfig(Data, Storage, FrameRate, Stride, Tap, panel="Import"):
    """Everything that a person can choose about an import of features."""

    files: Path = option("File or folder of the features.", argument=True, metavar="FILES")
    kind: str = option("Read files of this kind.", flag="--from", choices=KINDS)
    network: str = option(
        "Say which network made the features.", default="unknown", flag="--backbone"
    )
    tap: str | None = inherited("Call the features this.", default_is="features")
    each: str | None = option(
        "Take each array as that of one segment, or of one whole video.",
        default=None,
        default_is="by the names",
        choices=("segment", "video"),
    )
    key: str | None = option(
        "Read arrays of this name in each file (npz, ego4d), in this group (hdf5), or frames under "
        "keys of this form (lmdb).",
        default=None,
        default_is="feats, features, or the only one; all; as RULSTM's",
    )
    fps: float | None = inherited(
        "Say at which rate the network saw whole videos.", default_is="that of the format"
    )
    window: int | None = option(
        "Say how many frames a row stands for.",
        default=None,
        default_is="that of the format",
        least=1,
    )
    stride: int | None = inherited(
        "Say how many frames lie between rows.", default_is="that of the format"
    )
    rows: int | None = option(
        "Give each segment this many rows.",
        default=None,
        default_is="those of a segment's array; 20 of a video's",
        least=1,
        most=100_000,
    )
    resample: str = option(
        "Make rows so: the nearest in time, linear between two, or the mean of those in each part.",
        default="nearest",
        choices=("nearest", "linear", "mean"),
    )
    whole: bool = option(
        "Keep whole videos with all their rows, as extract does with `windows`.", default=False
    )
    dtype: str | None = option(
        "Store numbers in this type.",
        default=None,
        default_is="that of the files",
        choices=("float16", "float32"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.whole and (self.rows or self.each == "segment"):
            name = "rows" if self.rows else "each"
            raise RequestError(f"`whole` keeps all rows of whole videos: leave `{name}` out")

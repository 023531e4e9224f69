"""Options that several commands have alike, group by group."""

import re
from pathlib import Path

from egofeat.errors import RequestError
from egofeat.options import Device, Options, option

DEFAULT_MANIFEST = Path("data_manifest.yaml")


def _read_part(text: str) -> tuple[int, int]:
    """`3/16` to `(3, 16)`."""
    if not (match := re.fullmatch(r"(\d+)/(\d+)", text)):
        raise RequestError(f"--part {text} is no part: give a number of so many, as 3/16")
    return int(match[1]), int(match[2])


def _show_part(part: tuple[int, int]) -> str:
    return f"{part[0]}/{part[1]}"


def read_views(text: str) -> tuple[int, int]:
    """`10x3` to `(10, 3)`: clips and crops.

    Raises:
        RequestError: anything else.
    """
    if not (match := re.fullmatch(r"([1-9]\d*)[x×]([1-9]\d*)", text)):
        raise RequestError(f"--views {text} is no number of views: give clips x crops, as 10x3")
    return int(match[1]), int(match[2])


def show_views(views: tuple[int, int]) -> str:
    """`(10, 3)` to `10x3`."""
    return f"{views[0]}x{views[1]}"


class Compute(Device, panel="Compute"):
    """How a pass over videos is done; no number of a feature depends on it."""

    batch_size: int | None = option(
        "Frames, or clips, a batch.",
        default=None,
        default_is="4 frames; 256 on a GPU; 1 clip",
        least=1,
    )
    workers: int | None = option(
        "Decoding threads.", default=None, default_is="one a core, 16 at most", least=1
    )
    part: tuple[int, int] = option(
        "Share of the work that this machine does, as 3/16: part 3 of 16.",
        default=(1, 1),
        read=_read_part,
        show=_show_part,
    )
    """Number of this part, from 1, and how many parts there are."""
    retry_failed: bool = option("Try again what could not be read before.", default=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        number, parts = self.part
        if parts < 1:
            raise RequestError(
                f"--part {number}/{parts} is no part: give a number of so many, as 3/16"
            )
        if not 1 <= number <= parts:
            raise RequestError(
                f"--part {number}/{parts} is no part: give 1/{parts} to {parts}/{parts}"
            )


class Weights(Options, panel="Network"):
    """Which weights a network has."""

    weights: str = option(
        "Weights: default, the name of official weights, random, or a file.", default="default"
    )


class StoreWeights(Options, panel="Network"):
    """Which weights the network of a run's stores has."""

    weights: tuple[str, ...] = option(
        "Backbone weights, where the store's were your own file; one a store.",
        default=(),
        repeated=True,
        default_is="those of the store",
    )


class FromManifest(Options, panel="Data"):
    """Where data sets are described."""

    manifest: Path = option("YAML file that describes the data sets.", default=DEFAULT_MANIFEST)


class Splits(Options, panel="Data"):
    """Which parts of a data set."""

    splits: tuple[str, ...] = option(
        "Splits, by comma.", default=(), flag="--split", default_is="all"
    )


class Data(FromManifest, Splits, panel="Data"):
    """Which data set, and what of it."""

    dataset: str | None = option(
        "Entry of the manifest; not needed where there is only one.", default=None
    )


class Trial(Options):
    """Whether anything is done."""

    dry_run: bool = option("Say what would be done, and do nothing.", default=False)


class Folder(Options):
    """Where to look."""

    folder: Path = option("Folder to look for stores in.", default=Path("features"), argument=True)


class Kept(Options):
    """What to check."""

    paths: tuple[Path, ...] = option(
        "Stores and runs, or folders that hold some: all of them.",
        argument=True,
        repeated=True,
        metavar="PATH…",
    )


class BackboneName(Options):
    """Which network."""

    name: str | None = option(
        "One of them, or tv:NAME: all that is known of it.", default=None, argument=True
    )

"""Options that several commands of stage one take alike."""

import re
from pathlib import Path
from typing import Annotated

import typer

from egofeat.errors import RequestError

DatasetName = Annotated[
    str | None, typer.Option(help="Entry of the manifest; not needed where there is one.")
]
Manifest = Annotated[Path, typer.Option(help="YAML file that describes the data sets.")]
Splits = Annotated[str | None, typer.Option(help="Splits, by comma. [default: all]")]
ClipFrames = Annotated[int | None, typer.Option(help="Frames a clip. [default: the backbone's]")]
DType = Annotated[str, typer.Option(help="float16 or float32, as stored.")]
Precision = Annotated[str, typer.Option(help="Arithmetic of the network: float32 or bf16.")]
Decoder = Annotated[str, typer.Option(help="pyav, decord or torchcodec.")]
StoreFormat = Annotated[
    str | None, typer.Option("--format", help="hdf5 or zarr. [default: the store's; hdf5]")
]
Compress = Annotated[
    str | None,
    typer.Option(
        help="gzip or lzf (hdf5), zstd (zarr): smaller, not mapped; none. [default: the store's]"
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(help="Frames, or clips, a batch. [default: 4 frames; 256 on a GPU; 1 clip]"),
]
Workers = Annotated[
    int | None, typer.Option(help="Decoding threads. [default: one a core, 16 at most]")
]
Part = Annotated[str, typer.Option(help="This machine's share of the work, as 3/16: part 3 of 16.")]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Try again what could not be read before.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


def read_part(text: str) -> tuple[int, int]:
    """`3/16` to `(3, 16)`."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match:
        raise RequestError(f"--part {text} is no part: give a number of so many, as 3/16")
    return int(match[1]), int(match[2])

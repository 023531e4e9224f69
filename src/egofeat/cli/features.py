"""Stage one: `extract`, and what tells of stores: `ls`, `verify`."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from egofeat import console
from egofeat.cli.app import Device, Json, app, names, show
from egofeat.errors import RequestError


def _part(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match:
        raise RequestError(f"--part {text} is no part: give a number of so many, as 3/16")
    return int(match[1]), int(match[2])


@app.command("extract", rich_help_panel="Features")
def extract_command(
    backbone: Annotated[str, typer.Option(help="Frozen network.")] = "mobilenetv2",
    dataset: Annotated[
        str | None, typer.Option(help="Entry of the manifest; not needed where there is one.")
    ] = None,
    manifest: Annotated[Path, typer.Option(help="YAML file that describes the data sets.")] = Path(
        "data_manifest.yaml"
    ),
    out: Annotated[Path, typer.Option(help="Folder of the feature stores.")] = Path("features"),
    tap: Annotated[
        str | None,
        typer.Option(help="Outputs to keep, by comma: gap, map, block12, … [default: gap]"),
    ] = None,
    frames: Annotated[int, typer.Option(help="Frames a segment, evenly spread.")] = 20,
    transform: Annotated[
        str,
        typer.Option(help="squash: the whole frame into a square; torchvision: as the weights'."),
    ] = "squash",
    size: Annotated[
        int | None, typer.Option(help="Pixels of the network's input. [default: the transform's]")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Splits, by comma. [default: all]")] = None,
    weights: Annotated[
        str, typer.Option(help="default, the name of official weights, random, or a file.")
    ] = "default",
    dtype: Annotated[str, typer.Option(help="float16 or float32, as stored.")] = "float16",
    precision: Annotated[
        str, typer.Option(help="Arithmetic of the network: float32 or bf16.")
    ] = "float32",
    decoder: Annotated[str, typer.Option(help="pyav, decord or torchcodec.")] = "pyav",
    store_format: Annotated[
        str | None, typer.Option("--format", help="hdf5 or zarr. [default: hdf5]")
    ] = None,
    compress: Annotated[
        str | None,
        typer.Option(help="gzip or lzf (hdf5), zstd (zarr): smaller, not mapped. [default: none]"),
    ] = None,
    device: Device = "auto",
    batch_size: Annotated[
        int | None, typer.Option(help="Frames a batch. [default: 4; 256 on a GPU]")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Decoding threads. [default: one a core, 16 at most]")
    ] = None,
    part: Annotated[
        str, typer.Option(help="This machine's share of the work, as 3/16: part 3 of 16.")
    ] = "1/1",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what could not be read before.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a frozen backbone over every segment of a data set, once, and keep the features.

    What is in the store already is not done again: after a kill, or when segments were
    added, give the same command.
    """
    from egofeat.pipelines import extract

    config = extract.ExtractConfig(
        backbone=backbone,
        dataset=dataset,
        manifest=manifest,
        out=out,
        taps=names(tap),
        frames=frames,
        transform=transform,
        size=size,
        splits=names(split),
        weights=weights,
        dtype=dtype,
        precision=precision,
        decoder=decoder,
        format=store_format,
        compress=compress,
        device=device,
        batch_size=batch_size,
        workers=workers,
        part=_part(part),
        retry_failed=retry_failed,
    )
    if dry_run:
        show(extract.forecast(config), as_json)
        return
    report = extract.run(config)
    show(report, as_json)
    if report.failed:
        if as_json:
            console.note(report.failures_line())
        raise typer.Exit(1)


@app.command("ls", rich_help_panel="Features")
def ls_command(
    folder: Annotated[Path, typer.Argument(help="Where to look for stores.")] = Path("features"),
    as_json: Json = False,
) -> None:
    """List the feature stores below a folder: what they hold, how large, how made."""
    from egofeat.store import StoreSummary, list_stores

    def say(store: StoreSummary) -> str:
        if store.problem:
            return f"{store.path}\n  {store.problem}"
        taps = ", ".join(f"{tap} {list(shape)}" for tap, shape in store.taps.items())
        packing = f"{store.format} {store.compress}" if store.compress else store.format
        said = [
            f"{store.path}",
            f"  {store.segments} segments, {store.failures} failures, {console.size(store.bytes)}",
            f"  {taps}, {packing}",
        ]
        if store.stale:
            said.append(f"  {store.stale} rows are of segments that the manifest names no longer")
        for library, (then, now) in store.changed.items():
            said.append(f"  made with {library} {then}, now {now}")
        return "\n".join(said)

    if not folder.is_dir():
        raise RequestError(f"there is no folder {folder}: name one that holds feature stores")
    stores = list_stores(folder)
    if as_json:
        print(json.dumps([asdict(store) for store in stores], default=str))
    else:
        print("\n".join(map(say, stores)) if stores else f"no feature stores in {folder}")


@app.command("verify", rich_help_panel="Features")
def verify_command(
    store: Annotated[Path, typer.Argument(help="Folder of one store.")], as_json: Json = False
) -> None:
    """Read every byte of a store and check it against its checksums; changes nothing."""
    from egofeat.store import verify

    problems = verify(store)
    if as_json:
        print(json.dumps([asdict(problem) for problem in problems]))
    for problem in [] if as_json else problems:
        print(": ".join(filter(None, (problem.shard, problem.id, problem.message))))
    if problems:
        raise typer.Exit(1)
    if not as_json:
        print(f"{store} is sound")

"""Stage one: `extract`, and what tells of stores: `ls`, `verify`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from egofeat import console
from egofeat.cli.app import Device, Json, app, names, show
from egofeat.cli.options import (
    BatchSize,
    ClipFrames,
    Compress,
    DatasetName,
    Decoder,
    DryRun,
    DType,
    Manifest,
    Part,
    Precision,
    RetryFailed,
    Splits,
    StoreFormat,
    Workers,
    read_part,
)
from egofeat.errors import RequestError
from egofeat.words import counted

if TYPE_CHECKING:
    from egofeat.pipelines.extraction.job import Job
    from egofeat.pipelines.extraction.reports import JointForecast
    from egofeat.pipelines.options import Compute


@app.command("extract", rich_help_panel="Features")
def extract_command(
    backbone: Annotated[
        list[str] | None,
        typer.Option(
            help="Frozen network, one of `egofeat backbones`; several times: all from one decode. "
            "[default: mobilenetv2]"
        ),
    ] = None,
    dataset: DatasetName = None,
    manifest: Manifest = Path("data_manifest.yaml"),
    out: Annotated[Path, typer.Option(help="Folder of the feature stores.")] = Path("features"),
    tap: Annotated[
        list[str] | None,
        typer.Option(
            help="Outputs to keep, by comma: gap, map, block12, …; for all backbones, or once for "
            "each. [default: the backbone's]"
        ),
    ] = None,
    frames: Annotated[
        int | None, typer.Option(help="Frames a segment, for image networks. [default: 20]")
    ] = None,
    clips: Annotated[
        int | None, typer.Option(help="Clips a segment, for clip networks. [default: 1]")
    ] = None,
    clip_frames: ClipFrames = None,
    crops: Annotated[int, typer.Option(help="Crops of each frame or clip: 1 or 3.")] = 1,
    windows: Annotated[
        int | None,
        typer.Option(help="Whole videos in windows of so many frames, in place of segments."),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(help="Frames from one window to the next. [default: half a window]"),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(help="Frame rate of windows and clips. [default: 30; the backbone's]"),
    ] = None,
    transform: Annotated[
        str | None,
        typer.Option(
            help="squash: the whole frame into a square; weights: as the weights' publisher. "
            "[default: the backbone's]"
        ),
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Pixels of the network's input. [default: the transform's]")
    ] = None,
    motion: Annotated[
        str | None,
        typer.Option(
            help="In place of colours: farneback, tvl1, raft, raft_small, frames (flow that the "
            "data set ships) or rgbdiff; none. [default: the backbone's]"
        ),
    ] = None,
    motion_values: Annotated[
        str | None,
        typer.Option(help="uint8: within ±20 pixels; float32. [default: uint8, of grids float32]"),
    ] = None,
    pool_grid: Annotated[
        int | None, typer.Option(help="Pool maps to so many places a side. [default: all kept]")
    ] = None,
    pool_time: Annotated[
        bool, typer.Option("--pool-time", help="Average maps of clips over their steps.")
    ] = False,
    split: Splits = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="default, the name of official weights, random, or a file; for all backbones, or "
            "once for each. [default: default]"
        ),
    ] = None,
    dtype: DType = "float16",
    precision: Precision = "float32",
    decoder: Decoder = "pyav",
    store_format: StoreFormat = None,
    compress: Compress = None,
    device: Device = "auto",
    batch_size: BatchSize = None,
    workers: Workers = None,
    part: Part = "1/1",
    retry_failed: RetryFailed = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Run frozen backbones over every segment of a data set, once, and keep the features.

    What is in the store already is not done again: after a kill, or when segments were
    added, give the same command.
    """
    from egofeat.pipelines.extraction import job
    from egofeat.pipelines.extraction import options as choices

    shared = choices.ExtractConfig(
        dataset=dataset,
        manifest=manifest,
        out=out,
        frames=frames,
        clips=clips,
        clip_frames=clip_frames,
        crops=crops,
        windows=windows,
        stride=stride,
        fps=fps,
        transform=transform,
        size=size,
        motion=motion,
        motion_values=motion_values,
        pool_grid=pool_grid,
        pool_time=pool_time,
        splits=names(split),
        dtype=dtype,
        precision=precision,
        decoder=decoder,
        format=store_format,
        compress=compress,
        device=device,
        batch_size=batch_size,
        workers=workers,
        part=read_part(part),
        retry_failed=retry_failed,
    )
    configs = job.for_each(
        shared, backbone or [shared.backbone], weights or (), [names(taps) for taps in tap or ()]
    )
    run_or_forecast(job.plan_jobs(configs), shared, dry_run, as_json)


def run_or_forecast(
    jobs: "Sequence[Job]", compute: "Compute", dry_run: bool, as_json: bool
) -> None:
    """Do jobs or say what they would do; one alone is reported as itself."""
    from egofeat.pipelines.extraction import extract

    if dry_run:
        forecast = extract.forecast_jobs(jobs, compute)
        show_forecast(forecast, as_json)
        return
    report = extract.run_jobs(jobs, compute)
    finish(report if len(jobs) > 1 else report.stores[0], as_json)


def show_forecast(forecast: "JointForecast", as_json: bool) -> None:
    """Print what an extraction would do; one that has no room is refused, after all is said."""
    alone = len(forecast.stores) == 1
    show(forecast.stores[0] if alone else forecast, as_json)
    if not all(store.fits for store in forecast.stores):
        raise typer.Exit(RequestError.exit_code)


def finish(report: Any, as_json: bool) -> None:
    """Print what an extraction did; segments that could not be read make it a failed one."""
    show(report, as_json)
    if report.incomplete:
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
        aside = " (superseded)" if store.superseded else ""
        if store.problem:
            return f"{store.path}{aside}\n  {store.problem}"
        taps = ", ".join(f"{tap} {list(shape)}" for tap, shape in store.taps.items())
        packing = f"{store.format} {store.compress}" if store.compress else store.format
        size = console.size(store.bytes)
        said = [
            f"{store.path}{aside}",
            f"  {store.held}, {counted(store.failures, 'failures')}, {size}",
            f"  {taps}, {packing}",
        ]
        if store.stale:
            said.append(f"  {store.stale} rows are of segments that the manifest names no longer")
        for library, (then, now) in store.changed.items():
            said.append(f"  made with {library} {then}, now {now}")
        said += [f"  {remark}" for remark in store.remarks]
        return "\n".join(said)

    if not folder.is_dir():
        raise RequestError(f"there is no folder {folder}: name one that holds feature stores")
    stores = list_stores(folder)
    if as_json:
        print(json.dumps([asdict(store) for store in stores], default=str))
    else:
        console.say("\n".join(map(say, stores)) if stores else _none_in(folder))


def _none_in(folder: Path) -> str:
    """What to say of a folder without stores."""
    from egofeat.pipelines.kept import find_runs
    from egofeat.store.reading.opening import find_deeper, some

    said = [f"no feature stores in {folder}"]
    if deeper := find_deeper(folder):
        said.append(f"  but further below: {some(deeper)}")
    if runs := find_runs(folder):
        said.append(f"  but runs, which `egofeat evaluate` tells of: {some(runs)}")
    return "\n".join(said)


@app.command("verify", rich_help_panel="Features")
def verify_command(
    store: Annotated[
        list[Path],
        typer.Argument(
            help="Stores and runs, or folders that hold some: all of them.", metavar="PATH…"
        ),
    ],
    as_json: Json = False,
) -> None:
    """Read every byte of stores and runs and check it against its checksums; changes nothing."""
    from egofeat.pipelines.kept import find_kept, lacking, verify

    told = []
    kept = find_kept(store)
    for path in kept:
        problems = verify(path)
        told += [{"path": str(path), **asdict(problem)} for problem in problems]
        if as_json:
            continue
        where = [str(path)] if len(kept) > 1 else []
        for one in problems:
            console.say(": ".join([*where, *filter(None, (one.shard, one.id, one.message))]))
        if not problems:
            console.say(f"{path} is sound{lacking(path)}")
    if as_json:
        print(json.dumps(told))
    if told:
        raise typer.Exit(1)

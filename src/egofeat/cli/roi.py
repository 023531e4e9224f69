"""Features of persons: `roi`."""

from pathlib import Path
from typing import Annotated

import typer

from egofeat.cli.app import Device, Json, app, is_said, names, show
from egofeat.cli.features import run_or_forecast
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

_OF_MAPS = {
    *("store", "boxes", "min_score", "tap", "maps", "manifest", "out", "split"),
    *("sampling", "aligned", "device", "as_json"),
}
"""Options that suit a store of maps."""


@app.command("roi", rich_help_panel="Features")
def roi_command(
    ctx: typer.Context,
    backbone: Annotated[str, typer.Option(help="Frozen network.")] = "slowfast_32x2_r101_ava",
    boxes: Annotated[
        str,
        typer.Option(
            help="annotated: the data set's own; or a detector's: a CSV file, or the folder that "
            "`egofeat persons` leaves."
        ),
    ] = "annotated",
    min_score: Annotated[
        float, typer.Option(help="Leave out detected boxes of a lower score.")
    ] = 0.8,
    tap: Annotated[
        str, typer.Option(help="roi: a vector a person; roi_map: 7 × 7 places; or both, by comma.")
    ] = "roi",
    maps: Annotated[
        str | None,
        typer.Option(help="Taps that boxes are cut out of, by comma. [default: the last maps]"),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="Store of key frames' maps to cut out of, in place of videos."),
    ] = None,
    dataset: DatasetName = None,
    manifest: Manifest = Path("data_manifest.yaml"),
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the feature stores. [default: features; where the maps are]"),
    ] = None,
    split: Splits = None,
    clip_frames: ClipFrames = None,
    transform: Annotated[
        str | None,
        typer.Option(
            help="whole: as the weights' publisher resizes, nothing cut off; squash: into a "
            "square. [default: whole]"
        ),
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Pixels of the shorter side. [default: the backbone's]")
    ] = None,
    sampling: Annotated[
        int, typer.Option(help="Points a side of each place; 0 goes by the size of the box.")
    ] = 0,
    aligned: Annotated[
        bool,
        typer.Option("--aligned", help="Move boxes by half a pixel, for weights trained so."),
    ] = False,
    weights: Annotated[
        str, typer.Option(help="default, the name of official weights, random, or a file.")
    ] = "default",
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
    """Run a frozen network over each key frame, once, and keep features of the persons in it.

    What is in the store already is not done again. With --store, the maps of
    `egofeat extract --tap slow_map,fast_map --transform squash` are cut anew, for other boxes,
    in place of videos; all options of the network are then settled.
    """
    from egofeat.pipelines.extraction import job
    from egofeat.pipelines.extraction import options as choices
    from egofeat.pipelines.persons import roi_from_maps
    from egofeat.pipelines.persons.options import FromMapsConfig

    chosen = choices.RoiConfig(
        boxes=boxes,
        min_score=min_score,
        maps=names(maps),
        sampling=sampling,
        aligned=aligned,
    )
    if store:
        for option in ctx.params:
            if option not in _OF_MAPS and is_said(ctx, option):
                raise RequestError(
                    f"--{option.replace('_', '-')} does not go with --store, whose maps are made: "
                    "leave one of them out"
                )
        config = FromMapsConfig(
            store=store,
            roi=chosen,
            taps=names(tap),
            manifest=manifest,
            out=out,
            splits=names(split),
            device=device,
        )
        show(roi_from_maps.cut_from_maps(config), as_json)
        return
    config_of_all = choices.ExtractConfig(
        backbone=backbone,
        dataset=dataset,
        manifest=manifest,
        out=out or Path("features"),
        taps=names(tap),
        clip_frames=clip_frames,
        transform=transform,
        size=size,
        roi=chosen,
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
        part=read_part(part),
        retry_failed=retry_failed,
    )
    run_or_forecast([job.plan_job(config_of_all)], config_of_all, dry_run, as_json)

"""Stage one again: another backbone over what a store holds, or stale stores made anew."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from egofeat import console
from egofeat.cli.app import Device, Json, app, names
from egofeat.cli.features import finish, run_or_forecast, show_forecast
from egofeat.cli.options import (
    BatchSize,
    DryRun,
    Manifest,
    RetryFailed,
    Workers,
)
from egofeat.errors import RequestError

if TYPE_CHECKING:
    from egofeat.pipelines.extraction.options import ReextractConfig


@app.command("reextract", rich_help_panel="Features")
def reextract_command(
    source: Annotated[
        Path | None, typer.Option("--from", help="Store whose data set and segments are taken.")
    ] = None,
    backbone: Annotated[
        list[str] | None,
        typer.Option(help="Frozen network; several times: all from one decode."),
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(
            "--all",
            help="Data set whose stores are made anew where weights, transform or decoder are no "
            "longer the same.",
        ),
    ] = None,
    tap: Annotated[
        list[str] | None,
        typer.Option(help="Outputs to keep, by comma; for all backbones, or once for each."),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(help="default, a name, random, or a file; for all, or once for each."),
    ] = None,
    manifest: Manifest = Path("data_manifest.yaml"),
    out: Annotated[
        Path | None, typer.Option(help="Folder of the stores. [default: the old one's; features]")
    ] = None,
    device: Device = "auto",
    batch_size: BatchSize = None,
    workers: Workers = None,
    retry_failed: RetryFailed = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Extract again: the segments of a store by another backbone, or what has gone stale.

    Only what is missing runs. Old stores stay until `egofeat prune` removes them.
    """
    from egofeat.pipelines.extraction import reextract
    from egofeat.pipelines.extraction.options import ReextractConfig

    config = ReextractConfig(
        manifest=manifest,
        out=out,
        device=device,
        batch_size=batch_size,
        workers=workers,
        retry_failed=retry_failed,
    )
    if every is not None and source is None:
        if backbone or tap or weights:
            raise RequestError("--all keeps backbones, taps and weights: leave those options out")
        _refresh(every, config, dry_run, as_json)
    elif source is not None and every is None and backbone:
        taps = [names(listed) for listed in tap or ()]
        jobs = reextract.swap(source, backbone, config, weights=weights or (), taps=taps)
        for job in jobs:
            reextract.say_changes(source, job)
        run_or_forecast(jobs, config, dry_run, as_json)
    else:
        raise RequestError("give --from STORE with --backbone NAME, or --all DATASET")


def _refresh(dataset: str, config: "ReextractConfig", dry_run: bool, as_json: bool) -> None:
    from egofeat.pipelines.extraction.refresh import forecast, refresh, stale_stores

    stale = stale_stores(dataset, config)
    for one in stale:
        console.note("\n".join(one.lines()))
    if not stale:
        console.note(f"nothing of {dataset} has gone stale")
    if not stale and not as_json:
        return
    if dry_run:
        show_forecast(forecast(stale, config), as_json)
    else:
        finish(refresh(stale, config), as_json)

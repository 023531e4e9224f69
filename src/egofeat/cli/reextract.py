"""Stage one again: another backbone over what a store holds, or stale stores made anew."""

from pathlib import Path
from typing import Annotated

import typer

from egofeat import console
from egofeat.cli.app import Device, Json, app, names, show
from egofeat.cli.features import BatchSize, Manifest, Workers, finish
from egofeat.errors import RequestError


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
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what could not be read before.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Extract again: the segments of a store by another backbone, or what has gone stale.

    Only what is missing runs. Old stores stay until `egofeat prune` removes them.
    """
    from egofeat.pipelines import reextract
    from egofeat.pipelines.extract import forecast_job, run_jobs

    config = reextract.ReextractConfig(
        manifest=manifest,
        out=out,
        device=device,
        batch_size=batch_size,
        workers=workers,
        retry_failed=retry_failed,
    )
    if (source is None) == (every is None):
        raise RequestError("give --from STORE with --backbone NAME, or --all DATASET")
    if every is not None:
        if backbone or tap or weights:
            raise RequestError("--all keeps backbones, taps and weights: leave those options out")
        stale = reextract.stale_stores(every, config)
        for one in stale:
            console.note("\n  ".join([f"{one.path}\n→ {one.job.store}", *one.changes]))
        if not stale:
            console.note(f"every store of {every} is as it would be made today")
        elif dry_run:
            for one in stale:
                show(forecast_job(one.job), as_json)
        else:
            finish(reextract.refresh(stale), as_json)
        return
    if not backbone:
        raise RequestError("--from needs --backbone: name one of `egofeat backbones`")
    assert source is not None
    jobs = reextract.swap(
        source,
        backbone,
        config,
        weights=weights or (),
        taps=[names(taps) for taps in tap or ()],
    )
    for job in jobs:
        reextract.say_changes(source, job)
    if dry_run:
        for job in jobs:
            show(forecast_job(job), as_json)
        return
    report = run_jobs(jobs)
    finish(report if len(jobs) > 1 else report.stores[0], as_json)

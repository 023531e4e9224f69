"""Boxes of persons: `persons`."""

from pathlib import Path
from typing import Annotated

import typer

from egofeat.cli.app import Device, Json, app, names, show
from egofeat.cli.features import finish
from egofeat.cli.options import (
    DatasetName,
    Decoder,
    DryRun,
    Manifest,
    Part,
    RetryFailed,
    Splits,
    Workers,
    read_part,
)


@app.command("persons", rich_help_panel="Features")
def persons_command(
    dataset: DatasetName = None,
    manifest: Manifest = Path("data_manifest.yaml"),
    out: Annotated[Path, typer.Option(help="Folder of the boxes.")] = Path("boxes"),
    split: Splits = None,
    every: Annotated[
        float | None,
        typer.Option(help="Whole videos, a frame every so many seconds, where no key frames are."),
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="Persons that the detector is surer of, 0 to 1.")
    ] = 0.8,
    min_size: Annotated[
        float, typer.Option(help="Pixels of a box's shorter side, at least, in the frame itself.")
    ] = 0.0,
    weights: Annotated[str, typer.Option(help="default, random, or a file.")] = "default",
    decoder: Decoder = "pyav",
    device: Device = "auto",
    batch_size: Annotated[
        int | None, typer.Option(help="Frames a batch. [default: 1; 8 on a GPU]")
    ] = None,
    workers: Workers = None,
    part: Part = "1/1",
    retry_failed: RetryFailed = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Find the persons in the key frames of a data set, once, and keep their boxes as CSV.

    Videos that were looked at are not looked at again: after a kill, or when key frames were
    added or moved, give the same command.
    """
    from egofeat.pipelines.persons import detect as persons
    from egofeat.pipelines.persons import job as persons_job
    from egofeat.pipelines.persons.options import PersonsConfig

    config = PersonsConfig(
        dataset=dataset,
        manifest=manifest,
        out=out,
        splits=names(split),
        every=every,
        threshold=threshold,
        min_size=min_size,
        weights=weights,
        device=device,
        decoder=decoder,
        batch_size=batch_size,
        workers=workers,
        part=read_part(part),
        retry_failed=retry_failed,
    )
    job = persons_job.plan_persons(config)
    if dry_run:
        show(persons.forecast(job), as_json)
    else:
        finish(persons.run(job), as_json)

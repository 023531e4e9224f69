"""`egofeat annotate`: a video with what a trained head sees written into it."""

from pathlib import Path
from typing import Annotated

import typer

from egofeat.cli.app import Device, Json, app, show


@app.command("annotate", rich_help_panel="Heads")
def annotate_command(
    video: Annotated[Path, typer.Argument(help="Video file.", metavar="VIDEO")],
    run: Annotated[Path, typer.Option(help="Folder that fit-head made.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write, .mp4 or .mkv.")],
    boxes: Annotated[
        Path | None,
        typer.Option(
            help="Detections, a CSV or a folder of such, for a run on persons. [default: the "
            "detector of egofeat persons]"
        ),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(
            help="Seconds from key frame to key frame, or of what is recognised. [default: 1, or 3]"
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Labels of a lower score are not drawn. [default: persons 0.3, else 0]"),
    ] = None,
    top: Annotated[int, typer.Option(help="Labels a person, or a target, at most.")] = 3,
    min_score: Annotated[float, typer.Option(help="Boxes of a lower score are left out.")] = 0.8,
    weights: Annotated[
        list[str] | None,
        typer.Option(help="Backbone weights, where the store's were your own file; one a store."),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Write a video with its persons and their labels, or with what is recognised in it."""
    from egofeat.pipelines.annotated.annotate import AnnotateConfig, annotate

    config = AnnotateConfig(
        video=video,
        run=run,
        out=out,
        boxes=boxes,
        every=every,
        threshold=threshold,
        top=top,
        min_score=min_score,
        weights=tuple(weights or ()),
        device=device,
    )
    show(annotate(config), as_json)

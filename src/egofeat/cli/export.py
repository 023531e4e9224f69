"""What leaves the stores: `export` to other projects' files, `prune` for good."""

from pathlib import Path
from typing import Annotated

import typer

from egofeat.cli.app import Json, app, names, show


@app.command("export", rich_help_panel="Features")
def export_command(
    store: Annotated[Path, typer.Argument(help="Folder of one store, or that holds one.")],
    to: Annotated[str, typer.Option(help="ego4d, actionformer, opentad or npy.")],
    out: Annotated[Path, typer.Option(help="Folder of the files.")],
    tap: Annotated[str | None, typer.Option(help="Which of the store's taps.")] = None,
    split: Annotated[str | None, typer.Option(help="Splits, by comma. [default: all]")] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(help="Has the videos' splits and annotations, which dense windows have not."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Entry of the manifest. [default: that of the store's name]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write features as other projects read them, a file a video or segment.

    **ego4d**: `<video>.pt`, a tensor [N, C]. **actionformer**: `<video>.npz` and the annotation
    JSON. **opentad**: `<video>.npy` [T, C], the annotation JSON and the list of classes. These
    three take dense windows over whole videos.
    **npy**: a file a segment of any store. `features.json` beside them says the stride, window
    and frame rate that the other project wants to know; `missing_files.txt` lists what has no
    features. After an interruption, give the same command.
    """
    from egofeat.pipelines.exporting.export import ExportConfig, export

    config = ExportConfig(
        store=store,
        to=to,
        out=out,
        tap=tap,
        splits=names(split),
        manifest=manifest,
        dataset=dataset,
    )
    show(export(config), as_json)


@app.command("prune", rich_help_panel="Features")
def prune_command(
    stores: Annotated[
        list[Path] | None, typer.Argument(help="Folders of stores.", metavar="STORE")
    ] = None,
    superseded: Annotated[
        bool,
        typer.Option("--superseded", help="Every store that a refresh has set aside below --out."),
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder of the feature stores.")] = Path("features"),
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove them; else only say what would go.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove feature stores; without --yes, say which would go and how large they are."""
    from egofeat.pipelines.extraction.prune import prune

    show(prune(stores or [], superseded=superseded, out=out, yes=yes), as_json)

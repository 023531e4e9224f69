"""`backbones`: the frozen networks there are."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from egofeat.cli.app import Json, app, show

if TYPE_CHECKING:
    from rich.table import Table

    from egofeat.pipelines.bench.listing import Description, Listing


@app.command("backbones", rich_help_panel="Features")
def backbones_command(
    name: Annotated[
        str | None, typer.Argument(help="One of them, or tv:NAME: all that is known of it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the frozen networks: parameters, cost of a view, input, taps, accuracy, weights."""
    from egofeat.pipelines.bench.listing import OTHERS, describe, listing

    if name:
        show(describe(name), as_json)
    elif as_json or not sys.stdout.isatty():
        show(listing(), as_json)
    else:
        from rich.console import Console

        Console(highlight=False).print(_table(listing()), OTHERS, sep="\n")


def _table(listed: "Listing") -> "Table":
    from rich.table import Table

    table = Table(
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        caption="M: 10⁶ parameters; G: 10⁹ multiply-adds a view, counted; input: frames × stride "
        "@ frames a second, pixels; published: accuracy, %; here: weights at hand",
        caption_justify="left",
    )
    table.add_column("backbone", no_wrap=True)
    for heading in ("M", "G"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("input", "taps", "published", "licence", "here"):
        table.add_column(heading)
    for backbone in listed.backbones:
        weights = backbone.weights[0] if backbone.weights else None
        table.add_row(
            backbone.name,
            "–" if backbone.parameters is None else f"{backbone.parameters / 1e6:.1f}",
            backbone.giga(),
            backbone.input(),
            str(len(backbone.taps)),
            f"{weights.accuracy:.1f} {weights.metric}" if weights and weights.accuracy else "–",
            weights.licence.split(" (", maxsplit=1)[0] if weights else "–",
            _here(backbone),
        )
    return table


def _here(backbone: "Description") -> str:
    """Whether the default weights are at hand, or others than those."""
    at_hand = [weights.at_hand for weights in backbone.weights]
    if not any(at_hand):
        return "no"
    return "yes" if at_hand[0] else "other"

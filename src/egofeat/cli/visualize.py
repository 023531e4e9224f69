"""Looking inside: the commands of `egofeat visualize`."""

from pathlib import Path
from typing import Annotated

import typer

from egofeat.cli.app import Device, Json, app, names, show
from egofeat.errors import RequestError

visualize = typer.Typer(
    name="visualize",
    help="Look inside a frozen backbone: kernels, feature maps, what channels answer to; and flow.",
    no_args_is_help=True,
)
app.add_typer(visualize)

Weights = Annotated[
    str, typer.Option(help="default, the name of official weights, random, or a file.")
]
Out = Annotated[Path, typer.Option(help="Folder of the pictures.")]


@visualize.command("kernels")
def kernels_command(
    backbone: Annotated[str, typer.Option(help="Frozen network.")] = "mobilenetv2",
    weights: Weights = "default",
    layer: Annotated[
        str | None,
        typer.Option(
            help="Convolutions, by comma. [default: the second of each stage's last bottleneck]"
        ),
    ] = None,
    out: Out = Path("pictures"),
    as_json: Json = False,
) -> None:
    """Draw the kernels of the first layer and of chosen convolutions."""
    from egofeat.pipelines.visualize import backbones as pipeline

    show(pipeline.kernels(backbone, out, weights=weights, layers=names(layer)), as_json)


@visualize.command("maps")
def maps_command(
    video: Annotated[Path, typer.Option(help="Video file.")],
    backbone: Annotated[str, typer.Option(help="Frozen network.")] = "mobilenetv2",
    weights: Weights = "default",
    tap: Annotated[
        str | None,
        typer.Option(help="By comma: block4, slow_stage2, … [default: all that have maps]"),
    ] = None,
    start: Annotated[float, typer.Option(help="Second at which the clip begins.")] = 0.0,
    out: Out = Path("pictures"),
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Draw what chosen stages make of a clip, below its frames."""
    from egofeat.pipelines.visualize import backbones as pipeline

    drawn = pipeline.maps(
        backbone, video, out, weights=weights, taps=names(tap), start=start, device=device
    )
    show(drawn, as_json)


@visualize.command("activation-maximisation")
def activation_maximisation_command(
    backbone: Annotated[str, typer.Option(help="Frozen network of images.")] = "mobilenetv2",
    weights: Weights = "default",
    block: Annotated[str, typer.Option(help="Numbers, by comma.")] = "1,4,8,12",
    channels: Annotated[
        str | None, typer.Option(help="Numbers, by comma. [default: 12 of each block]")
    ] = None,
    steps: Annotated[int, typer.Option(help="Of gradient ascent.")] = 160,
    seed: Annotated[int, typer.Option(help="Of the noise that every image starts from.")] = 0,
    out: Out = Path("pictures"),
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Draw the images that channels of a block answer to most."""
    from egofeat.pipelines.visualize import backbones as pipeline

    drawn = pipeline.activation_maximisation(
        backbone,
        out,
        weights=weights,
        blocks=_numbers("block", block),
        channels=_numbers("channels", channels),
        steps=steps,
        seed=seed,
        device=device,
    )
    show(drawn, as_json)


@visualize.command("flow")
def flow_command(
    video: Annotated[Path, typer.Option(help="Video file, or folder of shipped flow.")],
    method: Annotated[
        str, typer.Option(help="farneback, tvl1, raft, raft_small, or frames (shipped).")
    ] = "tvl1",
    start: Annotated[float, typer.Option(help="Second of the first frame.")] = 0.0,
    fps: Annotated[
        float | None, typer.Option(help="Frame rate of a folder of frames. [default: 30]")
    ] = None,
    out: Out = Path("pictures"),
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Draw the optical flow of six frames: u, v, magnitude, and direction by the colour wheel."""
    from egofeat.pipelines.visualize import backbones as pipeline

    show(pipeline.flow(video, out, method=method, start=start, fps=fps, device=device), as_json)


@visualize.command("attention")
def attention_command(
    run: Annotated[Path, typer.Argument(help="Folder that fit-head made.", metavar="RUN")],
    video: Annotated[Path | None, typer.Option(help="Video file, taken as one segment.")] = None,
    segment: Annotated[str | None, typer.Option(help="Id, in place of a video.")] = None,
    manifest: Annotated[
        Path, typer.Option(help="That says where the segment's video lies.")
    ] = Path("data_manifest.yaml"),
    store: Annotated[
        list[Path] | None,
        typer.Option(help="Where the run's store lies, if not where it was; of several, in turn."),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Backbone weights, where the store's were your own file.")
    ] = None,
    out: Out = Path("pictures"),
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Draw where a head looks, beside where the wearer looked: a strip and a video."""
    from egofeat.pipelines.visualize import attention as attention_pictures

    drawn = attention_pictures.attention(
        run,
        out,
        video=video,
        segment=segment,
        manifest=manifest,
        store=store,
        weights=weights,
        device=device,
    )
    show(drawn, as_json)


def _numbers(option: str, listed: str | None) -> list[int]:
    words = names(listed)
    for word in words:
        if not word.isdecimal():
            raise RequestError(f"--{option} {listed}: '{word}' is no number: write 1,4,8")
    return [int(word) for word in words]

"""Looking inside: the commands of `egofeat visualize`."""

import typer

from egofeat.cli.command import Report, app, command
from egofeat.pipelines.visualize.options import (
    AttentionConfig,
    FlowConfig,
    KernelsConfig,
    MapsConfig,
    MaximisationConfig,
)

visualize = typer.Typer(
    name="visualize",
    help="Draw what a backbone computes, the optical flow of a video, and where a head looks.",
    no_args_is_help=True,
)
app.add_typer(visualize, rich_help_panel="Pictures")


@command("kernels", on=visualize)
def kernels(asked: KernelsConfig) -> Report:
    """Draw the kernels of the first layer and of chosen convolutions."""
    from egofeat.pipelines.visualize.kernels import kernels as draw

    return draw(asked)


@command("maps", on=visualize)
def maps(asked: MapsConfig) -> Report:
    """Draw the feature maps of chosen stages below the frames of a clip."""
    from egofeat.pipelines.visualize.maps import maps as draw

    return draw(asked)


@command("activation-maximisation", on=visualize)
def activation_maximisation(asked: MaximisationConfig) -> Report:
    """Draw the images that activate channels of a block most."""
    from egofeat.pipelines.visualize.maximise import activation_maximisation as draw

    return draw(asked)


@command("flow", on=visualize)
def flow(asked: FlowConfig) -> Report:
    """Draw the optical flow of six frames: u, v, magnitude, and direction by the colour wheel."""
    from egofeat.pipelines.visualize.flow import flow as draw

    return draw(asked)


@command("attention", on=visualize)
def attention(asked: AttentionConfig) -> Report:
    """Draw where a head looks and where the wearer looked: a picture and a video."""
    from egofeat.pipelines.visualize.attention import attention as draw

    return draw(asked)

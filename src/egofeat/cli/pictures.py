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
    help="Look inside a frozen backbone: kernels, feature maps, what channels answer to; and flow.",
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
    """Draw what chosen stages make of a clip, below its frames."""
    from egofeat.pipelines.visualize.maps import maps as draw

    return draw(asked)


@command("activation-maximisation", on=visualize)
def activation_maximisation(asked: MaximisationConfig) -> Report:
    """Draw the images that channels of a block answer to most."""
    from egofeat.pipelines.visualize.maximise import activation_maximisation as draw

    return draw(asked)


@command("flow", on=visualize)
def flow(asked: FlowConfig) -> Report:
    """Draw the optical flow of six frames: u, v, magnitude, and direction by the colour wheel."""
    from egofeat.pipelines.visualize.flow import flow as draw

    return draw(asked)


@command("attention", on=visualize)
def attention(asked: AttentionConfig) -> Report:
    """Draw where a head looks, beside where the wearer looked: a strip and a video."""
    from egofeat.pipelines.visualize.attention import attention as draw

    return draw(asked)

"""What a person can choose about pictures of a network."""

from pathlib import Path

from egofeat.options import Device, Options, option
from egofeat.pipelines.options import FromManifest, Weights
from egofeat.pipelines.training.options import RunStores


class _Out(Options, panel="Pictures"):
    out: Path = option("Folder of the pictures.", default=Path("pictures"))


class _Network(Weights, panel="Network"):
    backbone: str = option("Frozen network.", default="mobilenetv2", imports=True)


class _Start(Options, panel="Video"):
    video: Path = option("Video file; for flow also a folder of frames or of shipped flow.")
    start: float = option("Second at which the frames begin.", default=0.0, least=0)


class KernelsConfig(_Network, _Out):
    """Pictures of kernels."""

    layers: tuple[str, ...] = option(
        "Convolutions, by comma.",
        default=(),
        flag="--layer",
        default_is="the second of each stage's last bottleneck",
    )


class MapsConfig(_Start, _Network, Device, _Out):
    """Pictures of feature maps."""

    taps: tuple[str, ...] = option(
        "Taps, by comma: block4, slow_stage2, ….",
        default=(),
        flag="--tap",
        default_is="all that have maps",
    )


class MaximisationConfig(_Network, Device, _Out):
    """Images that channels answer to most."""

    blocks: tuple[int, ...] = option(
        "Numbers of blocks, by comma.", default=(1, 4, 8, 12), flag="--block", least=0
    )
    channels: tuple[int, ...] = option(
        "Numbers of channels, by comma.", default=(), default_is="12 of each block", least=0
    )
    steps: int = option("Steps of gradient ascent.", default=160, least=1)
    seed: int = option("Seed of the noise that every image starts from.", default=0, least=0)


class FlowConfig(_Start, Device, _Out):
    """Pictures of optical flow."""

    method: str = option("farneback, tvl1, raft, raft_small, or frames (shipped).", default="tvl1")
    fps: float | None = option(
        "Frame rate of a folder of frames.", default=None, default_is="30", above=0
    )


class AttentionConfig(RunStores, FromManifest, Device, _Out, panel="Video"):
    """Pictures of where a head looks."""

    video: Path | None = option("Video file, taken as one segment.", default=None)
    segment: str | None = option("Id of a segment, in place of a video.", default=None)
    weights: str | None = option(
        "Backbone weights, where the store's were your own file.",
        default=None,
        default_is="those of the store",
    )

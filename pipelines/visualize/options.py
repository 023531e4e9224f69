"""What a person can choose about pictures of a network."""

from pathlib import Path

from egofeat.options import Device, Seed, inherited, option
from egofeat.pipelines.options import FrameRate, FromManifest, Network, Out, Taps, VideoFile
from egofeat.pipelines.training.options import RunStores


class _Out(Out, panel="Pictures"):
    out = inherited(help="Folder of the pictures.", default=Path("pictures"))


class _Start(VideoFile, panel="Video"):
    start: float = option("Second at which the frames begin.", default=0.0, least=0)


class KernelsConfig(Network, _Out):
    """Pictures of kernels."""

    layers: tuple[str, ...] = option(
        "Convolutions, by comma.",
        default=(),
        flag="--layer",
        default_is="the second of each stage's last bottleneck",
    )


class MapsConfig(_Start, Network, Taps, Device, _Out):
    """Pictures of feature maps."""

    taps = inherited(
        help="Taps, by comma: block4, slow_stage2, ….", default_is="all that have maps"
    )


class MaximisationConfig(Network, Seed, Device, _Out):
    """Images that channels answer to most."""

    blocks: tuple[int, ...] = option(
        "Numbers of blocks, by comma.", default=(1, 4, 8, 12), flag="--block", least=0
    )
    channels: tuple[int, ...] = option(
        "Numbers of channels, by comma.", default=(), default_is="12 of each block", least=0
    )
    steps: int = option("Steps of gradient ascent.", default=160, least=1)
    seed = inherited(help="Seed of the noise that every image starts from.")


class FlowConfig(_Start, FrameRate, Device, _Out):
    """Pictures of optical flow."""

    video = inherited(help="Video file, or a folder of frames or of shipped flow.")
    method: str = option("farneback, tvl1, raft, raft_small, or frames (shipped).", default="tvl1")
    fps = inherited(help="Frame rate of a folder of frames.", default_is="30")


class AttentionConfig(RunStores, FromManifest, Device, _Out, panel="Video"):
    """Pictures of where a head looks."""

    video: Path | None = option("Video file, taken as one segment.", default=None)
    segment: str | None = option("Id of a segment, in place of a video.", default=None)
    weights: str | None = option(
        "Backbone weights, where the store's were your own file.",
        default=None,
        default_is="those of the store",
    )

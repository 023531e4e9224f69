"""What a person can choose about pictures of a network."""

from pathlib import Path

from egofeat.options import Device, Seed, inherited, option
from egofeat.pipelines.options import (
    FrameRate,
    FromManifest,
    MaybeVideo,
    Network,
    Out,
    Taps,
    VideoFile,
)
from egofeat.pipelines.training.options import RunStores


class _Out(Out, panel="Pictures"):
    out: Path = inherited("Write pictures to this folder.", default=Path("pictures"))


class _Start(VideoFile, panel="Video"):
    start: float = option("Start at this second of the video.", default=0.0, least=0)


class KernelsConfig(Network, _Out):
    """Pictures of kernels."""

    layers: tuple[str, ...] = option(
        "Draw these convolutions, separated by commas.",
        default=(),
        flag="--layer",
        default_is="the second of each stage's last bottleneck",
    )


class MapsConfig(_Start, Network, Taps, Device, _Out):
    """Pictures of feature maps."""

    taps: tuple[str, ...] = inherited(
        "Draw these taps, separated by commas, such as block4,block12.",
        default_is="all that have maps",
    )


class MaximisationConfig(Network, Seed, Device, _Out):
    """Images that channels answer to most."""

    blocks: tuple[int, ...] = option(
        "Draw channels of these blocks, by number, separated by commas.",
        default=(1, 4, 8, 12),
        flag="--block",
        least=0,
    )
    channels: tuple[int, ...] = option(
        "Draw these channels, by number, separated by commas.",
        default=(),
        default_is="12 of each block",
        least=0,
    )
    steps: int = option("Take this many steps of gradient ascent.", default=160, least=1)
    seed: int = inherited("Draw the noise that every image starts from with this seed.")


class FlowConfig(_Start, FrameRate, Device, _Out):
    """Pictures of optical flow."""

    video: Path = inherited("Read this video file, or a folder of frames or of shipped flow.")
    method: str = option(
        "Compute flow with farneback, tvl1, raft or raft_small; frames reads shipped flow.",
        default="tvl1",
    )
    fps: float | None = inherited("Read a folder of frames at this frame rate.", default_is="30")


class AttentionConfig(RunStores, MaybeVideo, FromManifest, Device, _Out, panel="Video"):
    """Pictures of where a head looks."""

    video: Path | None = inherited("Draw this video file, taken as one segment.")
    segment: str | None = option("Draw the segment with this id, instead of a video.", default=None)
    weights: str | None = option(
        "Load the backbone's weights from this file, if the store was made with a file of yours.",
        default=None,
        default_is="those of the store",
    )

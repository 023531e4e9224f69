"""What a person can choose about pictures of a network."""

from pathlib import Path

from egofeat.options import Device, Options, Seed, inherited, option
from egofeat.pipelines.options import (
    ClipFrames,
    FrameRate,
    FromManifest,
    MaybeVideo,
    Network,
    Out,
    Size,
    Taps,
    VideoFile,
)
from egofeat.pipelines.training.options import RATE, RunStores


class _Out(Out, panel="Pictures"):
    out: Path = inherited("Write pictures to this folder.", default=Path("pictures"))


class _Start(VideoFile, panel="Video"):
    start: float = option("Start at this second of the video.", default=0.0, least=0)


class _Channels(Options):
    channels: tuple[int, ...] = option(
        "Draw these channels, by number, separated by commas.", default=(), least=0
    )


class KernelsConfig(Network, _Channels, _Out):
    """Pictures of kernels."""

    layers: tuple[str, ...] = option(
        "Draw these convolutions, separated by commas.",
        default=(),
        flag="--layer",
        default_is="the second of each stage's last bottleneck",
    )
    channels: tuple[int, ...] = inherited(
        "Draw the kernels of these output channels, by number, separated by commas.",
        default_is="the first ones",
    )
    beside: bool = option(
        "Draw the published kernels above those that run, which hold their batch norm.",
        default=False,
    )


class MapsConfig(_Start, FrameRate, Network, Taps, _Channels, Seed, Device, _Out):
    """Pictures of feature maps."""

    video: Path = inherited("Read this video file, or a folder or archive of frames.")
    fps: float | None = inherited(RATE, default=None)
    taps: tuple[str, ...] = inherited(
        "Draw these taps, or layers by their published names, separated by commas.",
        default_is="all taps that have maps",
    )
    channels: tuple[int, ...] = inherited(default_is="the 8 that vary most")
    random_channels: int | None = option(
        "Draw so many channels of each tap, chosen at random.", default=None, least=1
    )
    seed: int = inherited("Choose random channels with this seed.")
    columns: int = option("Show at most so many time steps.", default=8, least=1, most=64)
    consecutive: bool = option(
        "Show the first time steps, one after another, and not evenly spread ones.", default=False
    )
    together: bool = option(
        "Draw all taps in one picture, below one another at the same moments.", default=False
    )
    mp4: bool = option("Write each picture as a video too.", default=False)


class MaximisationConfig(
    Network, Taps, _Channels, ClipFrames, Size, Seed, Device, _Out, panel="Pictures"
):
    """Images, or clips, that channels answer to most."""

    taps: tuple[str, ...] = inherited(
        "Draw channels of these taps, or layers by their published names, separated by commas.",
        default_is="those of `--block`, or three in the depth of the network",
    )
    blocks: tuple[int, ...] = option(
        "Draw channels of these blocks, by number, separated by commas.",
        default=(),
        flag="--block",
        default_is="1,4,8,12 of mobilenetv2",
        least=0,
    )
    channels: tuple[int, ...] = inherited(default_is="12 of each tap; 4 for clips")
    steps: int | None = option(
        "Take this many steps of gradient ascent.",
        default=None,
        default_is="160; 64 for clips",
        least=1,
        most=100_000,
    )
    clip_frames: int | None = inherited(default_is="16, or the fewest of the network")
    size: int | None = inherited(
        "Make images this many pixels wide and high.",
        default_is="128; 96 for clips",
        least=32,
        most=2048,
    )
    slowness: float = option(
        "Weigh change over time so many times as heavily as over space; 0 lets clips flicker.",
        default=1.0,
        least=0,
        most=1000,
    )
    seed: int = inherited("Draw the noise that every image starts from with this seed.")


class FlowConfig(_Start, FrameRate, Device, _Out):
    """Pictures of optical flow."""

    video: Path = inherited("Read this video file, or a folder of frames or of shipped flow.")
    method: str = option(
        "Compute flow with farneback, tvl1, raft or raft_small; frames reads shipped flow.",
        default="tvl1",
    )
    fps: float | None = inherited("Read a folder of frames at this frame rate.", default_is="30")


class AttentionConfig(RunStores, MaybeVideo, FrameRate, FromManifest, Device, _Out, panel="Video"):
    """Pictures of where a head looks."""

    video: Path | None = inherited("Draw this video file, or these frames, taken as one segment.")
    fps: float | None = inherited(RATE, default=None)
    segment: str | None = option("Draw the segment with this id, instead of a video.", default=None)
    weights: str | None = option(
        "Load the backbone's weights from this file, if the store was made with a file of yours.",
        default=None,
        default_is="those of the store",
    )

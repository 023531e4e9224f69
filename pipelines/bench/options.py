"""What a person can choose about the benchmarks."""

from dataclasses import MISSING
from pathlib import Path

from egofeat.options import Device, inherited, option
from egofeat.pipelines.options import (
    Backbones,
    Batch,
    ClipFrames,
    Engine,
    Figures,
    Out,
    Precision,
    Preset,
    Size,
    Views,
    Weights,
)


class _Report(Out, Figures, panel="Report"):
    seconds: float = option(
        "Repeat each measurement for so many seconds, at least once; the median is reported.",
        default=0.5,
        least=0,
    )
    out: Path = inherited("Write tables and pictures to this folder.", default=Path("benchmarks"))


class BackboneBench(
    Backbones,
    Weights,
    Precision,
    Engine,
    Batch,
    Views,
    Size,
    ClipFrames,
    _Report,
    Device,
    panel="Networks",
):
    """Everything that a person can choose about the benchmark of backbones."""

    backbones: tuple[str, ...] = inherited(
        "Backbones to measure; fasterrcnn_resnet50_fpn_v2 is the detector of persons.",
        default=MISSING,
        argument=True,
        metavar="NAME",
    )
    published: bool = option(
        "Add networks of papers that are not built here: what is published of them.",
        default=False,
    )
    weights: str = inherited(
        "Load these weights: random, default, or the name of published weights; speed does "
        "not depend on them.",
        default="random",
    )
    batch_size: int | None = inherited(
        "Run this many views per batch.", default_is="the fastest of 1, 2, 4, …"
    )
    size: int | None = inherited(
        "Make views this many pixels wide and high.", default_is="the backbone's", least=1
    )


class HeadBench(Preset, _Report, Device, panel="Heads"):
    """Everything that a person can choose about the benchmark of heads."""

    lengths: tuple[int, ...] = option(
        "Measure sequences of these many frames, separated by commas.",
        default=(5, 10, 20, 40),
        least=1,
    )
    outputs: tuple[int, ...] = option(
        "Measure lstm with these numbers of hidden units and convlstm with as many filters, "
        "separated by commas.",
        default=(50, 100, 200, 300),
        least=1,
    )
    preset: str | None = inherited("Build convlstm by this preset, such as seed-strided.")


class StorageBench(Weights, _Report, Device, panel="Storage"):
    """Everything that a person can choose about the storage study."""

    segments: tuple[int, ...] = option(
        "Write and load these many segments of 20 frames, separated by commas.",
        default=(2, 4, 8),
        least=1,
    )
    film: Path | None = option(
        "Take the segments from this video.",
        default=None,
        flag="--video",
        default_is="a drawn one",
    )
    compress: str = option(
        "Compress with this, beside files that are not.", default="gzip", choices=("gzip", "lzf")
    )
    weights: str = inherited(
        "Make features with these weights of mobilenetv2: random, default, or a file.",
        default="random",
    )

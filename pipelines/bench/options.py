"""What a person can choose about the benchmarks."""

from dataclasses import MISSING
from pathlib import Path

from egofeat.options import Device, inherited, option
from egofeat.pipelines.options import (
    Backbones,
    Batch,
    ClipFrames,
    Out,
    Precision,
    Size,
    Views,
    Weights,
)


class _Report(Out, panel="Report"):
    seconds: float = option(
        "Repeat each run for so many seconds, and once at least; medians are shown.",
        default=0.5,
        least=0,
    )
    out = inherited(help="Folder of the tables and pictures.", default=Path("benchmarks"))


class BackboneBench(
    Backbones, Weights, Precision, Batch, Views, Size, ClipFrames, _Report, Device, panel="Networks"
):
    """Everything that a person can choose about the benchmark of backbones."""

    backbones = inherited(help="Backbones.", default=MISSING, argument=True, metavar="NAME…")
    weights = inherited(
        help="Weights: random, default, or the name of published weights; no matter for speed.",
        default="random",
    )
    batch_size = inherited(help="Views a batch.", default_is="the fastest of 1, 2, 4, …")
    size = inherited(help="Pixels of a side of a view.", default_is="the backbone's", least=1)


class HeadBench(_Report, Device, panel="Heads"):
    """Everything that a person can choose about the benchmark of heads."""

    lengths: tuple[int, ...] = option(
        "Frames of the sequences, by comma.", default=(5, 10, 20, 40), least=1
    )
    outputs: tuple[int, ...] = option(
        "Hidden units (lstm) and filters (convlstm), by comma.",
        default=(50, 100, 200, 300),
        least=1,
    )

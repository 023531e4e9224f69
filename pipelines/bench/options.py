"""What a person can choose about the benchmarks."""

from pathlib import Path

from egofeat.options import Device, Options, option
from egofeat.pipelines.options import read_views, show_views


class _Report(Options, panel="Report"):
    seconds: float = option(
        "Repeat each run for so many seconds, and once at least; medians are shown.",
        default=0.5,
        least=0,
    )
    out: Path = option("Folder of the tables and pictures.", default=Path("benchmarks"))


class BackboneBench(_Report, Device, panel="Networks"):
    """Everything that a person can choose about the benchmark of backbones."""

    backbones: tuple[str, ...] = option(
        "Backbones.", argument=True, repeated=True, imports=True, metavar="NAME…"
    )
    weights: str = option(
        "Weights: random, default, or the name of official weights; no matter for speed.",
        default="random",
    )
    precision: str = option(
        "Arithmetic of the network.", default="float32", choices=("float32", "bf16")
    )
    batch_size: int | None = option(
        "Views a batch.", default=None, default_is="the fastest of 1, 2, 4, …", least=1
    )
    views: tuple[int, int] | None = option(
        "Clips x crops of a run, as 10x3.",
        default=None,
        default_is="the published, else 1x1",
        read=read_views,
        show=show_views,
    )
    size: int | None = option(
        "Pixels of a side of a view.", default=None, default_is="the backbone's", least=1
    )
    clip_frames: int | None = option(
        "Frames a clip; networks of images take one.",
        default=None,
        default_is="the backbone's",
        least=1,
    )


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

"""The practical analysis: `bench backbones`, `bench heads`, `bench storage`."""

import typer

from egofeat.cli.command import Report, app, command
from egofeat.pipelines.bench.options import BackboneBench, HeadBench, StorageBench

bench = typer.Typer(
    help="Measure what backbones and heads cost on this machine.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(bench, name="bench", rich_help_panel="Benchmarks")


@command(
    "backbones",
    on=bench,
    gone={"--frames": "bench backbones --frames is called --clip-frames: give that"},
)
def backbones(asked: BackboneBench) -> Report:
    """Measure parameters, multiply-adds, time and memory of backbones, beside their accuracy.

    Each backbone runs in its own process. Writes `backbones.csv`, `backbones.json` and,
    where accuracies are published, two pictures.
    """
    from egofeat.pipelines.bench.backbones import bench_backbones

    return bench_backbones(asked)


@command("heads", on=bench)
def heads(asked: HeadBench) -> Report:
    """Measure time and parameters of LSTM and ConvLSTM over the length of the sequence.

    Writes `heads.csv`, `heads.json` and `heads.png`.
    """
    from egofeat.pipelines.bench.heads import bench_heads

    return bench_heads(asked)


@command("storage", on=bench)
def storage(asked: StorageBench) -> Report:
    """Measure disk, memory and load time of frames and features, compressed or not.

    Writes `storage.csv`, `storage.json` and `storage.png`.
    """
    from egofeat.pipelines.bench.storage import bench_storage

    return bench_storage(asked)

"""The practical analysis: `bench backbones` and `bench heads`."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from egofeat import console
from egofeat.cli.app import Device, Json, app, names
from egofeat.errors import RequestError

if TYPE_CHECKING:
    from egofeat.pipelines.bench.backbones import BackboneRow, BackbonesReport
    from egofeat.pipelines.bench.heads import HeadsReport

bench = typer.Typer(
    help="Measure what backbones and heads cost on the device at hand.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(bench, name="bench", rich_help_panel="Benchmarks")

Repeats = Annotated[int, typer.Option(help="Measured runs at least; medians are shown.")]
Out = Annotated[Path, typer.Option(help="Folder of the tables and pictures.")]
_Value = TypeVar("_Value")


@bench.command("backbones")
def backbones_command(
    backbones: Annotated[list[str], typer.Argument(help="Backbones.", metavar="NAME")],
    weights: Annotated[
        str,
        typer.Option(help="random, default, or the name of official weights: no matter for speed."),
    ] = "random",
    device: Device = "auto",
    precision: Annotated[
        str, typer.Option(help="Arithmetic of the network: float32 or bf16.")
    ] = "float32",
    batch_size: Annotated[
        int | None, typer.Option(help="Views a batch. [default: the fastest of 1, 2, 4, …]")
    ] = None,
    views: Annotated[
        str | None,
        typer.Option(help="Clips x crops of a run, as 10x3. [default: the published, else 1x1]"),
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Pixels of a side of a view. [default: the backbone's]")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(help="Frames of a clip. [default: the backbone's]")
    ] = None,
    repeats: Repeats = 5,
    out: Out = Path("benchmarks"),
    as_json: Json = False,
) -> None:
    """Measure parameters, multiply-adds, time, memory, and what accuracy they buy.

    Each backbone runs in a process of its own. Writes `backbones.csv`, `backbones.json` and,
    where accuracies are published, two pictures.
    """
    from egofeat.pipelines.bench.backbones import BackboneBench, bench_backbones, parse_views

    config = BackboneBench(
        backbones=tuple(backbones),
        weights=weights,
        device=device,
        precision=precision,
        batch_size=batch_size,
        views=parse_views(views) if views else None,
        size=size,
        frames=frames,
        repeats=repeats,
        out=out,
    )
    report = bench_backbones(config)
    if as_json:
        print(json.dumps(asdict(report), allow_nan=False))
    else:
        _say_backbones(report)
    failed = [row for row in report.rows if row.reason]
    for row in failed:
        console.note(f"{row.backbone}: {row.reason}")
    if failed:
        raise typer.Exit(1)


@bench.command("heads")
def heads_command(
    lengths: Annotated[str, typer.Option(help="Frames of the sequences, by comma.")] = "5,10,20,40",
    outputs: Annotated[
        str, typer.Option(help="Hidden units (lstm) and filters (convlstm), by comma.")
    ] = "50,100,200,300",
    device: Device = "auto",
    repeats: Repeats = 5,
    out: Out = Path("benchmarks"),
    as_json: Json = False,
) -> None:
    """Measure time and parameters of LSTM against ConvLSTM over the sequence's length.

    Writes `heads.csv`, `heads.json` and `heads.png`.
    """
    from egofeat.pipelines.bench.heads import HeadBench, bench_heads

    config = HeadBench(
        lengths=_numbers("--lengths", lengths),
        outputs=_numbers("--outputs", outputs),
        device=device,
        repeats=repeats,
        out=out,
    )
    report = bench_heads(config)
    if as_json:
        print(json.dumps(asdict(report), allow_nan=False))
    else:
        _say_heads(report)


def _numbers(option: str, listed: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in names(listed))
    except ValueError:
        raise RequestError(
            f"{option} {listed} is no list of numbers: give them by comma, as 5,10,20"
        ) from None


def _say_backbones(report: "BackbonesReport") -> None:
    rows = report.rows
    _say("Multiply-adds", _costs(rows))
    _say(f"Speed and memory: {report.machine}, {report.precision}", _speeds(rows))
    if any(row.accuracy is not None for row in rows):
        title = "Published accuracy, %; per 10⁹ multiply-adds of a run; per 10⁶ parameters"
        _say(title, _accuracies(rows))
    different = [row.backbone for row in rows if _counts_differ(row)]
    if different:
        console.say(
            f"{', '.join(different)}: fewer multiply-adds published than counted.\n"
            "Published figures leave out part of the products of non-local blocks.\n"
        )
    console.say("\n".join(report.files))


def _counts_differ(row: "BackboneRow") -> bool:
    """By more than publishers' rounding and conventions explain."""
    counted, published = row.multiply_adds_view, row.multiply_adds_published
    return bool(counted and published and counted / published > 1.02)


def _costs(rows: Sequence["BackboneRow"]) -> Table:
    from egofeat.pipelines.figures.costs import operations

    def count(operations_: int) -> str:
        return operations(operations_, "#.4g")

    table = _table("backbone", "view", "parameters", "a view", "published", "views", "a run")
    for row in rows:
        table.add_row(
            row.backbone,
            f"{row.frames}×{row.size}²",
            f"{row.parameters / 1e6:.2f} M",
            _or_dash(row.multiply_adds_view, count),
            _or_dash(row.multiply_adds_published, count),
            f"{row.clips}×{row.crops}",
            _or_dash(row.multiply_adds_run, count),
        )
    return table


def _speeds(rows: Sequence["BackboneRow"]) -> Table:
    table = _table("backbone", "batch", "ms a view", "views/s", "s a run", "GPU peak", "host peak")
    for row in rows:
        table.add_row(
            row.backbone,
            _or_dash(row.batch, str),
            _or_dash(row.ms_view, _number),
            _or_dash(row.views_per_second, _number),
            _or_dash(row.seconds_run, _number),
            _or_dash(row.device_peak_bytes, console.size),
            _or_dash(row.host_peak_bytes, console.size),
        )
    return table


def _accuracies(rows: Sequence["BackboneRow"]) -> Table:
    table = _table("backbone", "accuracy", "measure", "per G", "per M")
    for row in rows:
        if row.accuracy is not None:
            table.add_row(
                row.backbone,
                f"{row.accuracy:.1f}",
                f"{row.metric}, {row.trained_on}",
                _or_dash(row.accuracy_per_giga_multiply_adds, _number),
                _or_dash(row.accuracy_per_million_parameters, _number),
            )
    return table


def _say_heads(report: "HeadsReport") -> None:
    lengths = list(dict.fromkeys(row.length for row in report.rows))
    table = _table("head", "output", "parameters", *map(str, lengths))
    for row in report.rows:
        if row.length == lengths[0]:
            same = [r for r in report.rows if (r.head, r.output) == (row.head, row.output)]
            times = [_number(r.ms) for r in same]
            table.add_row(row.head, str(row.output), f"{row.parameters / 1e6:.2f} M", *times)
    _say(f"Milliseconds a sequence of so many frames: {report.machine}", table)
    console.say("\n".join(report.files))


def _say(title: str, table: Table) -> None:
    screen = Console(highlight=False)
    screen.print(title, style="bold", markup=False)
    screen.print(table, "")


def _table(names_: str, *figures: str) -> Table:
    """A table without lines; names to the left, figures to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(names_, overflow="fold")
    for figure in figures:
        table.add_column(figure, justify="right")
    return table


def _or_dash(value: _Value | None, say: Callable[[_Value], str]) -> str:
    return "–" if value is None else say(value)


def _number(value: float) -> str:
    """Three digits that count: `0.0123`, `1.20`, `123`, `12345`."""
    return f"{value:#.3g}".rstrip(".") if value < 999.5 else f"{value:.0f}"

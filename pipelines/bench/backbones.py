"""`egofeat bench backbones`: what each backbone costs on the device at hand, and what it gives.

The practical analysis of Canziani et al. (2016, arXiv:1605.07678) for feature extraction:
parameters, multiply-adds, time and memory of a view, and the published accuracy for them.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from rich.table import Table

from egofeat import console
from egofeat.device import choose_device
from egofeat.errors import EgofeatError
from egofeat.extract.backbones.engine import engine_version
from egofeat.extract.weights import Weights
from egofeat.pipelines.bench.networks import check_networks, network_of
from egofeat.pipelines.bench.options import BackboneBench
from egofeat.pipelines.bench.pictures import Point, scatter
from egofeat.pipelines.bench.publications import PUBLICATIONS, Publication
from egofeat.pipelines.bench.speed import Speed, measure_apart
from egofeat.pipelines.bench.tables import BenchReport, figure, known, machine, operations, tables
from egofeat.pipelines.figures import style
from egofeat.store.files import replace_file


@dataclass(frozen=True, kw_only=True)
class BackboneRow:
    """One backbone. What is None is not published, or could not be measured."""

    backbone: str
    parameters: int
    """Of the network with its classifier, as trained."""
    size: int
    frames: int
    clips: int
    crops: int
    multiply_adds_view: int | None = None
    """Counted."""
    multiply_adds_published: int | None = None
    """Of a view of this size, as its authors say."""
    multiply_adds_run: int | None = None
    """Counted, of clips × crops views."""
    batch: int | None = None
    """With which the device was fastest; time and memory are of it."""
    ms_view: float | None = None
    views_per_second: float | None = None
    seconds_run: float | None = None
    device_peak_bytes: int | None = None
    host_peak_bytes: int | None = None
    accuracy: float | None = None
    """Per cent, as published for these views, this size and these frames."""
    metric: str = ""
    trained_on: str = ""
    accuracy_per_giga_multiply_adds: float | None = None
    """Per cent for each 10^9 multiply-adds of a run."""
    accuracy_per_million_parameters: float | None = None
    reason: str = ""
    """Why something is missing that should not be."""

    @property
    def measure(self) -> str:
        """What the accuracy is of: only those of one measure compare."""
        return f"{self.metric}, {self.trained_on}"

    @property
    def counts_differ(self) -> bool:
        """By more than publishers' rounding and conventions explain."""
        counted, published = self.multiply_adds_view, self.multiply_adds_published
        return bool(counted and published and counted / published > 1.02)


@dataclass(frozen=True, kw_only=True)
class BackbonesReport(BenchReport[BackboneRow]):
    """What backbones cost, and what accuracy is published of them."""

    precision: str
    others: tuple[Publication, ...] = ()
    """Networks of papers, where they are asked for."""

    @property
    def exit_code(self) -> int:
        """Of the command."""
        return int(any(row.reason for row in self.rows))

    def lines(self) -> list[str | Table]:
        """The tables for people."""
        said: list[str | Table] = [
            "Multiply-adds",
            *_tables(_COSTS, self.rows),
            f"Speed and memory: {self.machine}, {self.precision}",
            *_tables(_SPEEDS, self.rows),
        ]
        if published := [row for row in self.rows if row.accuracy is not None]:
            title = "Published accuracy, %; per 10⁹ multiply-adds of a run; per 10⁶ parameters"
            said += [title, *_tables(_ACCURACIES, published)]
        if self.others:
            headings = ["of papers, not measured here", "a view", "views", "a run", "accuracy"]
            said += ["", *tables(headings, map(_cells, self.others))]
        if different := [row.backbone for row in self.rows if row.counts_differ]:
            said += [
                f"{', '.join(different)}: fewer multiply-adds published than counted.",
                "Published figures leave out part of the products of non-local blocks.\n",
            ]
        return [*said, *self.files]


_Columns = dict[str, Callable[[BackboneRow], str]]
"""Heading to what a row has there."""
_COSTS: _Columns = {
    "backbone": lambda row: row.backbone,
    "view": lambda row: f"{row.frames}×{row.size}²",
    "parameters": lambda row: f"{row.parameters / 1e6:.2f} M",
    "a view": lambda row: known(row.multiply_adds_view, _count),
    "published": lambda row: known(row.multiply_adds_published, _count),
    "views": lambda row: f"{row.clips}×{row.crops}",
    "a run": lambda row: known(row.multiply_adds_run, _count),
}
_SPEEDS: _Columns = {
    "backbone": lambda row: row.backbone,
    "batch": lambda row: known(row.batch, str),
    "ms a view": lambda row: known(row.ms_view, figure),
    "views/s": lambda row: known(row.views_per_second, figure),
    "s a run": lambda row: known(row.seconds_run, figure),
    "GPU peak": lambda row: known(row.device_peak_bytes, console.size),
    "host peak": lambda row: known(row.host_peak_bytes, console.size),
}
_ACCURACIES: _Columns = {
    "backbone": lambda row: row.backbone,
    "accuracy": lambda row: f"{row.accuracy:.1f}",
    "measure": lambda row: row.measure,
    "per G": lambda row: known(row.accuracy_per_giga_multiply_adds, figure),
    "per M": lambda row: known(row.accuracy_per_million_parameters, figure),
}


def _cells(one: Publication) -> list[str]:
    """What the table of papers says of a network."""
    view = known(one.multiply_adds_view, lambda giga: f"{giga:.0f} G")
    run = known(one.multiply_adds_run, operations)
    return [one.name, view, known(one.views, str), run, f"{one.accuracy:.1f}"]


def _tables(columns: _Columns, rows: Sequence[BackboneRow]) -> Iterator[Table]:
    return tables([*columns], ([say(row) for say in columns.values()] for row in rows))


def _count(multiply_adds: int) -> str:
    return operations(multiply_adds, "#.4g")


def bench_backbones(config: BackboneBench) -> BackbonesReport:
    """Measure every backbone, each in a process of its own, and write tables and pictures.

    Raises:
        RequestError: an unknown backbone, device or precision, or an option out of range;
            before anything is measured.
    """
    check_networks(config)
    device = choose_device(config.device)
    names = tuple(dict.fromkeys(config.backbones))
    rows, speeds = [], dict[str, list[Speed]]()
    on = machine(device)
    if config.engine != "torch":
        on += f", {engine_version(config.engine)}"
    others = PUBLICATIONS if config.published else ()
    report = BackbonesReport(machine=on, precision=config.precision, rows=(), others=others)
    with console.progress("measuring", len(names), "backbones") as progress:
        for name in names:
            one = replace(config, backbones=(name,), device=str(device))
            measured: list[Speed] = []
            rows.append(row := _row(one, measured))
            speeds[row.backbone] = measured
            if row.reason:
                console.note(f"{row.backbone}: {row.reason}")
            # An interruption loses what is being measured, and nothing else.
            report = replace(report, rows=tuple(rows))
            report.written(config.out / "backbones", [])
            by_batch = _write_speeds(speeds, config.out)
            progress(1)
    with style.also(config.figures):
        pictures = _pictures(rows, others, config.out)
    return report.written(config.out / "backbones", [by_batch, *pictures])


def _write_speeds(speeds: Mapping[str, Sequence[Speed]], out: Path) -> Path:
    """Write speed and memory by batch size, a line each."""
    path, text = out / "backbones_by_batch.csv", io.StringIO()
    writer = csv.writer(text)
    names = [field.name for field in fields(Speed)]
    writer.writerow(["backbone", *names, "views_per_second"])
    for name, of in speeds.items():
        for speed in of:
            values = [getattr(speed, field) for field in names]
            writer.writerow([name, *values, speed.views_per_second])
    replace_file(path, text.getvalue().encode())
    return path


def _row(config: BackboneBench, speeds: list[Speed]) -> BackboneRow:
    """One backbone, as far as it can be counted and measured; the reason says what went wrong.

    Args:
        config: of it alone.
        speeds: gets what is measured, batch size by batch size.
    """
    network = network_of(config)
    published = network.published
    clips, crops = config.views or (published.views if published else (1, 1))
    row = BackboneRow(
        backbone=network.name,
        parameters=network.parameters,
        size=network.size,
        frames=network.frames,
        clips=clips,
        crops=crops,
    )
    try:
        view = network.multiply_adds()
        row = replace(row, multiply_adds_view=view, multiply_adds_run=view * clips * crops)
        if published and network.as_published:
            row = _with_publication(row, published)
        speeds += measure_apart(config)
        return _with_speed(row, speeds)
    except (EgofeatError, RuntimeError) as error:  # torch's, of an input that does not fit
        return replace(row, reason=str(error).splitlines()[0])


def _with_publication(row: BackboneRow, published: Weights) -> BackboneRow:
    """What is published of this view; the accuracy only where the run has its views too."""
    if published.multiply_adds is not None:
        row = replace(row, multiply_adds_published=round(published.multiply_adds * 1e9))
    accuracy = published.accuracy
    if accuracy is None or published.views != (row.clips, row.crops):
        return row
    assert row.multiply_adds_run
    return replace(
        row,
        accuracy=accuracy,
        metric=published.metric,
        trained_on=published.trained_on,
        accuracy_per_giga_multiply_adds=accuracy / row.multiply_adds_run * 1e9,
        accuracy_per_million_parameters=accuracy / row.parameters * 1e6,
    )


def _with_speed(row: BackboneRow, speeds: Sequence[Speed]) -> BackboneRow:
    best = max(speeds, key=lambda speed: speed.views_per_second)
    seconds_view = best.seconds / best.batch
    return replace(
        row,
        batch=best.batch,
        ms_view=1000 * seconds_view,
        views_per_second=best.views_per_second,
        seconds_run=row.clips * row.crops * seconds_view,
        device_peak_bytes=best.device_peak_bytes,
        host_peak_bytes=best.host_peak_bytes,
    )


def _pictures(rows: Sequence[BackboneRow], others: Sequence[Publication], out: Path) -> list[Path]:
    """Draw published accuracy, and that for each parameter, over the cost of a run; and over speed.

    Networks of papers stand beside those that are measured, where it is known what a run costs.
    """
    drawable = [one for one in others if one.multiply_adds_run]
    shown = [row for row in rows if row.accuracy is not None]
    if not shown:
        return []
    against, per = "accuracy against cost", "accuracy per parameter against cost"
    up = "published accuracy, %"
    ratios = _points(shown, "accuracy_per_million_parameters") + [
        _of_paper(one, 1e6 * one.accuracy / one.parameters) for one in drawable if one.parameters
    ]
    heights = _points(shown, "accuracy") + [_of_paper(one, one.accuracy) for one in drawable]
    drawn = [
        scatter(heights, out / "accuracy_against_cost.png", against, up),
        scatter(
            ratios, out / "accuracy_per_parameter.png", per, f"{up} per M parameters", log=True
        ),
    ]
    fast = [
        Point(
            name=row.backbone,
            group=row.measure,
            across=1 / row.seconds_run,
            height=row.accuracy or 0,
        )
        for row in shown
        if row.seconds_run
    ]
    if fast:
        place, runs = out / "accuracy_against_throughput.png", "runs a second (logarithmic)"
        drawn.append(scatter(fast, place, "accuracy against throughput", up, across=runs))
    return drawn


def _of_paper(one: Publication, height: float) -> Point:
    run = one.multiply_adds_run or 0
    return Point(name=one.name, group=one.measure, across=run, height=height)


def _points(rows: Sequence[BackboneRow], height: str) -> list[Point]:
    return [
        Point(
            name=row.backbone,
            group=row.measure,
            across=row.multiply_adds_run or 0,
            height=getattr(row, height),
        )
        for row in rows
    ]

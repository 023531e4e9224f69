"""`egofeat bench backbones`: what each backbone costs on the device at hand, and what it gives.

The practical analysis of Canziani et al. (2016, arXiv:1605.07678) for feature extraction:
parameters, multiply-adds, time and memory of a view, and the published accuracy for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.table import Table

from egofeat import console
from egofeat.device import choose_device
from egofeat.errors import EgofeatError
from egofeat.extract.backbones import Spec, find_backbone
from egofeat.extract.backbones.cost import count_parameters, multiply_adds
from egofeat.extract.weights import Weights
from egofeat.pipelines.bench.options import BackboneBench
from egofeat.pipelines.bench.speed import Speed, SpeedJob, measure_apart
from egofeat.pipelines.bench.tables import BenchReport, Columns, count, figure, known, table
from egofeat.pipelines.bench.timing import machine
from egofeat.pipelines.extraction.choices import check_clip_frames
from egofeat.pipelines.figures.costs import Point, accuracy_against_cost, accuracy_per_parameter


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
    def counts_differ(self) -> bool:
        """By more than publishers' rounding and conventions explain."""
        counted, published = self.multiply_adds_view, self.multiply_adds_published
        return bool(counted and published and counted / published > 1.02)


@dataclass(frozen=True, kw_only=True)
class BackbonesReport(BenchReport[BackboneRow]):
    """What backbones cost, and what accuracy is published of them."""

    precision: str

    @property
    def exit_code(self) -> int:
        """Of the command."""
        return int(any(row.reason for row in self.rows))

    def lines(self) -> list[str | Table]:
        """The tables for people."""
        rows = self.rows
        said: list[str | Table] = [
            "Multiply-adds",
            table(rows, _COSTS),
            f"Speed and memory: {self.machine}, {self.precision}",
            table(rows, _SPEEDS),
        ]
        if published := [row for row in rows if row.accuracy is not None]:
            title = "Published accuracy, %; per 10⁹ multiply-adds of a run; per 10⁶ parameters"
            said += [title, table(published, _ACCURACIES)]
        if different := [row.backbone for row in rows if row.counts_differ]:
            said += [
                f"{', '.join(different)}: fewer multiply-adds published than counted.",
                "Published figures leave out part of the products of non-local blocks.\n",
            ]
        return [*said, *self.files]


_PAPERS = {
    "slowfast_nln_16x8_r101": Weights(
        name="",
        file="",  # never released
        url="https://arxiv.org/abs/1812.03982",  # table 2
        hosted=False,
        sha256="",
        licence="",
        trained_on="Kinetics-400",
        accuracy=79.8,
        views=(10, 3),
        multiply_adds=234.0,
    ),
}
"""What is published of backbones that have no published weights."""

_COSTS: Columns[BackboneRow] = {
    "backbone": lambda row: row.backbone,
    "view": lambda row: f"{row.frames}×{row.size}²",
    "parameters": lambda row: f"{row.parameters / 1e6:.2f} M",
    "a view": lambda row: known(row.multiply_adds_view, count),
    "published": lambda row: known(row.multiply_adds_published, count),
    "views": lambda row: f"{row.clips}×{row.crops}",
    "a run": lambda row: known(row.multiply_adds_run, count),
}
_SPEEDS: Columns[BackboneRow] = {
    "backbone": lambda row: row.backbone,
    "batch": lambda row: known(row.batch, str),
    "ms a view": lambda row: known(row.ms_view, figure),
    "views/s": lambda row: known(row.views_per_second, figure),
    "s a run": lambda row: known(row.seconds_run, figure),
    "GPU peak": lambda row: known(row.device_peak_bytes, console.size),
    "host peak": lambda row: known(row.host_peak_bytes, console.size),
}
_ACCURACIES: Columns[BackboneRow] = {
    "backbone": lambda row: row.backbone,
    "accuracy": lambda row: f"{row.accuracy:.1f}",
    "measure": lambda row: f"{row.metric}, {row.trained_on}",
    "per G": lambda row: known(row.accuracy_per_giga_multiply_adds, figure),
    "per M": lambda row: known(row.accuracy_per_million_parameters, figure),
}


def bench_backbones(config: BackboneBench) -> BackbonesReport:
    """Measure every backbone, each in a process of its own, and write tables and pictures.

    Raises:
        RequestError: an unknown backbone, device or precision, or an option out of range;
            before anything is measured.
    """
    _check(config)
    device = choose_device(config.device)
    config = replace(config, device=str(device))
    names = tuple(dict.fromkeys(config.backbones))
    rows = []
    with console.progress("measuring", len(names), "backbones") as progress:
        for name in names:
            rows.append(row := _row(name, config))
            if row.reason:
                console.note(f"{name}: {row.reason}")
            progress(1)
    report = BackbonesReport(machine=machine(device), precision=config.precision, rows=tuple(rows))
    return _write(report, config.out)


def _check(config: BackboneBench) -> None:
    for name in config.backbones:
        find_backbone(name)
    for name in config.backbones:
        spec, _ = find_backbone(name)
        if spec.clip and config.clip_frames:
            check_clip_frames(spec, config.clip_frames)


def _row(name: str, config: BackboneBench) -> BackboneRow:
    """One backbone, as far as it can be counted and measured; the reason says what went wrong."""
    spec, build = find_backbone(name)
    sized = _sized(spec, config)
    published = _published(spec, config.weights)
    views = config.views or (published.views if published else (1, 1))
    row = BackboneRow(
        backbone=name,
        parameters=count_parameters(spec, build),
        size=sized.size,
        frames=sized.clip.frames if sized.clip else 1,
        clips=views[0],
        crops=views[1],
    )
    try:
        row = _with_cost(row, multiply_adds(sized, build))
        if published and sized == spec:
            row = _with_publication(row, published)
        return _with_speed(row, measure_apart(_job(row, config)))
    except (EgofeatError, RuntimeError) as error:  # torch's, of an input that does not fit
        return replace(row, reason=str(error).splitlines()[0])


def _sized(spec: Spec, config: BackboneBench) -> Spec:
    """The spec with the view that is asked for."""
    clip = spec.clip and replace(spec.clip, frames=config.clip_frames or spec.clip.frames)
    return replace(spec, size=config.size or spec.size, clip=clip)


def _job(row: BackboneRow, config: BackboneBench) -> SpeedJob:
    return SpeedJob(
        backbone=row.backbone,
        weights=config.weights,
        device=config.device,
        precision=config.precision,
        size=row.size,
        frames=row.frames,
        batch_size=config.batch_size,
        seconds=config.seconds,
    )


def _with_cost(row: BackboneRow, view: int) -> BackboneRow:
    return replace(row, multiply_adds_view=view, multiply_adds_run=view * row.clips * row.crops)


def _published(spec: Spec, weights: str) -> Weights | None:
    """The record of published weights: those of that name, else the default, else the paper's."""
    of_name = min(spec.weights, key=lambda record: record.name != weights, default=None)
    return of_name or _PAPERS.get(spec.name)


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


def _write(report: BackbonesReport, out: Path) -> BackbonesReport:
    """Write `backbones.csv`, `backbones.json` and, of published accuracies, two pictures."""
    pictures = []
    if points := [_point(row) for row in report.rows if row.accuracy is not None]:
        pictures.append(accuracy_against_cost(points, out / "accuracy_against_cost.png"))
        pictures.append(accuracy_per_parameter(points, out / "accuracy_per_parameter.png"))
    return report.written(out / "backbones", pictures)


def _point(row: BackboneRow) -> Point:
    assert row.accuracy is not None
    assert row.multiply_adds_run is not None
    return Point(
        name=row.backbone,
        group=f"{row.metric}, {row.trained_on}",
        multiply_adds=row.multiply_adds_run,
        accuracy=row.accuracy,
        parameters=row.parameters,
    )

"""`egofeat bench backbones`: what each backbone costs on the device at hand, and what it gives.

The practical analysis of Canziani et al. (2016, arXiv:1605.07678) for feature extraction:
parameters, multiply-adds, time and memory of a view, and the published accuracy for them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from egofeat import console
from egofeat.device import choose_device
from egofeat.errors import EgofeatError, RequestError
from egofeat.extract.backbones import Spec, find_backbone
from egofeat.extract.backbones.cost import count_parameters, multiply_adds
from egofeat.extract.backbones.loading import PRECISIONS
from egofeat.pipelines.bench.publications import Publication, publication
from egofeat.pipelines.bench.speed import Speed, SpeedJob, measure_apart
from egofeat.pipelines.bench.tables import write_report
from egofeat.pipelines.bench.timing import machine
from egofeat.pipelines.extraction.choices import check_clip_frames
from egofeat.pipelines.figures.costs import Point, accuracy_against_cost, accuracy_per_parameter


@dataclass(frozen=True, kw_only=True)
class BackboneBench:
    """Everything that a person can choose about the benchmark."""

    backbones: tuple[str, ...]
    weights: str = "random"
    """Speed does not depend on the values, so that nothing need be at hand."""
    device: str = "auto"
    precision: str = "float32"
    batch_size: int | None = None
    """None tries 1, 2, 4, … until more views at once are no faster."""
    views: tuple[int, int] | None = None
    """(clips, crops) of a run; None means those of the published accuracy, else (1, 1)."""
    size: int | None = None
    """Pixels of a side of a view; None means the backbone's own."""
    frames: int | None = None
    """Of a clip; None means the backbone's own. Networks of images take none of it."""
    repeats: int = 5
    out: Path = Path("benchmarks")


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


@dataclass(frozen=True, kw_only=True)
class BackbonesReport:
    """The benchmark; the object that `--json` prints and `backbones.json` holds."""

    machine: str
    date: str
    precision: str
    rows: tuple[BackboneRow, ...]
    files: tuple[str, ...]
    """What was written."""


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
            rows.append(_row(name, config))
            progress(1)
    report = BackbonesReport(
        machine=machine(device),
        date=datetime.now(UTC).date().isoformat(),
        precision=config.precision,
        rows=tuple(rows),
        files=(),
    )
    return _write(report, config.out)


def parse_views(text: str) -> tuple[int, int]:
    """`10x3` to `(10, 3)`: clips and crops.

    Raises:
        RequestError: anything else.
    """
    match = re.fullmatch(r"([1-9]\d*)[x×]([1-9]\d*)", text)
    if not match:
        raise RequestError(f"--views {text} is no number of views: give clips x crops, as 10x3")
    return int(match[1]), int(match[2])


def _check(config: BackboneBench) -> None:
    for name in config.backbones:
        find_backbone(name)
    if config.precision not in PRECISIONS:
        raise RequestError(
            f"there is no precision '{config.precision}': choose {' or '.join(PRECISIONS)}"
        )
    for option in ("batch_size", "size", "frames", "repeats"):
        value = getattr(config, option)
        if value is not None and value < 1:
            raise RequestError(f"--{option.replace('_', '-')} is {value}: give 1 or more")
    for name in config.backbones:
        spec, _ = find_backbone(name)
        if spec.clip and config.frames:
            check_clip_frames(spec, config.frames)


def _row(name: str, config: BackboneBench) -> BackboneRow:
    """One backbone, as far as it can be counted and measured; the reason says what went wrong."""
    spec, build = find_backbone(name)
    sized = _sized(spec, config)
    published = publication(spec, config.weights)
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
    clip = spec.clip and replace(spec.clip, frames=config.frames or spec.clip.frames)
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
        repeats=config.repeats,
    )


def _with_cost(row: BackboneRow, view: int) -> BackboneRow:
    return replace(row, multiply_adds_view=view, multiply_adds_run=view * row.clips * row.crops)


def _with_publication(row: BackboneRow, published: Publication) -> BackboneRow:
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
    return write_report(report, BackboneRow, out / "backbones", pictures)


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

"""Pictures of the benchmarks: accuracy against cost, and heads over the sequence's length.

Every function writes one PNG and returns its path; folders above it are made.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from egofeat.pipelines.figures import style
from egofeat.pipelines.figures.label_layout import Corners, Panel, Size, place_panels

_MARKERS = "osD^vPX*"
_DISTANCES = (8.0, 13.0, 19.0, 26.0, 34.0, 43.0, 53.0, 65.0, 80.0, 100.0)
"""Points from a mark to its label; the nearest free place is taken."""
_MARK = 4.0
"""Points of half a mark's side; a name that is farther from it has a line to it."""
_DIRECTIONS = (0, 180, 90, 270, 35, 145, 325, 215, 60, 120, 240, 300)
"""Degrees from a mark to its label, in order of preference."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A backbone with a published accuracy."""

    name: str
    group: str
    """Metric and data set: only accuracies of one group compare."""
    multiply_adds: int
    """Of a run."""
    accuracy: float
    """Per cent."""
    parameters: int


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A head's inference time over the sequence's length."""

    head: str
    parameters: int
    lengths: tuple[int, ...]
    ms: tuple[float, ...]


def accuracy_against_cost(points: Sequence[Point], out: Path) -> Path:
    """Draw published accuracy over the multiply-adds of a run, on a logarithmic axis."""
    heights = [point.accuracy for point in points]
    figure, axes = _scatter(points, heights, "accuracy against cost", "published accuracy, %")
    _label(figure, axes, points, heights)
    return style.save(figure, out)


def accuracy_per_parameter(points: Sequence[Point], out: Path) -> Path:
    """Draw accuracy for each million parameters over the multiply-adds of a run."""
    heights = [point.accuracy / point.parameters * 1e6 for point in points]
    title, up = "accuracy per parameter against cost", "published accuracy, % per M parameters"
    figure, axes = _scatter(points, heights, title, up)
    axes.set_yscale("log")
    _few_ticks(axes.yaxis, lambda value: f"{value:g}")
    _label(figure, axes, points, heights)
    return style.save(figure, out)


def heads_over_length(panels: Mapping[int, Sequence[Curve]], out: Path) -> Path:
    """Draw inference time over length, a panel an output dimension, on one logarithmic scale."""
    columns = min(2, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = style.figure(4.3 * columns + 0.2, 3.1 * lines + 0.3)
    every = [ms for curves in panels.values() for curve in curves for ms in curve.ms]
    for number, (output, curves) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(lines, columns, number)
        style.style(axes, f"output dimension {output}", "frames of the sequence", "ms a sequence")
        axes.set_yscale("log")
        for curve, colour, marker in zip(curves, style.COLOURS, _MARKERS, strict=False):
            label = f"{curve.head}, {curve.parameters / 1e6:.2f} M parameters"
            axes.plot(
                curve.lengths, curve.ms, color=colour, marker=marker, markersize=4.5, label=label
            )
        axes.set_xlim(0, None)
        axes.set_xticks(curves[0].lengths)
        axes.set_ylim(min(every) / 1.6, max(every) * 6)  # the legend stands above the curves
        _few_ticks(axes.yaxis, lambda value: f"{value:g}")
        axes.legend(fontsize=8, frameon=False, loc="upper left")
    style.note(
        figure, "inference of one segment; vectors of 1280 (lstm), maps of 1280×8×8 (convlstm)"
    )
    return style.save(figure, out)


def _scatter(
    points: Sequence[Point], heights: Sequence[float], title: str, up: str
) -> tuple[Figure, Axes]:
    """Draw each point at its cost and height, a colour and a mark for each group."""
    figure = style.figure(9.0, min(9.0, 4.4 + 0.16 * len(points)))
    axes = style.style(figure.add_subplot(), title, "multiply-adds of a run (logarithmic)", up)
    axes.set_xscale("log")
    axes.margins(0.14)
    groups = list(dict.fromkeys(point.group for point in points))
    for number, group in enumerate(groups):
        own = [place for place, point in enumerate(points) if point.group == group]
        axes.plot(
            [points[place].multiply_adds for place in own],
            [heights[place] for place in own],
            linestyle="",
            marker=_MARKERS[number % len(_MARKERS)],
            color=style.COLOURS[number % len(style.COLOURS)],
            label=group,
        )
    _few_ticks(axes.xaxis, operations)
    axes.legend(
        ncols=4,
        fontsize=8,
        frameon=False,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        borderaxespad=0.2,
    )
    if len(groups) > 1:
        style.note(
            figure, "compare within a colour: accuracies are of different data sets or measures"
        )
    return figure, axes


def _few_ticks(axis: Axis, say: Callable[[float], str]) -> None:
    """Ticks of a logarithmic axis at 1, 2, 5, 10, …, in words."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: say(value)))
    axis.set_minor_locator(NullLocator())


def operations(count: float, form: str = ".3g") -> str:
    """Multiply-adds for people: `65.7 G`."""
    for unit in ("", " k", " M", " G"):
        if count < 999.5:
            return f"{count:{form}}{unit}"
        count /= 1000
    return f"{count:{form}} T"


def _label(figure: Figure, axes: Axes, points: Sequence[Point], heights: Sequence[float]) -> None:
    """Write each name near its mark, where it covers no other name and the fewest marks."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the axes stay where the labels are measured
    spots = [(point.multiply_adds, up) for point, up in zip(points, heights, strict=True)]
    texts = [
        axes.annotate(
            point.name,
            spot,
            (0, 0),
            textcoords="axes pixels",
            va="top",
            fontsize=8,
            color=style.INK,
            parse_math=False,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.4},
            arrowprops={"arrowstyle": "-", "color": style.FAINT, "linewidth": 0.7, "shrinkB": 3},
        )
        for point, spot in zip(points, spots, strict=True)
    ]
    scale, high = figure.dpi / 72, round(axes.bbox.height)
    panels = []
    for text, mark in zip(texts, axes.transData.transform(spots) - axes.bbox.min, strict=True):
        size = Text.get_window_extent(text).size  # an annotation's own extent has the line in it
        x, y, half = round(mark[0]), high - round(mark[1]), round(_MARK * scale)
        box = x - half, y - half, x + half, y + half
        panels.append(Panel(box, (0.0,), ((math.ceil(size[0]), math.ceil(size[1])),)))
    frame = round(axes.bbox.width), high
    places = place_panels(panels, frame, partial(_around, scale))
    assert places is not None  # tens of short names have room on a sheet
    for text, panel, place in zip(texts, panels, places, strict=True):
        text.xyann = place[0], high - place[1]
        left, top, right, bottom = panel.box
        apart = max(left - place[2], place[0] - right, top - place[3], place[1] - bottom)
        assert text.arrow_patch is not None
        text.arrow_patch.set_visible(apart > _MARK * scale)


def _around(scale: float, panel: Panel, _frame: Size) -> Corners:
    """Top left corners of a name around its mark, the nearest first, `[n, 2]`.

    Args:
        scale: pixels to a point.
        panel: whose box is the mark.
    """
    width, height = panel.size
    x, y = (panel.box[0] + panel.box[2]) / 2, (panel.box[1] + panel.box[3]) / 2
    corners = []
    for distance, degrees in itertools.product(_DISTANCES, _DIRECTIONS):
        across = scale * distance * math.cos(math.radians(degrees))
        up = scale * (distance + _MARK) * math.sin(math.radians(degrees))
        before = width / 2 if abs(across) < scale else width * (across < 0)
        corners.append((x + across - before, y - up - height / 2))
    return np.array(corners).round().astype(np.int64)

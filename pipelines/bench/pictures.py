"""Pictures of the benchmarks: accuracy against cost, heads over length, storage over segments.

Every function writes one PNG and returns its path; folders above it are made.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Text

from egofeat.pipelines.bench.tables import operations
from egofeat.pipelines.figures import style
from egofeat.pipelines.figures.label_layout import Panel, place_panels

_MARKERS = "osD^vPX*"
_MARK = 5.0
"""Points of half a mark's side and what is left free around it."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A backbone with a published accuracy."""

    name: str
    group: str
    """Metric and data set: only accuracies of one group compare."""
    across: float
    """Multiply-adds of a run, or what else is drawn across."""
    height: float
    """What is drawn over it."""


@style.own_settings()
def scatter(
    points: Sequence[Point],
    out: Path,
    title: str,
    up: str,
    *,
    log: bool = False,
    across: str = "multiply-adds of a run (logarithmic)",
) -> Path:
    """Draw each point at its cost and height, a colour and a mark for each group.

    Args:
        points: what is drawn.
        out: PNG to write.
        title: above the picture.
        up: what the heights are.
        log: whether their axis is logarithmic, as the other is.
        across: what the other axis is.
    """
    figure = style.figure(9.0, min(9.0, 4.4 + 0.16 * len(points)))
    axes = style.style(figure.add_subplot(), title, across, up)
    axes.margins(0.14)
    axes.set_xscale("log")
    of_costs = max(point.across for point in points) > 1e6
    style.few_ticks(axes.xaxis, operations if of_costs else lambda value: f"{value:g}")
    if log:
        axes.set_yscale("log")
        style.few_ticks(axes.yaxis, lambda value: f"{value:g}")
    groups = list(dict.fromkeys(point.group for point in points))
    for number, group in enumerate(groups):
        own = [point for point in points if point.group == group]
        axes.plot(
            [point.across for point in own],
            [point.height for point in own],
            linestyle="",
            marker=_MARKERS[number % len(_MARKERS)],
            color=style.COLOURS[number % len(style.COLOURS)],
            label=group,
        )
    figure.legend(loc="outside upper right", ncols=4, fontsize=8, frameon=False)
    if len(groups) > 1:
        style.note(
            figure, "compare within a colour: accuracies are of different data sets or measures"
        )
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the axes stay where the labels are measured
    _name(axes, points)
    return style.save(figure, out)


def _name(axes: Axes, points: Sequence[Point]) -> None:
    """Write each name near its mark, where it covers no other name and no mark."""
    high, half = round(axes.bbox.height), round(_MARK * axes.figure.dpi / 72)
    texts, panels = [], []
    for point in points:
        text = axes.annotate(
            point.name,
            (point.across, point.height),
            (0, 0),
            textcoords="axes pixels",
            va="top",
            fontsize=8,
            color=style.INK,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.4},
            arrowprops={"arrowstyle": "-", "color": style.FAINT, "linewidth": 0.7, "shrinkB": 3},
        )
        x, y = axes.transData.transform(text.xy) - axes.bbox.min
        left, top = round(x) - half, high - round(y) - half
        width, height = Text.get_window_extent(text).size  # its own has the line in it too
        size = math.ceil(width), math.ceil(height)
        texts.append(text)
        panels.append(Panel((left, top, left + 2 * half, top + 2 * half), (0.0,), (size,)))
    marks = [panel.box for panel in panels]
    places = place_panels(panels, (round(axes.bbox.width), high), marks)
    assert places is not None  # tens of short names have room on a sheet
    for text, mark, place in zip(texts, marks, places, strict=True):
        text.xyann = place[0], high - place[1]
        apart = max(*np.subtract(mark[:2], place[2:]), *np.subtract(place[:2], mark[2:]))
        assert text.arrow_patch is not None
        text.arrow_patch.set_visible(apart > half)


@style.own_settings()
def heads_over_length(
    panels: Mapping[int, Mapping[str, Sequence[tuple[int, float]]]],
    out: Path,
    of_maps: str = "convlstm",
) -> Path:
    """Draw inference time over length, a panel an output dimension, on one logarithmic scale.

    Args:
        panels: output dimension to the curves of the heads, each (frames, milliseconds) by its
            label; all have the same lengths.
        out: PNG to write.
        of_maps: what the head on maps is called.
    """
    columns = min(2, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = style.figure(4.3 * columns + 0.2, 3.1 * lines + 0.3)
    every = [ms for curves in panels.values() for curve in curves.values() for _, ms in curve]
    for number, (output, curves) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(lines, columns, number)
        style.style(axes, f"output dimension {output}", "frames of the sequence", "ms a sequence")
        axes.set_yscale("log")
        for (label, curve), colour, marker in zip(
            curves.items(), style.COLOURS, _MARKERS, strict=False
        ):
            lengths, ms = zip(*curve, strict=True)
            axes.plot(lengths, ms, color=colour, marker=marker, markersize=4.5, label=label)
        axes.set_xlim(0, None)
        axes.set_xticks(lengths)
        axes.set_ylim(min(every) / 1.6, max(every) * 6)  # the legend stands above the curves
        style.few_ticks(axes.yaxis, lambda value: f"{value:g}")
        axes.legend(fontsize=8, frameon=False, loc="upper left")
    seen = f"vectors of 1280 (lstm), maps of 1280×8×8 ({of_maps})"
    style.note(figure, f"inference of one segment; {seen}")
    return style.save(figure, out)


@style.own_settings()
def storage_over_segments(
    curves: Mapping[str, Sequence[tuple[int, int, int, float]]], out: Path
) -> Path:
    """Draw disk, memory and time to load over the number of segments, a panel each.

    Args:
        curves: kind to (segments, bytes on disk, bytes in memory, milliseconds), of one or more
            numbers of segments.
        out: PNG to write.
    """
    figure = style.figure(12.6, 4.6)
    panels = (("disk", "MB"), ("memory", "MB"), ("time to load", "ms"))
    colours = {kind.split(",")[0]: None for kind in curves}
    for place, (title, unit) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, 3, place)
        style.style(axes, title, "segments of 20 frames", unit)
        axes.set_yscale("log")
        for kind, curve in curves.items():
            number = list(colours).index(kind.split(",")[0])
            axes.plot(
                [point[0] for point in curve],
                [point[place] / (1e6 if unit == "MB" else 1) for point in curve],
                color=style.COLOURS[number % len(style.COLOURS)],
                marker=_MARKERS[number % len(_MARKERS)],
                linestyle="--" if "," in kind else "-",
                markersize=4.5,
                label=kind if place == 1 else None,
            )
        axes.set_xlim(0, None)
        style.few_ticks(axes.yaxis, lambda value: f"{value:g}")
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return style.save(figure, out)

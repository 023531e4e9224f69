"""Pictures of classes: which are taken for which, and how often each comes up.

Every function writes one PNG and returns its path; folders above it are made.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from egofeat.pipelines.figures import style

_CELL_TEXT = 20
"""Up to so many classes, each cell of a confusion matrix shows its number."""
_BARS = 40
"""Up to so many classes, a class is one labelled bar or row in its own order."""
_NAMED = 110
"""Up to so many classes, every class is named; beyond, every so many-th is."""
_LINE = 0.135
"""Inches that one line of the smallest text takes."""


def confusion_matrix(
    labels: ArrayLike, predictions: ArrayLike, class_names: Sequence[str], out: Path, title: str
) -> Path:
    """Draw which class was taken for which, each row in parts of its true class.

    labels, predictions: class indices [n]; entries with a label below 0 are not counted.
    Classes that occur in neither are left out, and the picture says so. Up to 20 classes
    the cells carry their per cent; beyond 40 the classes stand by frequency; beyond 110
    only some are named.
    """
    true, guess = np.asarray(labels, np.int64), np.asarray(predictions, np.int64)
    true, guess = true[true >= 0], guess[true >= 0]
    total = np.zeros((len(class_names), len(class_names)))
    np.add.at(total, (true, guess), 1)
    counts = total.sum(1)
    shown = np.flatnonzero(counts + total.sum(0))
    many = len(shown) > _BARS
    if many:
        shown = shown[np.argsort(-counts[shown], kind="stable")]
    total = total[np.ix_(shown, shown)]
    rows = total.sum(1, keepdims=True)
    shares = 100 * np.divide(total, rows, out=np.full_like(total, np.nan), where=rows > 0)

    side = _side(len(shown))
    figure = style.figure(side + 3.0, side + 2.0)
    step = math.ceil(len(shown) * _LINE / side) if len(shown) > _NAMED else 1
    order = ", most frequent first" if many else ""
    order += f"; one in {step} is named" if step > 1 else ""
    axes = style.style(figure.add_subplot(), title, f"predicted{order}", f"true{order}")
    axes.grid(visible=False)
    axes.set_facecolor("#f0eee9")
    scale = PowerNorm(0.5 if many else 1.0, 0, 100)
    image = axes.imshow(shares, cmap="Blues", norm=scale, interpolation="nearest")
    bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02)
    bar.set_label("per cent of the true class", fontsize=style.TEXT, color=style.INK)
    bar.ax.tick_params(labelsize=8, colors=style.INK)
    _name_ticks(axes, [class_names[int(i)] for i in shown], step)
    if len(shown) <= _CELL_TEXT:
        _write_cells(axes, shares)
    style.note(figure, _confusion_note(rows[:, 0], len(class_names), int(np.trace(total))))
    return style.save(figure, out)


def _side(classes: int) -> float:
    """Inches of a matrix's side that keep its cells or its names readable."""
    if classes <= _CELL_TEXT:
        return max(2.4, 0.42 * classes)
    return max(7.0, _LINE * classes) if classes <= _NAMED else 11.0


def _confusion_note(rows: NDArray[np.float64], classes: int, right: int) -> str:
    note = f"{int(rows.sum()):,} segments, {100 * right / max(rows.sum(), 1):.1f} % right"
    if len(rows) < classes:
        note += f" · {classes - len(rows)} of {classes} classes do not occur and are left out"
    if not rows.all():
        note += f" · {int((rows == 0).sum())} only predicted (empty rows)"
    return note


def _write_cells(axes: Axes, shares: NDArray[np.float64]) -> None:
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.5:
            colour = "white" if share > 55 else style.INK
            axes.text(
                column, row, f"{share:.0f}", ha="center", va="center", fontsize=8, color=colour
            )


def _name_ticks(axes: Axes, names: Sequence[str], step: int) -> None:
    """Name every `step`-th class on both axes."""
    places = range(0, len(names), step)
    words = [style.short(names[place]) for place in places]
    axes.set_yticks(places, words, fontsize=8, parse_math=False)
    axes.set_xticks(places, words, fontsize=8, rotation=90, parse_math=False)


def instances_per_class(
    counts_by_split: Mapping[str, ArrayLike],
    class_names: Sequence[str],
    out: Path,
    title: str,
    counted: str = "segments",
) -> Path:
    """Draw how many segments each class has in each split, or what else is `counted`.

    counts_by_split: split to counts [classes]. Up to 40 classes are labelled bars in
    their own order; more are a curve from the most to the least frequent class of the
    first split, on a logarithmic scale, where the long tail is seen.
    """
    counts = {split: np.asarray(values, np.int64) for split, values in counts_by_split.items()}
    few = len(class_names) <= _BARS
    draw = _instance_bars if few else _instance_tail
    figure = draw(counts, class_names, title, counted)
    none = {split: int((values == 0).sum()) for split, values in counts.items()}
    empty = [
        f"{count} {'class has' if count == 1 else 'classes have'} none in {split}"
        for split, count in none.items()
        if count
    ]
    totals = [f"{int(values.sum()):,} in {split}" for split, values in counts.items()]
    style.note(figure, " · ".join([f"{counted}: " + ", ".join(totals), *empty]))
    return style.save(figure, out)


def _instance_bars(
    counts: Mapping[str, NDArray[np.int64]], class_names: Sequence[str], title: str, counted: str
) -> Figure:
    classes, splits = len(class_names), len(counts)
    figure = style.figure(7.5, max(2.8, (0.17 * splits + 0.1) * classes + 1.3))
    axes = style.style(figure.add_subplot(), title, counted, "")
    axes.grid(visible=False, axis="y")
    width = 0.8 / splits
    for number, (split, values) in enumerate(counts.items()):
        places = np.arange(classes) + (number - (splits - 1) / 2) * width
        bars = axes.barh(places, values, width * 0.92, color=style.COLOURS[number], label=split)
        axes.bar_label(
            bars, [f"{value:,}" for value in values], padding=3, fontsize=8, color=style.INK
        )
    axes.set_yticks(
        range(classes), [style.short(n) for n in class_names], fontsize=8, parse_math=False
    )
    axes.set_ylim(classes - 0.4, -0.6)
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if splits > 1:
        figure.legend(loc="outside upper right", ncols=splits, fontsize=8, frameon=False)
    return figure


def _instance_tail(
    counts: Mapping[str, NDArray[np.int64]], class_names: Sequence[str], title: str, counted: str
) -> Figure:
    classes = len(class_names)
    first, *_ = counts.values()
    order = np.argsort(-first, kind="stable")
    width = max(9.0, _LINE * classes) if classes <= _NAMED else 15.0
    figure = style.figure(width + 0.8, 5.2)
    axes = style.style(figure.add_subplot(), title, "", f"{counted} (logarithmic)")
    axes.set_yscale("log")
    for number, (split, values) in enumerate(counts.items()):
        colour = style.COLOURS[number % len(style.COLOURS)]
        heights = values[order]
        if number == 0:
            axes.bar(range(classes), heights, 1.0, color=colour, alpha=0.35, label=split)
        else:
            there = heights > 0
            spots = np.arange(classes)[there], heights[there]
            axes.plot(*spots, linestyle="", marker="o", markersize=3.2, color=colour, label=split)
    step = math.ceil(classes * _LINE / width) if classes > _NAMED else 1
    places = range(0, classes, step)
    words = [style.short(class_names[int(order[place])]) for place in places]
    axes.set_xticks(places, words, fontsize=8, rotation=90, parse_math=False)
    if step > 1:
        axes.set_xlabel(f"class, most frequent first; one in {step} is named")
    axes.set_xlim(-0.7, classes - 0.3)
    axes.set_ylim(bottom=0.8)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=False, axis="x")
    axes.legend(fontsize=8, frameon=False, loc="upper right")  # the most frequent stand left
    return figure

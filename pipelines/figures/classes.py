"""Pictures of classes: which are taken for which, how often each comes up, how well it is found.

Every function writes one PNG and returns its path; folders above it are made.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from egofeat.pipelines.figures import style
from egofeat.words import counted

_CELL_TEXT = 20
"""Up to so many classes, each cell of a confusion matrix shows its number."""
_BARS = 40
"""Up to so many classes, a class is one labelled bar or row in its own order."""
_NAMED = 110
"""Up to so many classes, every class is named; beyond, every so many-th is."""
_LINE = 0.135
"""Inches that one line of the smallest text takes."""
_ROW = 0.19
"""Inches of a bar and the gap below it."""


@style.own_settings()
def confusion_matrix(
    labels: ArrayLike, predictions: ArrayLike, class_names: Sequence[str], out: Path, title: str
) -> Path:
    """Draw which class was taken for which, each row in parts of its true class.

    labels, predictions: class indices [n]; entries with a label below 0 are not counted.
    Classes that occur in neither are left out, and the picture says so. Up to 20 classes
    the cells carry their per cent; beyond 40 the classes stand by frequency; beyond 110
    only some are named.
    """
    if not style.form():
        return out
    total, shown = _confusions(labels, predictions, len(class_names))
    rows, many = total.sum(1), len(shown) > _BARS
    share = 100 * (total / np.where(rows > 0, rows, np.nan)[:, np.newaxis])
    side = 11.0 if len(shown) > _NAMED else max(7.0, _LINE * len(shown))
    if len(shown) <= _CELL_TEXT:
        side = max(2.4, 0.42 * len(shown))
    figure = style.figure(side + 3.0, side + 2.0)
    places, rest = _named(len(shown), side)
    order = f"{', most frequent first' if many else ''}{rest}"
    axes = style.style(figure.add_subplot(), title, f"predicted{order}", f"true{order}")
    axes.grid(visible=False)
    axes.set_facecolor("#f0eee9")
    scale = PowerNorm(0.5 if many else 1.0, 0, 100)
    image = axes.imshow(share, cmap="Blues", norm=scale, interpolation="nearest")
    bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02)
    bar.set_label("per cent of the true class", fontsize=style.TEXT, color=style.INK)
    bar.ax.tick_params(labelsize=8, colors=style.INK)
    words = [style.short(class_names[int(shown[place])]) for place in places]
    style.name_places(axes, places, words)
    style.name_places(axes, places, words, turned=True)
    if len(shown) <= _CELL_TEXT:
        for (row, column), of in np.ndenumerate(share):
            if of >= 0.5:
                text = axes.text(column, row, f"{of:.0f}", ha="center", va="center", fontsize=8)
                text.set_color("white" if of > 55 else style.INK)
    right = 100 * np.trace(total) / max(rows.sum(), 1)
    note = f"{counted(int(rows.sum()), 'segments')}, {right:.1f} % right"
    if gone := len(class_names) - len(shown):
        absent = "does not occur and is" if gone == 1 else "do not occur and are"
        note += f" · {gone} of {len(class_names)} classes {absent} left out"
    if empty := int((rows == 0).sum()):
        note += f" · {empty} only predicted (empty rows)"
    style.note(figure, note)
    return style.save(figure, out)


def _confusions(
    labels: ArrayLike, predictions: ArrayLike, classes: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Count segments by true and predicted class `[k,k]`; and which k classes those are."""
    true, guess = np.asarray(labels, np.int64), np.asarray(predictions, np.int64)
    total = np.zeros((classes, classes))
    np.add.at(total, (true[true >= 0], guess[true >= 0]), 1)
    shown = np.flatnonzero(total.sum(1) + total.sum(0))
    if len(shown) > _BARS:
        shown = shown[np.argsort(-total.sum(1)[shown], kind="stable")]
    return total[np.ix_(shown, shown)], shown


def _named(classes: int, inches: float) -> tuple[range, str]:
    """Which of the classes along an axis have room for their names, and what to say of that."""
    step = math.ceil(classes * _LINE / inches) if classes > _NAMED else 1
    return range(0, classes, step), f"; one in {step} is named" if step > 1 else ""


@style.own_settings()
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
    if not style.form():
        return out
    counts = {split: np.asarray(values, np.int64) for split, values in counts_by_split.items()}
    draw = _instance_bars if len(class_names) <= _BARS else _instance_tail
    figure = draw(counts, class_names, title, counted)
    totals = ", ".join(f"{int(values.sum()):,} in {split}" for split, values in counts.items())
    said = [f"{counted}: {totals}"]
    for split, values in counts.items():
        if none := int((values == 0).sum()):
            said.append(f"{none} {'class has' if none == 1 else 'classes have'} none in {split}")
    style.note(figure, " · ".join(said))
    return style.save(figure, out)


def _instance_bars(
    counts: Mapping[str, NDArray[np.int64]], class_names: Sequence[str], title: str, counted: str
) -> Figure:
    classes, splits = len(class_names), len(counts)
    figure = style.figure(7.5, max(2.8, (0.17 * splits + 0.1) * classes + 1.3))
    axes = style.bars(figure.add_subplot(), title, counted, map(style.short, class_names))
    width = 0.8 / splits
    for number, (split, values) in enumerate(counts.items()):
        places = np.arange(classes) + (number - (splits - 1) / 2) * width
        bars = axes.barh(places, values, width * 0.92, color=style.COLOURS[number], label=split)
        words = [f"{value:,}" for value in values]
        axes.bar_label(bars, words, padding=3, fontsize=8, color=style.INK)
    axes.margins(x=0.12)
    style.whole_ticks(axes.xaxis)
    if splits > 1:
        figure.legend(loc="outside upper right", ncols=splits, fontsize=8, frameon=False)
    return figure


def _instance_tail(
    counts: Mapping[str, NDArray[np.int64]], class_names: Sequence[str], title: str, counted: str
) -> Figure:
    classes = len(class_names)
    first, *_ = counts.values()
    order = np.argsort(-first, kind="stable")
    width = 15.0 if classes > _NAMED else max(9.0, _LINE * classes)
    figure = style.figure(width + 0.8, 5.2)
    places, rest = _named(classes, width)
    across = f"class, most frequent first{rest}" if rest else ""
    axes = style.style(figure.add_subplot(), title, across, f"{counted} (logarithmic)")
    axes.set_yscale("log")
    edges = np.arange(classes + 1) - 0.5
    for number, (split, values) in enumerate(counts.items()):
        colour = style.COLOURS[number % len(style.COLOURS)]
        heights = values[order]
        if number == 0:
            axes.stairs(heights, edges, fill=True, color=colour, alpha=0.35, label=split)
        else:
            there = np.flatnonzero(heights)
            axes.plot(there, heights[there], "o", markersize=3.2, color=colour, label=split)
    words = [style.short(class_names[int(order[place])]) for place in places]
    style.name_places(axes, places, words, turned=True)
    axes.set_xlim(-0.7, classes - 0.3)
    axes.set_ylim(bottom=0.8)
    style.few_ticks(axes.yaxis, lambda value: f"{value:,.0f}")
    axes.grid(visible=False, axis="x")
    axes.legend(fontsize=8, frameon=False, loc="upper right")  # the most frequent stand left
    return figure


@style.own_settings()
def precision_bars(classes: Mapping[str, tuple[float, int]], out: Path, title: str) -> Path:
    """Draw average precision and annotated number of each class, in the order given."""
    if not style.form():
        return out
    values = [100 * precision for precision, _ in classes.values()]
    counts = [annotated for _, annotated in classes.values()]
    figure = style.figure(8.0, _ROW * len(values) + 1.3)
    axes = style.bars(figure.add_subplot(), title, "average precision, %", classes)
    bars = axes.barh(range(len(values)), values, 0.72, color=style.COLOURS[0])
    words = [f"{value:.1f}   of {count:,}" for value, count in zip(values, counts, strict=True)]
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}  # over the line of the mean
    axes.bar_label(bars, words, padding=4, fontsize=8, color=style.INK, bbox=paper)
    mean = float(np.mean(values))
    axes.axvline(mean, color=style.INK, linewidth=1.2, linestyle="--")
    axes.set_xlim(0, 118)
    axes.set_xticks(range(0, 101, 20))
    those = "1 class" if len(values) == 1 else f"{len(values)} classes"
    actions = counted(sum(counts), "annotated actions")
    style.note(figure, f"dashed: mean of {those}, {mean:.1f} % · {actions}")
    return style.save(figure, out)

"""Pictures of a run: curves, and heads side by side.

Every function writes one PNG and returns its path; folders above it are made. Accuracies
are fractions and are shown in per cent.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from egofeat.errors import RequestError
from egofeat.pipelines.figures import style
from egofeat.words import decimals

_AXES = {"loss": "loss", "top1": "top-1 accuracy, %", "mAP": "mAP of boxes, %"}
"""Figure of a history to its axis."""


@style.own_settings()
def loss_curves(history: Path, out: Path) -> Path:
    """Draw loss and top-1 accuracy, or mAP, over epochs from a run's `history.csv`.

    Uses the columns `epoch`, `<split>/loss` and `<split>/<target>/top1` or `…/mAP` that are there;
    empty cells are left out. The epoch with the lowest `val/loss` is marked.

    Raises RequestError for a history without an epoch.
    """
    columns = read_history(history)
    if not style.form():
        return out
    epochs, losses = columns["epoch"], columns.get("val/loss", np.array([math.nan]))
    best = None if np.isnan(losses).all() else int(np.nanargmin(losses))
    panels = {
        label: {name: of for name, of in columns.items() if name.endswith(f"/{ending}")}
        for ending, label in _AXES.items()
    }
    panels = {label: lines for label, lines in panels.items() if lines}
    figure = style.figure(5.2 * len(panels) + 0.2, 3.9)
    for number, (label, lines) in enumerate(panels.items(), start=1):
        axes = style.style(figure.add_subplot(1, len(panels), number), "", "epoch", label)
        _draw_lines(axes, epochs, lines)
        if best is not None:
            axes.axvline(epochs[best], color=style.FAINT, linewidth=1, linestyle=":", zorder=1)
        style.whole_ticks(axes.xaxis)
        axes.set_ylim(0, 1.06 * axes.get_ylim()[1])
        # Where lines end up is known; to look for the best place takes long where there are many.
        axes.legend(
            fontsize=8, frameon=False, loc="upper right" if label == "loss" else "lower right"
        )
    if best is not None:
        lowest = f"the lowest validation loss ({decimals(losses[best])})"
        style.note(figure, f"dotted: epoch {epochs[best]:g}, {lowest}")
    return style.save(figure, out)


def read_history(history: Path) -> dict[str, NDArray[np.float64]]:
    """The columns that are drawn, losses as they are and scores in per cent."""
    with history.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or "epoch" not in rows[0]:
        raise RequestError(f"{history} has no epochs to draw: train the head for one or more")
    return {
        name: np.array([float(row[name] or "nan") for row in rows])
        * (1 if name.endswith(("epoch", "loss")) else 100)
        for name in rows[0]
        if name == "epoch" or name.rpartition("/")[2] in _AXES
    }


def _draw_lines(
    axes: Axes, epochs: NDArray[np.float64], lines: Mapping[str, NDArray[np.float64]]
) -> None:
    """Draw a colour for each target and ink for the sum; training is dashed."""
    targets = list(dict.fromkeys(name.split("/")[1] for name in lines if name.count("/") > 1))
    for name, values in lines.items():
        split, *target, _ = name.split("/")
        known = ~np.isnan(values)
        place = targets.index(target[0]) % len(style.COLOURS) if target else -1
        axes.plot(
            epochs[known],
            values[known],
            color=style.COLOURS[place] if target else style.INK,
            linestyle="--" if split == "train" else "-",
            marker="o" if len(epochs) < 3 else "",
            fillstyle="none" if split == "train" else "full",
            linewidth=1.8,
            label=" ".join([*target, split]),
        )


@style.own_settings()
def comparison(
    results: Mapping[str, Mapping[str, float]], out: Path, title: str = "heads side by side"
) -> Path:
    """Draw each metric of each head as a bar, a panel a metric.

    results: head to metric to fraction; the entry `chance`, where there is one, is drawn
    as a line that the bars should pass. A metric that a head lacks is left out.
    """
    chance = results.get("chance", {})
    heads = [head for head in results if head != "chance"]
    metrics = list(dict.fromkeys(metric for head in heads for metric in results[head]))
    columns = min(3, len(metrics))
    lines = math.ceil(len(metrics) / columns)
    figure = style.figure(3.5 * columns + 1.0, lines * (0.36 * len(heads) + 0.8) + 0.7)
    figure.suptitle(title, fontsize=style.TEXT + 2, color=style.INK)
    for number, metric in enumerate(metrics):
        first = number % columns == 0
        names = heads if first else [""] * len(heads)
        axes = style.bars(figure.add_subplot(lines, columns, number + 1), metric, "", names)
        values = [100 * results[head].get(metric, math.nan) for head in heads]
        colours = [style.COLOURS[place % len(style.COLOURS)] for place in range(len(heads))]
        bars = axes.barh(range(len(heads)), np.nan_to_num(values), 0.68, color=colours)
        words = ["" if math.isnan(value) else f"{value:.1f} %" for value in values]
        axes.bar_label(bars, words, padding=3, fontsize=8, color=style.INK)
        if metric in chance:
            of_chance = 100 * chance[metric]
            axes.axvline(of_chance, color=style.INK, linewidth=1.4, linestyle="--")
            label = f"dashed: chance {of_chance:.1f} %"
            axes.set_xlabel(label, fontsize=8, color=style.FAINT)
        axes.set_xlim(0, 118)
        axes.set_xticks(range(0, 101, 25))
    return style.save(figure, out)


@style.own_settings()
def accuracies(
    names: Sequence[str],
    spans: Sequence[tuple[float, float | None, float | None]],
    out: Path,
    title: str,
) -> Path:
    """Draw a figure of each head as a point, with the ends of its interval if there is one.

    Args:
        names: of the heads, the first on top.
        spans: mean, lower and upper end of each, fractions.
        out: where the picture goes.
        title: of the picture.
    """
    figure = style.figure(7.6, 0.32 * len(names) + 1.3)
    axes = style.bars(figure.add_subplot(), title, "per cent", [style.short(n, 48) for n in names])
    for place, (mean, low, high) in enumerate(spans):
        if low is not None and high is not None:
            axes.plot([100 * low, 100 * high], [place, place], color=style.FAINT, linewidth=2)
        axes.plot([100 * mean], [place], "o", color=style.COLOURS[0], markersize=6)
        right = 100 * (mean if high is None else high)
        text = axes.annotate(f"{100 * mean:.1f}", (right, place), (5, 0))  # right of the mark
        text.set(anncoords="offset points", va="center", fontsize=8, color=style.INK)
    axes.set_xlim(0, 108)
    style.note(figure, "line: 95 % interval by a bootstrap over clips" if spans[0][1] else "")
    return style.save(figure, out)


@style.own_settings()
def curves(histories: Mapping[str, Sequence[Path]], figure: str, out: Path) -> Path | None:
    """Draw validation loss and a figure of several heads over epochs, a colour a head.

    Args:
        histories: head to the history of each of its seeds; what is not there is left out.
        figure: `<target>/top1` or `<target>/mAP`; others have no history.
        out: where the picture goes.

    Returns:
        The picture; None where there is nothing to draw.
    """
    known = {
        name: [read_history(path) for path in paths if path.exists()]
        for name, paths in histories.items()
    }
    there = dict.fromkeys(name for runs in known.values() for of in runs for name in of)
    # Of actions there is no history: that of the first target stands for them.
    scored = [f"val/{figure}", *(name for name in there if name.startswith("val/"))]
    scored = [name for name in scored if name in there and name != "val/loss"][:1]
    wanted = [name for name in ("val/loss", *scored) if name in there]
    panels = {name: _axis(name) for name in wanted}
    if not panels:
        return None
    sheet = style.figure(5.2 * len(panels) + 0.2, 4.4)
    for number, (column, label) in enumerate(panels.items(), start=1):
        axes = style.style(sheet.add_subplot(1, len(panels), number), "", "epoch", label)
        for place, (name, runs) in enumerate(known.items()):
            lines = [of for of in runs if column in of]
            for seed, of in enumerate(lines):
                axes.plot(
                    of["epoch"],
                    of[column],
                    color=style.COLOURS[place % len(style.COLOURS)],
                    linestyle=("-", "--", ":", "-.")[place // len(style.COLOURS) % 4],
                    marker="o" if len(of["epoch"]) < 3 else "",
                    linewidth=1.2,
                    alpha=0.9 if len(lines) == 1 else 0.6,
                    label="" if seed else style.short(name, 40),
                )
        style.whole_ticks(axes.xaxis)
        axes.set_ylim(0, 1.06 * axes.get_ylim()[1])
        if number == 1:
            axes.legend(fontsize=8, frameon=False, loc="upper right")
    return style.save(sheet, out)


def _axis(column: str) -> str:
    """`val/verb/top1` in words."""
    _, *target, ending = column.split("/")
    return " ".join(["validation", *target, _AXES[ending]])

"""Average precision of each class as a picture."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from egofeat.pipelines.figures import style

_ROW = 0.19
"""Inches of a bar and the gap below it."""


def precision_bars(classes: Mapping[str, tuple[float, int]], out: Path, title: str) -> Path:
    """Draw average precision and annotated number of each class, in the order given."""
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
    style.note(
        figure,
        f"dashed: mean of {len(values)} classes, {mean:.1f} % · {sum(counts):,} annotated actions",
    )
    return style.save(figure, out)

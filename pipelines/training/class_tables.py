"""What an evaluation tells of classes, as CSV."""

import csv
import io
from collections.abc import Sequence

import numpy as np

from egofeat.heads.measures.classes import ByClass

HEADINGS = ("class", "instances", "predicted", "precision", "recall", "F1", "average_precision")


def class_table(classes: ByClass, names: Sequence[str]) -> bytes:
    """A line a class, in the order of the labels; an empty cell where there is nothing to divide.

    Args:
        classes: of a target.
        names: of them.
    """
    counts = zip(names, classes.instances.tolist(), classes.predicted.tolist(), strict=True)
    fractions = (classes.precision, classes.recall, classes.f1, classes.average_precision)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEADINGS)
    for of_class, values in zip(counts, np.stack(fractions, axis=1), strict=True):
        writer.writerow([*of_class, *("" if np.isnan(of) else f"{of:.6f}" for of in values)])
    return text.getvalue().encode()


def confusion_table(classes: ByClass, names: Sequence[str]) -> bytes:
    """Segments by true class, a line each, and predicted class; those that are neither left out.

    Args:
        classes: of a target.
        names: of them.
    """
    shown = np.flatnonzero(classes.instances + classes.predicted).tolist()
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["true \\ predicted", *(names[label] for label in shown)])
    for label in shown:
        writer.writerow([names[label], *classes.confusion[label, shown].tolist()])
    return text.getvalue().encode()

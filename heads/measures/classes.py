"""How well a head finds each class, where a segment has one: precision, recall, F1, curves.

A class is predicted where its logit is the greatest. Average precision and curves rank segments by
the class's probability, those of equal probability taken together.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ByClass:
    """What is true of each class, `[classes]`; fractions are NaN where there is nothing to divide.

    Precision is of what is never predicted NaN, recall and average precision of what never occurs;
    F1 of what does neither.
    """

    confusion: NDArray[np.int64]
    """Segments by true and predicted class, `[classes,classes]`."""
    average_precision: Floats

    @property
    def instances(self) -> NDArray[np.int64]:
        """Segments of the class."""
        return np.asarray(self.confusion.sum(axis=1))

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Segments that were taken for it."""
        return np.asarray(self.confusion.sum(axis=0))

    @property
    def right(self) -> NDArray[np.int64]:
        """Segments of the class that were taken for it."""
        return np.asarray(self.confusion.diagonal())

    @property
    def precision(self) -> Floats:
        """Part of what was taken for the class that is of it."""
        return _parts(self.right, self.predicted)

    @property
    def recall(self) -> Floats:
        """Part of the class that was taken for it."""
        return _parts(self.right, self.instances)

    @property
    def f1(self) -> Floats:
        """Harmonic mean of precision and recall; 0 where none is right."""
        return _parts(2 * self.right, self.instances + self.predicted)

    def macro(self) -> dict[str, float]:
        """Means over the classes that occur; what is never predicted has precision 0.

        Mean recall is `mean_class_accuracy`.
        """
        occur = self.instances > 0
        if not occur.any():
            return {}
        means = {
            "macro_precision": np.nan_to_num(self.precision),
            "macro_F1": self.f1,
            "macro_average_precision": self.average_precision,
        }
        return {name: float(of[occur].mean()) for name, of in means.items()}


def by_class(logits: Tensor, labels: Tensor) -> ByClass:
    """Count and rank.

    Args:
        logits: `[N,classes]`.
        labels: `[N]`, -1 where a segment is not annotated (left out).
    """
    count = logits.shape[1]
    truth = labels[labels >= 0].numpy()
    logits = logits[labels >= 0]
    confusion = np.zeros((count, count), np.int64)
    np.add.at(confusion, (truth, logits.argmax(dim=1).numpy()), 1)
    scores = class_scores(logits)
    precisions = np.full(count, np.nan)
    for label in np.unique(truth):
        precisions[label] = average_precision(*curve(scores[:, label], truth == label))
    return ByClass(confusion, precisions)


def class_scores(logits: Tensor) -> Floats:
    """Log odds of each class, `[N,classes]`, in the order of its probability.

    Probabilities near 1 are equal as floats; their odds are not. They are rounded, so that equals
    stay equal whichever way they were computed.
    """
    log_p = torch.log_softmax(logits.double(), dim=1)
    odds = log_p - torch.log1p(-log_p.exp())
    best = logits.argmax(dim=1, keepdim=True)
    others = logits.double().scatter(1, best, -torch.inf).logsumexp(dim=1, keepdim=True)
    odds = odds.scatter(1, best, logits.double().gather(1, best) - others)
    rounded: Floats = odds.round(decimals=9).numpy()
    return rounded


def curve(scores: Floats, truth: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Precision and recall `[steps]` as the threshold falls, a step for each distinct score.

    Args:
        scores: of the segments for one class, `[N]`.
        truth: which are of the class, one at least, `[N]`.
    """
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(truth[order])
    last = np.flatnonzero(np.append(scores[order][1:] != scores[order][:-1], True))
    return found[last] / (last + 1), found[last] / found[-1]


def average_precision(precision: Floats, recall: Floats) -> float:
    """Area under the steps of a curve: the precision of each, by how much recall it adds."""
    return float(np.sum(precision * np.diff(recall, prepend=0.0)))


def _parts(some: NDArray[np.int64], whole: NDArray[np.int64]) -> Floats:
    parts = np.full(len(some), np.nan)
    np.divide(some, whole, out=parts, where=whole > 0)
    return parts

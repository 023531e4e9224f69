"""Frame mAP: how well boxes with a score a class find who does what in key frames.

The figure of AVA (Gu et al., 2018, section 5.1), by PASCAL VOC's protocol as the public evaluation
of the ActivityNet challenge carries it out, class by class. Each found box goes to the annotated
box of its key frame and class that it overlaps most (the first given of equals), whether or not
that is taken. It is right where their intersection over union is 0.5 or more and no found box of
a higher score (or the same, and given before) went there; else it is wrong. Average precision is
the area under precision over recall, each precision raised to the highest at that recall or a
greater one. Of equal scores the one given last ranks first. The challenge's newer script first
keeps the 50 pairs of box and class of each key frame that score best, which this and PySlowFast do
not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OVERLAP = 0.5
"""Intersection over union from which on a found box is the annotated one."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Boxes, each in a key frame."""

    frames: NDArray[np.int64]
    """[n] number of the key frame, the same for annotated and for found boxes."""
    corners: NDArray[np.float64]
    """[n, 4] x1, y1, x2, y2, with `x1 < x2` and `y1 < y2`."""

    def __getitem__(self, some: NDArray[np.int64] | NDArray[np.bool_]) -> "Placed":
        return Placed(self.frames[some], self.corners[some])


def average_precisions(
    truth: Placed,
    actions: NDArray[np.bool_],
    found: Placed,
    scores: NDArray[np.floating],
    classes: Iterable[int],
) -> dict[int, float]:
    """Average precision of each class that some annotated box has; their mean is the frame mAP.

    Args:
        truth: annotated boxes.
        actions: which classes each annotated box has, [boxes, classes].
        found: found boxes, in the same key frames.
        scores: how sure each found box is of each class, [boxes, classes].
        classes: which classes are wanted.
    """
    order = np.argsort(truth.frames, kind="stable")
    truth, actions = truth[order], actions[order]
    precisions = {}
    for class_ in classes:
        has, sureness = actions[:, class_], scores[:, class_]
        if has.any():
            right = _right(truth[has], found, sureness)
            precisions[class_] = _area(right, sureness, int(has.sum()))
    return precisions


def mean_precision(precisions: Mapping[int, float]) -> float:
    """The frame mAP of these classes, in [0, 1]."""
    return float(np.mean([*precisions.values()]))


def box_recall(truth: Placed, found: Placed) -> float:
    """Fraction of the annotated boxes that some found box overlaps by 0.5 or more.

    No head can have a higher recall on these boxes.
    """
    _, best = _nearest(truth, found[np.argsort(found.frames, kind="stable")])
    return float((best >= OVERLAP).mean())


def overlaps(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of boxes [n, 4] and as many others, [n]."""
    low = np.maximum(one[:, :2], other[:, :2])
    high = np.minimum(one[:, 2:], other[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, other)]
    return np.asarray(shared / (areas[0] + areas[1] - shared), np.float64)


def _nearest(boxes: Placed, among: Placed) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The box that each overlaps most, of those of its key frame, and by how much, [n].

    `among` is in the order of key frames. Where nothing overlaps, the number means nothing.
    """
    first = np.searchsorted(among.frames, boxes.frames, "left")
    count = np.searchsorted(among.frames, boxes.frames, "right") - first
    nearest, best = first.copy(), np.zeros(len(boxes.frames))
    for place in range(int(count.max(initial=0))):
        (those,) = np.nonzero(count > place)
        others = first[those] + place
        overlap = overlaps(boxes.corners[those], among.corners[others])
        closer = overlap > best[those]
        nearest[those[closer]], best[those[closer]] = others[closer], overlap[closer]
    return nearest, best


def _right(truth: Placed, found: Placed, scores: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether each found box is right, [n]; truth is of one class and in the order of frames."""
    nearest, best = _nearest(found, truth)
    (hits,) = np.nonzero(best >= OVERLAP)
    hits = hits[np.argsort(-scores[hits], kind="stable")]
    _, surest = np.unique(nearest[hits], return_index=True)
    right = np.zeros(len(found.frames), bool)
    right[hits[surest]] = True
    return right


def _area(right: NDArray[np.bool_], scores: NDArray[np.floating], annotated: int) -> float:
    """Area under the envelope of precision over recall."""
    ranked = right[np.argsort(scores, kind="stable")[::-1]]
    (places,) = np.nonzero(ranked)  # recall steps at these alone
    precision = np.arange(1, len(places) + 1) / (places + 1)
    envelope = np.maximum.accumulate(precision[::-1])
    return float(envelope.sum() / annotated)

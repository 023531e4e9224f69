"""Detections as AVA takes them: a line a box and class that it is scored for.

Corners to 3 decimals and scores to 4 are AVA's form, so the mAP of the file may differ in the last
digits from that of the scores themselves, which is the one that is printed.
"""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from egofeat.boxes import stamp_of

DIGITS = 4
"""Decimals of a score."""


def ava_results(
    ids: Sequence[str],
    corners: NDArray[np.float32],
    scores: NDArray[np.floating],
    classes: Sequence[int],
) -> bytes:
    """Lines of video, time stamp as annotated, x1, y1, x2, y2, action and score.

    A score that would be written as 0 is left out: it ranks below all others, and no lower than
    the rest of them.

    Args:
        ids: key frame of each box.
        corners: [boxes, 4].
        scores: [boxes, classes], in [0, 1].
        classes: indices of those that are written; an action's id is its index and one.
    """
    steps = 10**DIGITS
    written = [f"{step / steps:.{DIGITS}f}" for step in range(steps + 1)]
    rounded = np.rint(scores[:, classes] * steps).astype(np.int64).tolist()
    actions = [class_ + 1 for class_ in classes]
    lines = io.BytesIO()
    for id_, (x1, y1, x2, y2), of_box in zip(ids, corners.tolist(), rounded, strict=True):
        video, stamp = id_.rpartition("_")[0], stamp_of(id_)
        box = f"{video},{stamp},{x1:.3f},{y1:.3f},{x2:.3f},{y2:.3f}"
        pairs = zip(actions, of_box, strict=True)
        text = "".join(f"{box},{action},{written[step]}\n" for action, step in pairs if step)
        lines.write(text.encode())
    return lines.getvalue()

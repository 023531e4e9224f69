"""Persons of a key frame: where each stands and, where somebody said so, what each does.

A key frame is a moment of a video. It is a segment of a data set: its id is
`<video>_<time stamp>`, the stamp as the annotation writes it, and it begins at the moment
itself.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """Boxes of one key frame."""

    corners: NDArray[np.float32]
    """[n, 4] x1, y1, x2, y2 in fractions of the frame's sides from its top left corner, with
    `0 <= x1 < x2 <= 1` and y likewise."""
    scores: NDArray[np.float32]
    """[n] how sure the detector was, in [0, 1]; 1 of annotated boxes."""
    actions: tuple[tuple[int, ...], ...] = ()
    """[n] class indices of each annotated box, rising; empty for detected boxes."""

    @classmethod
    def of(
        cls,
        corners: Sequence[Sequence[float]],
        scores: Sequence[float] | None = None,
        actions: Sequence[Sequence[int]] = (),
    ) -> Self:
        """Boxes from plain numbers; without scores, they are annotated."""
        return cls(
            np.array(corners, np.float32).reshape(-1, 4),
            np.ones(len(corners), np.float32) if scores is None else np.array(scores, np.float32),
            tuple(tuple(sorted(set(of_box))) for of_box in actions),
        )

    def __len__(self) -> int:
        return len(self.corners)


def key_frame_id(video: str, stamp: str) -> str:
    """Id of the segment that is a key frame, `-5KQ66BBWC4_0902`."""
    return f"{video}_{stamp}"


def stamp_of(id_: str) -> str:
    """Time stamp of a key frame, as the annotation writes it."""
    return id_.rpartition("_")[2]


def boxes_digest(boxes: Mapping[str, Boxes]) -> str:
    """`sha256:<hex>` of which boxes with which scores each key frame has; not of their actions."""
    digest = hashlib.sha256()
    for id_ in sorted(boxes):
        of_frame = boxes[id_]
        digest.update(f"{id_}\t{len(of_frame)}\n".encode())
        digest.update(of_frame.corners.astype("<f4").tobytes())
        digest.update(of_frame.scores.astype("<f4").tobytes())
    return f"sha256:{digest.hexdigest()}"

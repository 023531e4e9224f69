"""Boxes of persons beside a data set: a detector's files, read and written, and its own boxes.

The form is that of the person boxes published for AVA, without a header:
`video, time stamp, x1, y1, x2, y2, action or nothing, score`.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from io import StringIO
from itertools import count, pairwise
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from egofeat.adapters.reading.box_table import (
    MARGIN,
    BoxRows,
    Corners,
    by_box,
    parse_stamp,
    read_rows,
)
from egofeat.boxes import Boxes, boxes_digest, key_frame_id, stamp_of
from egofeat.errors import ManifestError
from egofeat.segments import Dataset, Segment


@dataclass(frozen=True, slots=True)
class Detections:
    """The boxes whose features are wanted."""

    boxes: Mapping[str, Boxes]
    """Id of a key frame to its boxes, one or more, the surest first; others are absent."""
    remarks: tuple[str, ...]
    """What was left out, a sentence a reason."""
    digest: str
    """`boxes_digest` of the boxes."""


def read_detections(path: Path, key_frames: Iterable[Segment], min_score: float) -> Detections:
    """Read a detector's boxes of the key frames: a CSV, or a folder of `*.csv`.

    A row is `video, time stamp, x1, y1, x2, y2, score`, or has an action before the score; rows of
    one box (one a predicted action) are one, with the highest score. Cells are parted by commas or
    tabs, stamps compare as numbers. A box that reaches out of the frame by `MARGIN` at most is cut
    to it. Boxes that reach further, have no area, score below `min_score` or are of other key
    frames are left out and counted.

    Raises:
        ManifestError: there is no such file, or a line of it is no box.

    """
    ids = [segment.id for segment in key_frames]
    rows = _read_rows(_files(path), _Frames(ids))
    frames, values = np.array(rows.frames, np.int64), rows.values()
    corners, scores = Corners.of(values[:, :4]), values[:, 4]
    order, first = by_box(frames, corners.values, -scores)
    each = order[first]
    left = np.ones(len(each), np.bool_)
    remarks = []
    for bad, said in (
        (frames >= len(ids), "of key frames that are not in the data set"),
        (corners.outside, f"that reach out of their frame by more than {MARGIN}"),
        (corners.flat, "without area"),
        (scores < min_score, f"with a score below {min_score:g}"),
    ):
        out = left & bad[each]
        left &= ~out
        if out.any():
            remarks.append(f"{path}: boxes {said} are left out: {out.sum()} of {len(each)}")
    kept = each[left]
    kept = kept[np.lexsort((*corners.values[kept].T[::-1], -scores[kept], frames[kept]))]
    boxes = _of_frames(ids, frames[kept], corners.values[kept], scores[kept])
    if len(boxes) < len(ids):
        without = len(ids) - len(boxes)
        remarks.append(f"{path}: key frames left without a box: {without} of {len(ids)}")
    return Detections(boxes, tuple(remarks), boxes_digest(boxes))


def moments_of(path: Path) -> dict[tuple[str, float], str]:
    """Video and second of each row of such files, in their order, to the stamp as it stands there.

    Raises:
        ManifestError: there is no such file, or a stamp is no second.
    """
    found: dict[tuple[str, float], str] = {}
    for file in _files(path):
        for line, cells in read_rows(file):
            if len(cells) > 1:
                second = parse_stamp(cells[1], f"{file} line {line}")
                found.setdefault((cells[0], second), cells[1])
    return found


def at_boxes(dataset: Dataset, path: Path) -> Dataset:
    """The videos of a data set with a key frame wherever the files have a box of them.

    Files call a video as the data set does, or by its file's name without suffix.
    """
    whole = {one.video: one for one in dataset.whole_videos().segments}
    names = {PurePath(video).stem: video for video in whole} | {video: video for video in whole}
    segments = tuple(
        replace(whole[names[name]], id=key_frame_id(name, stamp), start=second, stop=second + 1)
        for (name, second), stamp in moments_of(path).items()
        if name in names
    )
    return replace(dataset.whole_videos(), segments=segments, key_frames=True)


def annotated(dataset: Dataset) -> Detections:
    """Give the data set's own boxes, each with score 1, as a detector would have."""
    boxes = {}
    for segment in dataset.segments:
        own = dataset.boxes.get(segment.id)
        if own is not None and len(own):
            boxes[segment.id] = Boxes(own.corners, np.ones(len(own), np.float32))
    remarks = []
    if len(boxes) < len(dataset.segments):
        without = len(dataset.segments) - len(boxes)
        remarks.append(
            "key frames without an annotated person are left out: "
            f"{without} of {len(dataset.segments)}"
        )
    return Detections(boxes, tuple(remarks), boxes_digest(boxes))


def detections_csv(boxes: Mapping[str, Boxes]) -> bytes:
    """Give the boxes of the key frames of one video, by their ids, as a file in the detector form.

    Numbers have as many decimals as give the same float32 back. The file of a video in which nobody
    is found is empty.
    """
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    for id_, of_frame in boxes.items():
        stamp = stamp_of(id_)
        video = id_[: -len(stamp) - 1]
        for corners, score in zip(of_frame.corners, of_frame.scores, strict=True):
            cells = [np.format_float_positional(value, trim="0") for value in (*corners, score)]
            table.writerow((video, stamp, *cells[:4], "", cells[4]))
    return text.getvalue().encode()


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.csv"))
    if not files:
        raise ManifestError(f"{path} holds no .csv of boxes: name a folder that does, or one file")
    return files


class _Frames:
    """Number of the key frame that a row's video and time stamp mean.

    Key frames of the data set are numbered from 0 as listed, all others above them.
    """

    def __init__(self, ids: list[str]) -> None:
        self._numbers: dict[tuple[str, float], int] = {}
        self._known: dict[tuple[str, str], int] = {}
        self._others = count(len(ids))
        for number, id_ in enumerate(ids):
            video, _, stamp = id_.rpartition("_")
            self._numbers[video, float(stamp)] = number

    def __call__(self, video: str, stamp: str, place: str) -> int:
        if (video, stamp) not in self._known:
            moment = video, parse_stamp(stamp, place)
            self._known[video, stamp] = self._numbers.setdefault(moment, next(self._others))
        return self._known[video, stamp]


def _read_rows(files: Iterable[Path], frame_of: _Frames) -> BoxRows:
    """Key frame, corners and score of each row."""
    rows = BoxRows(("x1", "y1", "x2", "y2", "the score"))
    for path in files:
        file = str(path)
        for line, cells in read_rows(path):
            place = f"{file} line {line}"
            if not 7 <= len(cells) <= 8:
                raise ManifestError(
                    f"{place} has {len(cells)} cells: write "
                    "video, time stamp, x1, y1, x2, y2, action or nothing, score"
                )
            rows.add(frame_of(cells[0], cells[1], place), path, line, (*cells[2:6], cells[-1]))
    scores = rows.values()[:, 4]
    wrong = np.flatnonzero((scores < 0) | (scores > 1))
    if len(wrong):
        raise ManifestError(
            f"{rows.place(wrong[0])}: the score is {scores[wrong[0]]:g}: write one from 0 to 1, in "
            "the last cell (a file of annotations has the action or the person there)"
        )
    return rows


def _of_frames(
    ids: list[str],
    frames: NDArray[np.int64],
    corners: NDArray[np.float32],
    scores: NDArray[np.float64],
) -> dict[str, Boxes]:
    """Boxes by key frame; `frames` do not fall."""
    scores_f4 = scores.astype(np.float32)
    some, begins = np.unique(frames, return_index=True)
    stretches = pairwise([*begins, len(frames)])
    return {
        ids[frame]: Boxes(corners[begin:end], scores_f4[begin:end])
        for frame, (begin, end) in zip(some, stretches, strict=True)
    }

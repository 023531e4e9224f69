"""The CSV files of one split of AVA: its key frames, and who does what in them.

Rows are `video, time stamp, x1, y1, x2, y2, action[, person]`; those of the same corners are one
person. A row without a box, `video, time stamp`, is a key frame in which nobody was found.
"""

from array import array
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from egofeat.adapters.files import confined, whole_number
from egofeat.adapters.reading.box_table import (
    MARGIN,
    BoxRows,
    Corners,
    by_box,
    parse_stamp,
    read_rows,
)
from egofeat.boxes import Boxes, key_frame_id
from egofeat.errors import ManifestError

Moment = tuple[str, float]
"""A video and a second of it."""


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """A moment that has been annotated, or is to be."""

    number: int
    """Counted from 0 in its split."""
    id: str
    place: str
    """File and line that name it first."""


@dataclass(slots=True)
class AvaTable:
    """Key frames of a split, and the rows of its persons."""

    key_frames: dict[Moment, KeyFrame] = field(default_factory=dict)
    videos: set[str] = field(default_factory=set)
    """Names of the videos."""
    left_out: set[Moment] = field(default_factory=set)
    """Moments of rows that are excluded."""
    looked_at: set[int] = field(default_factory=set)
    """Numbers of the key frames of files that have boxes at all."""
    rows: BoxRows = field(default_factory=lambda: BoxRows(("x1", "y1", "x2", "y2")))
    actions: "array[int]" = field(default_factory=lambda: array("q"))
    """[rows] class index of each."""

    @classmethod
    def read(cls, paths: Iterable[Path], excluded: Set[Moment], largest: int) -> "AvaTable":
        """From the files; rows of excluded moments are not looked into.

        Raises:
            ManifestError: a line is not as AVA has it, or its action's id is over `largest`.

        """
        table = cls()
        known: dict[tuple[str, str], KeyFrame | None] = {}
        indices: dict[str, int] = {}
        for path in paths:
            file = str(path)
            of_file, rows_before = set(), len(table.rows)
            for line, cells in read_rows(path):
                place = f"{file} line {line}"
                if len(cells) not in (2, 7, 8):
                    raise ManifestError(
                        f"{place} has {len(cells)} cells: write video, time stamp, "
                        "x1, y1, x2, y2, action and, if it is known, the person"
                    )
                video, stamp, *person = cells
                if (video, stamp) not in known:
                    known[video, stamp] = table._key_frame(video, stamp, place, excluded)
                if (key_frame := known[video, stamp]) is None:
                    continue
                of_file.add(key_frame.number)
                if any(person):
                    if person[4] not in indices:
                        indices[person[4]] = _class_index(person[4], largest, place)
                    table.rows.add(key_frame.number, path, line, person[:4])
                    table.actions.append(indices[person[4]])
            if len(table.rows) > rows_before:
                table.looked_at |= of_file
        return table

    def _key_frame(
        self, video: str, stamp: str, place: str, excluded: Set[Moment]
    ) -> KeyFrame | None:
        """Key frame that the cells of a row name, a new one perhaps; none if it is excluded."""
        if video not in self.videos:
            try:
                self.videos.add(confined(video))
            except ManifestError as error:
                raise ManifestError(f"{place}: {error}") from None
        moment = video, parse_stamp(stamp, place)
        if moment in excluded:
            self.left_out.add(moment)
            return None
        new = KeyFrame(len(self.key_frames), key_frame_id(video, stamp), place)
        return self.key_frames.setdefault(moment, new)

    def persons(self) -> tuple[dict[str, Boxes], int]:
        """Boxes of each key frame that was looked at, and how many were cut to the frame.

        Raises:
            ManifestError: a box reaches out of the frame by more than `MARGIN`, or has no area.

        """
        corners = Corners.of(self.rows.values())
        self._refuse(
            corners.outside,
            f"reaches out of the frame by more than {MARGIN}: write fractions of its sides, 0 to 1",
        )
        self._refuse(corners.flat, "has no area: write x1 < x2 and y1 < y2, or remove the row")
        frames, actions = np.array(self.rows.frames, np.int64), np.array(self.actions, np.int64)
        order, first = by_box(frames, corners.values, actions.astype(np.float64))
        begins = np.flatnonzero(first)
        values, classes = corners.values[order[begins]], _distinct(actions[order], begins)
        ends = np.searchsorted(frames[order[begins]], np.arange(len(self.key_frames) + 1))
        found = {}
        for key_frame in self.key_frames.values():
            if key_frame.number in self.looked_at:
                some = slice(*ends[key_frame.number : key_frame.number + 2])
                ones = np.ones(len(values[some]), np.float32)
                found[key_frame.id] = Boxes(values[some], ones, tuple(classes[some]))
        box_of_row = np.cumsum(first) - 1
        return found, len(np.unique(box_of_row[corners.cut[order]]))

    def _refuse(self, bad: NDArray[np.bool_], said: str) -> None:
        """Raise `ManifestError` at the first box that is bad."""
        if bad.any():
            row = int(np.argmax(bad))
            box = ", ".join(f"{value:g}" for value in self.rows.values()[row])
            raise ManifestError(f"{self.rows.place(row)}: the box {box} {said}")


def _class_index(text: str, largest: int, place: str) -> int:
    id_ = whole_number(text, "the action", place)
    if not 1 <= id_ <= largest:
        raise ManifestError(
            f"{place}: the action {id_} is not among those of 'label_map', 1 to {largest}: "
            "correct the row or name another map"
        )
    return id_ - 1


def _distinct(actions: NDArray[np.int64], begins: NDArray[np.int64]) -> list[tuple[int, ...]]:
    """Different actions of each box; a box's rows begin at `begins`, and its actions rise."""
    listed = actions.tolist()
    stretches = pairwise([*begins.tolist(), len(listed)])
    return [tuple(dict.fromkeys(listed[begin:end])) for begin, end in stretches]

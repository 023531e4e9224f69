"""`egofeat score-boxes`: frame mAP of a file of detections, whoever made it, by AVA's rules."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.adapters.ava_table import AvaTable
from egofeat.adapters.files import whole_number
from egofeat.adapters.reading.box_table import parse_stamp, read_rows
from egofeat.adapters.reading.label_map import MOST_ACTIONS, evaluated_ids, read_label_map
from egofeat.errors import ManifestError, RequestError
from egofeat.heads.measures.frame_map import Placed, average_precisions, mean_precision
from egofeat.pipelines.recognition.options import ScoreConfig
from egofeat.pipelines.training.evaluate_persons import as_written
from egofeat.pipelines.training.evaluation import Precision

Moment = tuple[str, float]


@dataclass(frozen=True)
class Scored:
    """How well detections find who does what."""

    mean: float
    """Frame mAP at an overlap of 0.5, in [0, 1]."""
    classes: Mapping[str, Precision]
    """Of each action that counts and somebody does, the best first."""
    annotated: int
    """Persons, each with its actions."""
    detections: int
    """Boxes with an action and a score."""
    elsewhere: int
    """Of these, in key frames in which nobody is annotated: all of them are wrong."""

    def to_dict(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        return {"action/mAP": self.mean} | asdict(self)

    def lines(self) -> list[str]:
        """Return the same for people."""
        said = [
            f"frame mAP {100 * self.mean:.2f} % of {len(self.classes)} actions: {self.annotated:,} "
            f"annotated persons, {self.detections:,} detections"
        ]
        if self.elsewhere:
            said.append(f"wrong, as nobody is annotated in their key frames: {self.elsewhere:,}")
        width = max(map(len, self.classes))
        return said + [
            f"{name:<{width}}  {100 * one.average_precision:6.2f} %  {one.annotated:,}"
            for name, one in self.classes.items()
        ]


def score_boxes(config: ScoreConfig) -> Scored:
    """Score detections against annotations as the public evaluation of AVA does.

    Raises:
        RequestError: nobody is annotated with an action that counts.
        ManifestError: a file that is not what it must be.
    """
    names = read_label_map(config.label_map) if config.label_map else {}
    excluded = _excluded(config.excluded)
    largest = max(names, default=MOST_ACTIONS)
    table = AvaTable.read([config.truth], excluded, largest)
    frames = {moment: frame.number for moment, frame in table.key_frames.items()}
    truth, actions = _persons(table)
    counted = (
        evaluated_ids(names) if names else frozenset((np.flatnonzero(actions.any(0)) + 1).tolist())
    )
    annotated = {id_ for id_ in counted if actions[:, id_ - 1 : id_].any()}
    if not annotated:
        raise RequestError(f"nobody in {config.truth} is annotated with an action that counts")
    found = _Found.read(config.found, frames, excluded)
    precisions: dict[int, float] = {}
    for id_ in annotated:
        of = found.actions == id_
        scores = np.zeros((int(of.sum()), id_))
        scores[:, -1] = found.scores[of]
        precisions |= average_precisions(truth, actions, found.placed[of], scores, [id_ - 1])
    best = sorted(precisions, key=lambda label: (-precisions[label], label))
    return Scored(
        mean=mean_precision(precisions),
        classes={
            names.get(label + 1, f"action {label + 1}"): Precision(
                precisions[label], int(actions[:, label].sum())
            )
            for label in best
        },
        annotated=len(actions),
        detections=len(found.scores),
        elsewhere=int((~np.isin(found.placed.frames, truth.frames)).sum()),
    )


def _persons(table: AvaTable) -> tuple[Placed, NDArray[np.bool_]]:
    """Annotated boxes, and which actions each has, `[boxes, classes]`."""
    boxes, _ = table.persons()
    numbers = {frame.id: frame.number for frame in table.key_frames.values()}
    there = [id_ for id_, of in boxes.items() if len(of)]
    corners = [boxes[id_].corners for id_ in there]
    frames = np.repeat(
        np.array([numbers[id_] for id_ in there], np.int64), [len(of) for of in corners]
    )
    done = [of for id_ in there for of in boxes[id_].actions]
    actions = np.zeros((len(done), 1 + max((max(of, default=0) for of in done), default=0)), bool)
    for row, of in enumerate(done):
        actions[row, list(of)] = True
    stacked = np.concatenate(corners) if corners else np.empty((0, 4), np.float32)
    return Placed(frames, as_written(stacked)), actions


@dataclass(frozen=True)
class _Found:
    placed: Placed
    actions: NDArray[np.int64]
    """[n] ids."""
    scores: NDArray[np.float64]

    @classmethod
    def read(cls, path: Path, frames: Mapping[Moment, int], excluded: set[Moment]) -> "_Found":
        """From a file; key frames that are not annotated get numbers of their own."""
        numbers = dict(frames)
        placed, corners, actions, scores = [], [], [], []
        for line, cells in read_rows(path):
            place = f"{path} line {line}"
            if len(cells) != 8:
                raise ManifestError(
                    f"{place} has {len(cells)} cells: write video, time stamp, x1, y1, x2, y2, "
                    "action, score"
                )
            moment = cells[0], parse_stamp(cells[1], place)
            if moment in excluded:
                continue
            *box, score = [_number(cell, place) for cell in (*cells[2:6], cells[7])]
            if not (box[0] < box[2] and box[1] < box[3]):
                raise ManifestError(f"{place}: the box has no area: write x1 < x2 and y1 < y2")
            placed.append(numbers.setdefault(moment, len(numbers)))
            corners.append(box)
            actions.append(whole_number(cells[6], "the action", place))
            scores.append(score)
        boxes = np.array(corners, np.float64).reshape(-1, 4)
        return cls(
            Placed(np.array(placed, np.int64), np.round(boxes, 6)),
            np.array(actions, np.int64),
            np.array(scores, np.float64),
        )


def _number(text: str, place: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise ManifestError(f"{place}: '{text}' is no number: write one")
    return number


def _excluded(path: Path | None) -> set[Moment]:
    if path is None:
        return set()
    return {
        (cells[0], parse_stamp(cells[1], f"{path} line {line}"))
        for line, cells in read_rows(path)
        if len(cells) > 1
    }

"""A head of persons on a split: frame mAP against all who are annotated there, as AVA wants it."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.boxes import stamp_of
from egofeat.errors import RequestError
from egofeat.heads.head import Head
from egofeat.heads.measures.frame_map import Placed, average_precisions, box_recall, mean_precision
from egofeat.heads.training.passes import predict
from egofeat.pipelines.figures.classes import precision_bars
from egofeat.pipelines.runs.files import write_file
from egofeat.pipelines.runs.run import Run
from egofeat.pipelines.runs.targets import coverage, split_names
from egofeat.pipelines.runs.trained_on import judge
from egofeat.pipelines.training.evaluation import (
    PersonsEvaluation,
    Precision,
    write_arrays,
    write_evaluation,
)
from egofeat.store import BoxTable, PersonRows
from egofeat.store.reading.persons import TARGET

DIGITS = 4
"""Decimals of a score in a file of detections."""


@dataclass(frozen=True)
class Truth:
    """Who is annotated in the key frames of a split; those that nobody looked at are left out."""

    table: BoxTable
    frames: NDArray[np.bool_]
    """Which key frames of the table are meant, [frames]."""
    boxes: Placed
    actions: NDArray[np.bool_]
    """[boxes, classes]"""
    evaluated: list[int]
    """Classes that count."""

    @classmethod
    def of(cls, table: BoxTable, ids: list[str], classes: int) -> "Truth":
        """Those of the key frames of these ids."""
        frames = np.zeros(len(table.ids), bool)
        frames[[table.numbers[id_] for id_ in ids if id_ in table.numbers]] = True
        frame_of_box = np.repeat(np.arange(len(frames)), np.diff(table.offsets))
        (boxes,) = np.nonzero(frames[frame_of_box])
        places, labels = table.actions_of(boxes)
        actions = np.zeros((len(boxes), classes), bool)
        actions[places, labels] = True
        placed = Placed(frame_of_box[boxes], as_written(table.corners[boxes]))
        return cls(table, frames, placed, actions, sorted(table.evaluated) or [*range(classes)])

    def places(self, ids: list[str], corners: NDArray[np.float32]) -> tuple[Placed, NDArray[Any]]:
        """Boxes of key frames of these ids, and which of them are in one that is meant."""
        numbers = np.array([self.table.numbers.get(id_, -1) for id_ in ids], np.int64)
        meant = numbers >= 0
        meant[meant] = self.frames[numbers[meant]]
        return Placed(numbers, as_written(corners))[meant], meant

    def warnings(self, names: tuple[str, ...], found: Placed, boxes: int) -> Iterator[str]:
        """Yield what a person should know of the figures."""
        absent = [names[label] for label in self.evaluated if not self.actions[:, label].any()]
        if absent:
            yield (
                f"is evaluated on {len(self.evaluated) - len(absent)} of {len(self.evaluated)} "
                f"evaluated classes: nobody is annotated with {_listed(absent)}"
            )
        empty = ~np.isin(self.boxes.frames, found.frames)
        if empty.any():
            yield (
                f"misses {int(empty.sum())} of {len(empty)} annotated persons in "
                f"{len(np.unique(self.boxes.frames[empty]))} key frames that have no stored box"
            )
        if len(found.frames) < boxes:
            yield (
                f"ignores boxes in key frames that are not annotated: {boxes - len(found.frames)}"
            )


def as_written(corners: NDArray[np.float32]) -> NDArray[np.float64]:
    """Corners as the doubles that a file's decimals, up to six, stand for.

    An overlap of just 0.5 would else be above or below it by how singles are rounded.
    """
    return np.asarray(np.round(corners.astype(np.float64), 6), np.float64)


def _listed(names: list[str], most: int = 3) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def evaluate_persons(run: Run, rows: PersonRows, split: str) -> PersonsEvaluation:
    """Evaluate, and write metrics, predictions, detections and a picture into the run's folder.

    A class's score is the sigmoid of its logit, whatever the detector's score. Annotated persons
    of key frames without a stored box are missed. The files' names carry the split where its key
    frames are not those that the run was first judged on, and the boxes where they are not those
    that it was trained on.

    Raises:
        RequestError: the split has no stored persons, or nobody annotated in it, or key frames
            that the run was trained on though it is not its training split.
    """
    assert isinstance(run.head, Head)
    of_split, truth = _split(rows, split)
    judged = judge(run, rows, split)
    ids, corners = rows.ids[of_split].tolist(), rows.boxes[of_split]
    # In singles, those that are very sure would be equal.
    scores = predict(run.head, rows, of_split)[TARGET].double().sigmoid().numpy()
    found, meant = truth.places(ids, corners)
    precisions = average_precisions(
        truth.boxes, truth.actions, found, scores[meant], truth.evaluated
    )
    names, counts = rows.classes[TARGET], truth.actions.sum(axis=0).tolist()
    best = sorted(precisions, key=lambda label: -precisions[label])
    suffix = f"{judged.suffix}{boxes_suffix(rows, run)}"
    evaluation = PersonsEvaluation(
        run=run.path,
        split=split,
        segments=int(truth.frames.sum()),
        segments_of_split=len(rows.key_frames(split)),
        trained_on=judged.seen,
        empty=coverage(rows, split).missing,
        metrics={
            f"{TARGET}/mAP": mean_precision(precisions),
            f"{TARGET}/box_recall": box_recall(truth.boxes, found),
        },
        warnings=(*run.warnings, *truth.warnings(names, found, len(of_split))),
        pictures=(run.path / f"precision-{TARGET}{suffix}.png",),
        persons=len(of_split),
        boxes="annotated" if rows.annotated[of_split].all() else "detected",
        annotated=len(truth.actions),
        classes={names[label]: Precision(precisions[label], counts[label]) for label in best},
        detections=run.path / f"detections{suffix}.csv",
    )
    title = f"{TARGET}, {split}, {evaluation.boxes} boxes"
    bars = {
        name: (one.average_precision, one.annotated) for name, one in evaluation.classes.items()
    }
    precision_bars(bars, evaluation.pictures[0], title)
    write_file(evaluation.detections, ava_results(ids, corners, scores, truth.evaluated))
    predictions = {"ids": np.array(ids), "boxes": corners, "scores": rows.scores[of_split]}
    predictions["probabilities"] = scores.astype(np.float32)
    write_arrays(run.path / f"predictions{suffix}.npz", predictions)
    write_evaluation(evaluation, suffix)
    return evaluation


def boxes_suffix(rows: PersonRows, run: Run) -> str:
    """What the names of files about these boxes end in, `-boxes-0a1b2c3d`; nothing of its own."""
    boxes = rows.store.recipe.boxes or ""
    own = run.config.sources[0].recipe.boxes
    return "" if boxes == own else f"-boxes-{boxes.removeprefix('sha256:')[:8]}"


def _split(rows: PersonRows, split: str) -> tuple[NDArray[np.int64], Truth]:
    """Rows of a split, and who is annotated in it."""
    of_split = rows.rows(split)
    if not len(of_split):
        raise RequestError(
            f"store {rows.path} has no persons of split '{split}': its splits are "
            f"{split_names(rows)}; choose one, or make features of that split with egofeat roi"
        )
    table = rows.truth or BoxTable.of_boxes({}, frozenset())
    truth = Truth.of(table, rows.key_frames(split), len(rows.classes[TARGET]))
    if not truth.actions[:, truth.evaluated].any():
        raise RequestError(
            f"nobody in split '{split}' of store {rows.path} is annotated with an evaluated "
            "action: choose another with `split`"
        )
    return of_split, truth


def ava_results(
    ids: Sequence[str],
    corners: NDArray[np.float32],
    scores: NDArray[np.floating],
    classes: Sequence[int],
) -> bytes:
    """Lines of video, time stamp as annotated, x1, y1, x2, y2, action and score, as AVA takes them.

    Corners to 3 decimals and scores to 4 are AVA's form, so the mAP of the file may differ in the
    last digits from that of the scores themselves, which is the one that is printed.
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

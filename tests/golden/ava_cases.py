"""Random key frames with annotated and found boxes, as rows of AVA's files, the same everywhere.

Coordinates are in thousandths. Each kind of case holds what a matching may get wrong: several
found boxes on one annotated box, found boxes between two, equal scores, one person annotated
twice, classes without annotation, frames with nobody in them, frames that are excluded.
"""

import numpy as np

CLASSES = {1: "stand", 3: "walk", 4: "sit", 9: "listen", 12: "swim"}
"""Of ids up to 12; rows of others, which are not evaluated, are in the cases too."""
UNCOUNTED = 5
CASES = 24

Row = tuple[str, ...]
Person = tuple[np.ndarray, list[int]]


def case(seed: int) -> tuple[list[Row], list[Row]]:
    """Rows of the annotation and of the detections.

    A row of the annotation with two columns alone is a key frame with nobody in it; a key frame
    that the annotation does not have is excluded.
    """
    rng = np.random.default_rng(seed)
    frames = [(f"video{k % 3}", f"{902 + k // 3:04d}") for k in range(int(rng.integers(1, 30)))]
    dense, tied, empty = seed % 2, seed % 3 == 1, seed % 12 == 7
    annotated, found = [], []
    for frame in frames:
        persons = [
            (_box(rng), _some(rng, [1, 3, 4, UNCOUNTED], 2 + dense))
            for _ in range(rng.integers(0, 5) if rng.random() > 0.15 else 0)
        ]
        rows = [
            (*frame, *_written(box), str(id_), str(number))
            for number, (box, ids) in enumerate(persons)
            for id_ in ids
        ]
        if rng.random() < 0.3:  # one person twice, for two annotators
            rows += rows[:1]
        if rng.random() > 0.12:
            annotated += rows or [frame]
        if not empty:
            found += _detections(rng, frame, persons, dense=dense, tied=tied)
    return annotated or [frames[0]], found


def _detections(
    rng: np.random.Generator, frame: Row, persons: list[Person], *, dense: int, tied: bool
) -> list[Row]:
    boxes = [(_box(rng), []) for _ in range(rng.integers(0, 2))]
    for box, ids in persons:
        near = rng.random(rng.integers(1, 3 + dense)) < 0.75
        boxes += [(_moved(rng, box, 30 if close else 120), ids) for close in near]
    if len(persons) > 1:
        between = (persons[0][0] + persons[1][0]) // 2
        boxes.append((between, persons[0][1]))
    boxes += boxes[:1]
    boxes = boxes[:10]
    rows = []
    for id_ in _some(rng, [*CLASSES, UNCOUNTED], 4):
        # The scores of a frame and a class differ; where tied, other frames often have the same.
        levels = 12 if tied else 9999
        scores = np.sort(rng.choice(levels, len(boxes), replace=False) / levels)
        sureness = [rng.random() + 0.7 * (id_ in ids) for _, ids in boxes]
        scores = scores[np.argsort(np.argsort(sureness))]
        for (box, _), score in zip(boxes, scores, strict=True):
            rows.append((*frame, *_written(box), str(id_), f"{score:.4f}"))
    return rows


def _box(rng: np.random.Generator) -> np.ndarray:
    low = rng.integers(0, 700, 2)
    return np.concatenate([low, low + rng.integers(120, 300, 2)])


def _moved(rng: np.random.Generator, box: np.ndarray, most: int) -> np.ndarray:
    moved = np.clip(box + rng.integers(-most, most + 1, 4), 0, 1000)
    return moved if (moved[2:] > moved[:2]).all() else box


def _written(box: np.ndarray) -> Row:
    return tuple(f"{value / 1000:.3f}" for value in box)


def _some(rng: np.random.Generator, ids: list[int], most: int) -> list[int]:
    return sorted(rng.choice(ids, rng.integers(1, most + 1), replace=False).tolist())

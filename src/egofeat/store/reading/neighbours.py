"""Which other persons of its key frame stand beside each person: pure."""

import numpy as np
from numpy.typing import NDArray


def company(
    segments: NDArray[np.int64], scores: NDArray[np.float32], others: int
) -> NDArray[np.int64]:
    """Numbers of each person and of its most confident neighbours, [rows, 1 + others].

    Args:
        segments: [rows] key frame of each person, not falling.
        scores: [rows] its confidence; of equal ones the earlier row comes first.
        others: how many neighbours at most.

    Returns:
        Row numbers, -1 where a key frame has no more persons.
    """
    count = len(segments)
    ranked = np.lexsort((-scores, segments))
    _, firsts, lengths = np.unique(segments, return_index=True, return_counts=True)
    firsts, lengths = np.repeat(firsts, lengths), np.repeat(lengths, lengths)
    ranks = np.empty(count, np.int64)
    ranks[ranked] = np.arange(count) - firsts
    steps = np.arange(others)
    # A person's neighbours are all ranks of its key frame but its own.
    places = steps + (steps >= ranks[:, np.newaxis])
    there = places < lengths[:, np.newaxis]
    numbers = np.where(there, firsts[:, np.newaxis] + places, 0)
    beside = np.where(there, ranked[numbers], -1)
    return np.concatenate([np.arange(count)[:, np.newaxis], beside], axis=1)

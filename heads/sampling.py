"""Which rows an epoch trains on, and in which order."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def epoch_order(
    sampling: str, labels: Mapping[str, NDArray[np.int64]], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return places of training rows `[rows]` for one epoch.

    Args:
        sampling: `shuffle` is a fresh permutation of all rows; `balanced` draws as many
            with replacement, by `balanced_odds`.
        labels: target to labels of the training rows, -1 where absent.
        rng: source of the order.
    """
    rows = len(next(iter(labels.values())))
    if sampling == "balanced":
        return rng.choice(rows, size=rows, p=balanced_odds(labels))
    return rng.permutation(rows)


def balanced_odds(labels: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float64]:
    """Return each row's chance `[rows]`; with one target, all classes that occur come up alike.

    With several targets it is the mean of what each of them asks for.
    """
    odds = np.zeros(len(next(iter(labels.values()))))
    for of_target in labels.values():
        present = of_target >= 0
        if present.any():
            counts = np.bincount(of_target[present])
            odds[present] += 1 / (counts[of_target[present]] * np.count_nonzero(counts))
    odds /= odds.sum()
    return odds

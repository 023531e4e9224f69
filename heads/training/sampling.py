"""Which rows train when: the order of an epoch, its batches, the batches of a span."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from egofeat.heads.training.losses import Labels


def epoch_order(
    sampling: str, labels: Mapping[str, Labels], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return places of training rows `[rows]` for one epoch.

    Args:
        sampling: `shuffle` is a fresh permutation of all rows; `balanced` draws as many
            with replacement, by `balanced_odds`.
        labels: target to labels of the training rows, -1 where absent; `balanced` has no meaning
            where a row has several classes.
        rng: source of the order.
    """
    rows = len(next(iter(labels.values())))
    if sampling == "balanced":
        return rng.choice(rows, size=rows, p=balanced_odds(labels))
    return rng.permutation(rows)


def balanced_odds(labels: Mapping[str, Labels]) -> NDArray[np.float64]:
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


def cuts(rows: int, batch_size: int) -> list[int]:
    """Return where a pass over some rows is cut into batches.

    A single row left over joins the batch before it: batch norm cannot train on one.
    """
    places = list(range(batch_size, rows, batch_size))
    if places and rows - places[-1] == 1:
        places.pop()
    return places


class BatchOrder:
    """The batches of a training, epoch after epoch, numbered from 0.

    Each epoch has an order of its own, which follows from the seed and its number alone.
    """

    def __init__(
        self,
        sampling: str,
        labels: Mapping[str, Labels],
        *,
        seed: int,
        batch_size: int,
    ) -> None:
        self._sampling = sampling
        self._labels = labels
        self._seed = seed
        self._cuts = cuts(len(next(iter(labels.values()))), batch_size)
        self.per_epoch = len(self._cuts) + 1
        """Batches of one epoch."""

    def span(self, start: int, stop: int) -> list[NDArray[np.int64]]:
        """Return the places of training rows in each of the batches `[start, stop)`."""
        first = start // self.per_epoch
        epochs = range(first, (stop - 1) // self.per_epoch + 1)
        batches = [batch for epoch in epochs for batch in self._epoch(epoch + 1)]
        skipped = first * self.per_epoch
        return batches[start - skipped : stop - skipped]

    def _epoch(self, epoch: int) -> list[NDArray[np.int64]]:
        rng = np.random.default_rng([self._seed, epoch])
        rng.integers(2**62)  # the first draw is dropout's, see `dropout_seed`
        return np.split(epoch_order(self._sampling, self._labels, rng), self._cuts)


def dropout_seed(seed: int, part: int) -> int:
    """Return the seed of torch's random numbers in a part of the training, counted from 1."""
    return int(np.random.default_rng([seed, part]).integers(2**62))

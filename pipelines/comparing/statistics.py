"""How sure a figure is that is a mean over clips, and whether two differ.

Clips of one session (a participant, a video) are alike: sessions are drawn and not clips, where
there are enough of them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DRAWS = 10_000
"""Of a bootstrap, and of a test: the smallest p is 2 of so many."""
LEVEL = 0.95
FEWEST = 10
"""Sessions; of fewer, clips are drawn: three sessions would give the same few means again."""


def interval(
    scores_N: NDArray[np.float64], sessions_N: NDArray[np.str_], seed: int = 0
) -> tuple[float, float] | None:
    """The percentile bootstrap interval of a mean over clips (Efron and Tibshirani, 1993, ch. 13).

    Args:
        scores_N: of each clip, in 0…1.
        sessions_N: to which it belongs.
        seed: of the draws.

    Returns:
        Lower and upper end of the interval that covers 95 %; None of one clip.
    """
    # A third of a second to import, which a command that draws nothing need not wait for.
    from scipy.stats import bootstrap  # noqa: PLC0415

    sums, counts = _by_session(scores_N, sessions_N)
    if len(sums) < 2:
        return None
    found = bootstrap(
        (sums, counts),
        lambda s, n, axis=-1: s.sum(axis=axis) / n.sum(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=LEVEL,
        n_resamples=DRAWS,
        batch=max(1, 2**22 // len(sums)),
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def p_of_difference(
    one_N: NDArray[np.float64],
    other_N: NDArray[np.float64],
    sessions_N: NDArray[np.str_],
    seed: int = 0,
) -> float:
    """How likely two heads that are alike differ by so much or more, on these very clips.

    The two-sided paired permutation test: the signs of the differences of whole sessions are
    drawn, all of them where these are few. Of one clip a session, one right or wrong, it is
    McNemar's exact test.

    Args:
        one_N: scores of the clips by one head.
        other_N: those of the same clips by the other.
        sessions_N: to which a clip belongs.
        seed: of the draws.
    """
    from scipy.stats import permutation_test  # noqa: PLC0415

    differences, _ = _by_session(one_N - other_N, sessions_N)
    # Those that are alike move nothing, whatever their sign.
    differences = differences[~np.isclose(differences, 0, atol=1e-9)]
    if len(differences) < 2:  # of one, either sign is as likely
        return 1.0
    found = permutation_test(
        (differences,),
        lambda d, axis=-1: d.sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=DRAWS - 1,
        batch=max(1, 2**22 // len(differences)),
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for how many there are, so that one in twenty families errs (Holm, 1979)."""
    order = np.argsort(p_values)
    corrected = np.array(p_values)[order] * np.arange(len(order), 0, -1)
    corrected = np.minimum(np.maximum.accumulate(corrected), 1)
    return [float(corrected[place]) for place in np.argsort(order)]


def _by_session(
    values_N: NDArray[np.float64], sessions_N: NDArray[np.str_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum of the values of each session, and how many they are."""
    names, of_clip = np.unique(sessions_N, return_inverse=True)
    if len(names) < FEWEST:
        of_clip = np.arange(len(values_N))
    sums = np.bincount(of_clip, values_N).astype(np.float64)
    return sums, np.bincount(of_clip).astype(np.float64)

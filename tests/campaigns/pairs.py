"""All pairs: the fewest choices in which each value of a factor meets each value of every other."""

import random
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

Choice = dict[str, Any]

_TRIES = 30


def all_pairs(factors: Mapping[str, Sequence[Any]], salt: str = "") -> list[Choice]:
    """Choose greedily, the same each time; not the very fewest, but near."""
    rng = random.Random(salt)
    names = list(factors)
    left = {
        frozenset({(a, i), (b, k)})
        for a, b in combinations(names, 2)
        for i in range(len(factors[a]))
        for k in range(len(factors[b]))
    }
    chosen = []
    while left:
        best = max((_candidate(factors, left, rng) for _ in range(_TRIES)), key=lambda c: c[0])[1]
        left -= _met(best)
        chosen.append({name: factors[name][best[name]] for name in names})
    return chosen


def _candidate(
    factors: Mapping[str, Sequence[Any]], left: set[frozenset[tuple[str, int]]], rng: random.Random
) -> tuple[int, dict[str, int]]:
    """A choice that begins with a pair that has not met, and then takes what meets most."""
    choice = dict(rng.choice(sorted(map(sorted, left))))
    others = [name for name in factors if name not in choice]
    rng.shuffle(others)
    for name in others:
        gains = [
            sum(frozenset({(name, index), had}) in left for had in choice.items())
            for index in range(len(factors[name]))
        ]
        most = max(gains)
        choice[name] = rng.choice([index for index, gain in enumerate(gains) if gain == most])
    return len(_met(choice) & left), choice


def _met(choice: Mapping[str, int]) -> set[frozenset[tuple[str, int]]]:
    return {frozenset(pair) for pair in combinations(choice.items(), 2)}

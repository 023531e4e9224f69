"""Numbering rows: as Python tells tuples apart, whatever the hashes."""

import numpy as np
import pytest

from egofeat.store.reading import numbering
from egofeat.store.reading.numbering import numbered


def alike(columns):
    known = {}
    return [
        known.setdefault(row, len(known))
        for row in zip(*[c.tolist() for c in columns], strict=True)
    ]


@pytest.mark.parametrize("weak", [False, True])
def test_rows_are_alike_exactly_where_their_columns_are(weak, monkeypatch):
    if weak:
        monkeypatch.setattr(numbering, "_hashed", lambda column: np.zeros(len(column), np.uint64))
    rng = np.random.default_rng(0)
    texts = np.array([f"P{n:02}_ü" for n in rng.integers(0, 30, 400)])
    wide = np.concatenate([texts, texts.astype("U40"), ["", "P", "PP"]])
    starts = rng.choice([0.0, -0.0, 1.5, np.inf], len(wide))
    numbers = rng.integers(-2, 2, len(wide))
    for columns in ([wide], [wide, starts], [starts, numbers], [wide, starts, numbers]):
        found = numbered(*columns).tolist()
        pairs = set(zip(found, alike(columns), strict=True))
        assert len(pairs) == len(set(found)) == len(set(alike(columns)))
    assert numbered(np.array([], "U3")).tolist() == []

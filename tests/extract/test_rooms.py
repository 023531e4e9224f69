"""Room for rows: alike in memory and in a file, which leaves nothing and tells of a full disk."""

import gc

import numpy as np
import pytest

from egofeat.errors import StoreError
from egofeat.extract.rooms import room

HALF = np.dtype(np.float16)


def filled(folder):
    """Seven rows that come in any order, one of them at two places."""
    found = room((7, 2, 3), HALF, folder)
    for place in (3, 0, 6, 1, 4):
        found.put([place], np.full((2, 3), place, np.float32))
    found.put([2, 5], np.arange(6.0).reshape(2, 3))
    return found


@pytest.mark.parametrize("most", [0, 50, 10**6])
def test_rows_are_the_same_wherever_they_wait(tmp_path, monkeypatch, most):
    expected = filled(None)
    monkeypatch.setattr("egofeat.extract.rooms.MEMORY", most)
    found = filled(tmp_path)
    np.testing.assert_array_equal(found.rows, expected.rows)
    kept = np.array([1, 0, 1, 1, 0, 1, 0], bool)
    part = found.only(kept)
    del found
    gc.collect()
    assert part.rows.dtype == HALF
    np.testing.assert_array_equal(part.rows, expected.rows[kept])
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("egofeat.extract.rooms.MEMORY", 0)
    found = room((2, 3), HALF, tmp_path)

    def full(*_, **_how):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(StoreError, match="No space left"):
        found.put([0], np.zeros(3))
    monkeypatch.setattr("numpy.memmap", full)
    with pytest.raises(StoreError, match="No space left"):
        _ = found.rows
    with pytest.raises(StoreError, match="nowhere"):
        room((2, 3), HALF, tmp_path / "nowhere")

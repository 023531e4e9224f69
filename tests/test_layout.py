"""The rooms at the top are the package's own: linked, not copied."""

from pathlib import Path

import pytest

import egofeat
import egofeat.extract
import egofeat.heads
import egofeat.pipelines

TOP = Path(__file__).parents[1]


@pytest.mark.parametrize("room", ["extract", "heads", "pipelines"])
def test_a_room_is_the_folder_at_the_top(room):
    link = TOP / "src/egofeat" / room
    assert link.is_symlink()
    assert link.readlink() == Path("../..") / room
    assert link.resolve() == TOP / room


def test_the_store_is_at_hand_without_torch():
    assert callable(egofeat.open_store)
    assert egofeat.__version__

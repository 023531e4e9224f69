"""Fixtures that more than one room uses."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real video, frames and annotations; the test is skipped without it."""
    folder = Path(os.environ.get("EGOFEAT_REAL_DATA", Path(__file__).parents[1] / "../shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data at {folder}: set EGOFEAT_REAL_DATA")
    return folder.resolve()

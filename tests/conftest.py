"""Fixtures that more than one room uses."""

import os
import signal
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Interruptions reach the tests, and what they start, in a process of several as in one."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real video, frames and annotations; the test is skipped without it."""
    folder = Path(os.environ.get("EGOFEAT_REAL_DATA", Path(__file__).parents[1] / "../shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data at {folder}: set EGOFEAT_REAL_DATA")
    return folder.resolve()


@pytest.fixture(scope="session")
def gpu() -> torch.device:
    """The first CUDA device; skipped without one, or failed where EGOFEAT_REQUIRE_GPU is set."""
    if not torch.cuda.is_available():
        if os.environ.get("EGOFEAT_REQUIRE_GPU"):
            pytest.fail("EGOFEAT_REQUIRE_GPU is set and there is no CUDA device")
        pytest.skip("no CUDA device: set EGOFEAT_REQUIRE_GPU to make this fail")
    return torch.device("cuda")

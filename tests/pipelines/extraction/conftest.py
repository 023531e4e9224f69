"""What several tests of extraction begin with."""

import pytest

from egofeat.pipelines.extraction.options import ExtractConfig


@pytest.fixture
def config(tmp_path):
    """Small dense windows of whole videos, by random weights."""
    return ExtractConfig(
        out=tmp_path / "features",
        weights="random",
        windows=4,
        stride=3,
        fps=25.0,
        size=32,
        device="cpu",
        batch_size=8,
        workers=2,
    )

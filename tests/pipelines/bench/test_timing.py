"""Timing of a call."""

import os
import subprocess
import sys


def test_a_toolkit_without_a_gpu_goes_unsaid(tmp_path):
    code = "from egofeat.pipelines.bench.speed import median_seconds as of; of(int, 0.001)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "CUDA_HOME": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""

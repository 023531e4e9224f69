"""A slice of the campaign, of each part something: nothing of it is bad."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 3
"""Each part takes its share, and at least one trial however busy the machine is."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="calls are intercepted as Linux has it")
@pytest.mark.skipif(not shutil.which("gcc"), reason="there is no gcc to build shim.c with")
def test_nothing_is_bad(tmp_path):
    command = [sys.executable, "-m", "tests.campaigns", "--work", str(tmp_path / "work")]
    command += ["--scale", "0.002", "--budget", str(SECONDS)]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    environment = {**os.environ, "PYTHONPATH": paths}
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for row in ("kill extract", "a read of", "bits of a store", "spoiled text", "spoiled mp4"):
        assert row in result.stdout
    assert "same bits" in result.stdout  # a process was killed indeed

"""Promise 4: an extraction that is killed at any moment ends as one that was not."""

import subprocess
import sys
from pathlib import Path

import pytest

from egofeat.store import verify

KILLS = 6

# One process imports torch once and forks a fresh extraction for every attempt.
PROGRAM = """
import os, random, signal, sys, time
from dataclasses import replace
from pathlib import Path
from egofeat.extract import shards
from egofeat.extract.pieces import cut
from egofeat.pipelines.extraction.extract import run
from egofeat.boxes import Boxes
from egofeat.pipelines.extraction.options import ExtractConfig, RoiConfig
from egofeat.segments import Dataset, Media, Segment

folder, kills = Path(sys.argv[1]), int(sys.argv[2])
paths = sorted((folder / "videos").iterdir())
segments = [
    Segment(f"{path.stem}-{k}", path.stem, 0.4 * k, 0.4 * k + 0.8, "train")
    for path in paths for k in range(3)
]
boxes = {
    one.id: Boxes.of([[0, 0, 0.5, 1], [0.25, 0.25, 1, 0.75]], actions=[[0], []]) for one in segments
}
dataset = Dataset("tiny", {path.stem: Media(path) for path in paths}, tuple(segments), {})
options = {"taps": ("block2", "gap"), "frames": 6}
if sys.argv[5] == "persons":
    dataset = replace(dataset, classes={"action": ("walk",)}, key_frames=True, boxes=boxes)
    options = {"taps": ("roi", "roi_map"), "roi": RoiConfig()}
shards.MAX_ROWS = 4
if sys.argv[5] == "windows":
    options = {"windows": 4, "stride": 2, "fps": 25.0}
    cut.SECONDS, cut.DETOUR = (0, 0), 0.7

def attempt(out):
    sys.stderr = open(os.devnull, "w")
    run(
        ExtractConfig(
            out=out, weights="random", size=64, batch_size=8,
            device="cpu", workers=2, format=sys.argv[3], **options,
        ),
        dataset,
    )
    os._exit(0)

def start(out):
    return os.fork() or attempt(out)

began = time.monotonic()
os.waitpid(start(folder / "whole"), 0)
seconds = time.monotonic() - began
random.seed(int(sys.argv[4]))
finished, done = 0, 0
while done < kills or not finished:
    child = start(folder / f"killed{finished}")
    if done < kills:
        time.sleep(random.uniform(0, seconds))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        done += 1
    elif os.WEXITSTATUS(status) == 0:
        finished += 1
print(finished, done)
"""


def contents(store: Path) -> dict[str, bytes]:
    return {
        path.relative_to(store).as_posix(): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("store_format", "of"),
    [("hdf5", "segments"), ("zarr", "segments"), ("hdf5", "persons"), ("hdf5", "windows")],
)
def test_a_killed_extraction_ends_bit_identical(encoder, tmp_path, store_format, of):
    (tmp_path / "videos").mkdir()
    for name in "abcdefgh":
        options = {"x264-params": "keyint=12:log-level=none"}
        encoder(tmp_path / f"videos/{name}.mp4", frames=45, options=options)
    (tmp_path / "videos/broken.mp4").write_bytes(b"not a video")
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(KILLS), store_format, "7", of]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    finished, kills = map(int, result.stdout.split())
    assert kills == KILLS
    (whole,) = (tmp_path / "whole/tiny").iterdir()
    expected = contents(whole)
    assert sum("shards/" in name for name in expected) > 5
    assert any("failures" in name for name in expected)
    for number in range(finished):
        (killed,) = (tmp_path / f"killed{number}/tiny").iterdir()
        assert contents(killed) == expected
        assert verify(killed) == []

"""Promise 3: an hour of video takes no more memory than ten minutes, nor do its maps."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

SLACK_MB = 100

PROGRAM = """
import sys, threading, time
from pathlib import Path
from egofeat.pipelines.extraction.extract import run
from egofeat.pipelines.extraction.options import ExtractConfig
from egofeat.segments import Dataset, Media, Segment

video, seconds, out, what = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
asked = dict(out=out, weights="random", device="cpu")
if what == "segments":
    segments = tuple(Segment(str(t), "v", t, t + 3.0) for t in range(0, seconds - 3, 6))
    config = ExtractConfig(taps=("block0",), frames=2, size=32, **asked)
else:  # in the format `what`: maps of 40 kB, 147 MB an hour
    segments = (Segment("v", "v", 0.0, float("inf")),)
    kept = dict(taps=("map",), frames=None, windows=1, stride=1, fps=1.0)
    config = ExtractConfig(format=what, size=128, **kept, **asked)
dataset = Dataset("long", {"v": Media(video)}, segments, {})
peak = 0

def watch():
    global peak
    while not time.sleep(0.02):
        status = Path("/proc/self/status").read_text().split()
        peak = max(peak, int(status[status.index("RssAnon:") + 1]))

threading.Thread(target=watch, daemon=True).start()
report = run(config, dataset)
assert report.extracted == len(segments)
print(peak / 1024)
"""


def film(path: Path, seconds: int, rate: int = 5) -> Path:
    """A video of noise that moves, 160 × 120."""
    noise = np.random.default_rng(0).integers(0, 256, (120, 320, 3), dtype=np.uint8)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate)
        for number in range(seconds * rate):
            at = number % 160
            picture = np.ascontiguousarray(noise[:, at : at + 160])
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def peak_mb(video: Path, seconds: int, out: Path, what: str) -> float:
    command = [sys.executable, "-c", PROGRAM, str(video), str(seconds), str(out), what]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> tuple[Path, Path]:
    """A film of ten minutes, in which every core has batches to run, and one of an hour."""
    folder = tmp_path_factory.mktemp("films")
    return film(folder / "minutes.mp4", 600), film(folder / "hour.mp4", 3600)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["segments", "hdf5"])
def test_an_hour_takes_no_more_memory_than_ten_minutes(films, tmp_path, what):
    minutes = peak_mb(films[0], 600, tmp_path / "m", what)
    hour = peak_mb(films[1], 3600, tmp_path / "h", what)
    print(f"peak memory: ten minutes {minutes:.0f} MB, an hour {hour:.0f} MB")
    assert hour < minutes + SLACK_MB

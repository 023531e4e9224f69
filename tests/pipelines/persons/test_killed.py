"""`egofeat persons`, interrupted, killed and shared between machines: the same bytes."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from egofeat.adapters.reading.box_files import read_detections
from egofeat.store.files import temporary_path


@pytest.mark.parametrize("frames", [1, 4, 6, 13])
def test_an_interrupted_run_ends_as_one_that_was_not(
    finder, frames, key_frames, configured, detect, contents
):
    dataset = key_frames(seconds=6)
    whole = detect(configured(out="whole", batch_size=2), dataset)
    finder.left = frames
    config = configured(out="killed", batch_size=2)
    with pytest.raises(KeyboardInterrupt):
        detect(config, dataset)
    finder.left = 10_000
    resumed = detect(replace(config, workers=1), dataset)
    assert contents(Path(resumed.folder)) == contents(Path(whole.folder))
    for name in ("videos", "key_frames", "empty", "boxes", "failed"):
        assert getattr(resumed, name) == getattr(whole, name)


# One process imports torch once and forks a fresh detection for every attempt.
KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from torch import nn
from egofeat.extract import persons as detector
from egofeat.pipelines.persons import detect as persons
from egofeat.pipelines.persons.job import PersonsConfig, plan_persons
from egofeat.segments import Dataset, Media, Segment

class Bright(nn.Module):
    def forward(self, images):
        time.sleep(0.01)
        score = [image.mean()[None] for image in images]
        box = torch.tensor([[1.0, 1, 20, 20]])
        return [{"boxes": box, "labels": torch.tensor([1]), "scores": one} for one in score]

detector.build = lambda *_, **__: Bright()
folder, media = Path(sys.argv[1]), Path(sys.argv[2])
files = ["one", "two", "bad"]
places = {f"{name}{k}": Media(media / f"{name}.mp4") for name in files for k in range(4)}
segments = [Segment(f"{v}_{s}", v, s, s + 1) for v in places for s in range(6)]
dataset = Dataset("tiny", places, tuple(segments), {}, key_frames=True)

def start(out):
    if child := os.fork():
        return child
    sys.stderr = open(os.devnull, "w")
    config = PersonsConfig(out=out, threshold=0.1, device="cpu", workers=2, weights="random")
    persons.run(plan_persons(config, dataset))
    os._exit(0)

began = time.monotonic()
assert os.waitpid(start(folder / "whole"), 0)[1] == 0
seconds = time.monotonic() - began
random.seed(3)
kills = 0
while kills < 6:
    child = start(folder / "killed")
    time.sleep(random.uniform(0.1, 0.7) * seconds)
    os.kill(child, signal.SIGKILL)
    kills += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    if (folder / "killed/tiny").exists() and kills < 6 and random.random() < 0.3:
        (folder / "killed").rename(folder / f"killed{len(os.listdir(folder))}")
for path in folder.glob("killed*"):
    assert os.waitpid(start(path), 0)[1] == 0
"""


@pytest.mark.slow
def test_a_killed_run_ends_as_one_that_was_not(media, tmp_path, contents):
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(media)]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    whole = contents(tmp_path / "whole")
    assert sum(name.endswith(".csv") for name in whole) == 8
    killed = list(tmp_path.glob("killed*"))
    assert killed
    for folder in killed:
        assert contents(folder) == whole


def test_a_half_written_file_of_a_killed_run_is_no_boxes_and_goes_away(
    key_frames, configured, detect, contents
):
    dataset = key_frames(videos=("one",))
    folder = Path(detect(configured(), dataset).folder)
    before = contents(folder)
    name = temporary_path(folder / "looked/one.csv", "1of1").name.split("~")
    name[3] = "999999999"  # no process has that number
    (folder / "looked" / "~".join(name)).write_text("one,09")
    assert len(read_detections(folder, dataset.segments, 0.8).boxes) == 4
    detect(configured(), dataset)
    assert contents(folder) == before


def test_parts_together_are_the_whole(key_frames, configured, detect, contents):
    dataset = key_frames(seconds=6)
    whole = detect(configured(out="whole"), dataset)
    parts = [detect(configured(out="parts", part=(n, 3)), dataset) for n in (1, 2, 3)]
    assert contents(Path(parts[0].folder)) == contents(Path(whole.folder))
    assert sum(part.boxes for part in parts) == whole.boxes
    assert sum(part.videos for part in parts) == 4

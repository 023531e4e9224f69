"""What one frame costs on its way from the file to the network's size, by stage.

    python bench/frame.py [--frames 60] [--repeats 5]

Made H.264 films of 1920 × 1080 and 456 × 256, one thread; processor time, so that what else runs on
the machine counts little. Milliseconds a frame, stages taking turns, medians.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from made import film
from ratios import machine, options, seconds
from torch import Tensor

from egofeat.extract.transforms import prepare
from egofeat.extract.video.container import VideoReader
from egofeat.extract.video.media_file import MediaFile
from egofeat.extract.video.picture import Painter
from egofeat.recipe import Transform

IMAGES = Transform("short-side", 256, 224)
CLIPS = replace(IMAGES, interpolation="bilinear")
TRANSFORMS = {
    "squash": Transform("squash", 256, 256),
    "weights, float32": IMAGES,
    "weights, uint8": replace(IMAGES, arithmetic="uint8"),
    "weights of clips, float32": CLIPS,
    "weights of clips, uint8": replace(CLIPS, arithmetic="uint8"),
}


def resized(transform: Transform, frames: Sequence[Tensor]) -> None:
    for frame in frames:
        prepare(transform, frame)


def stages(path: Path, frames: int) -> dict[str, Callable[[], object]]:
    """What is done with each of the first frames of a film, by name."""
    file, painter = MediaFile(path), Painter()
    with VideoReader(file) as reader:
        shown = [frame for _ in range(frames) if (frame := reader.next_frame())]
    painted = [painter.paint(frame) for frame in shown]

    def decode() -> None:
        with VideoReader(file) as reader:
            for _ in range(frames):
                reader.next_frame()

    return {
        "decode": decode,
        "to RGB": lambda: [painter.paint(frame) for frame in shown],
        **{name: partial(resized, transform, painted) for name, transform in TRANSFORMS.items()},
    }


def main() -> None:
    asked = options(__doc__, frames=60, repeats=5)
    torch.set_num_threads(1)
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        taken = {}
        for width, height in ((1920, 1080), (456, 256)):
            path = film(Path(folder) / f"{height}.mp4", asked.frames, width, height)
            taken[height] = seconds(
                stages(path, asked.frames), asked.repeats, clock=time.process_time
            )
    print(f"{'ms a frame':26} {'1080p':>8} {'256p':>8}")
    for stage in taken[1080]:
        costs = [1e3 * of_film[stage] / asked.frames for of_film in taken.values()]
        print(f"{stage:26} " + " ".join(f"{cost:8.3f}" for cost in costs))


if __name__ == "__main__":
    main()

"""What the host itself does for a frame or a clip, when source, resizing and network do nothing.

    python bench/host.py [--segments 400] [--size 256] [--batch 256] [--repeats 3]

The loop of extraction over one video whose frames are all one array of the network's size, in one
decoding thread: time of the processor a view, in the thread that launches the network and in the
other. With `--size 8` no bytes count, and bookkeeping is left. The GPU's own copies are not in it.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ratios import machine, options
from torch import Tensor

from egofeat.extract.batches import running
from egofeat.extract.extractor import extract
from egofeat.extract.task import Task
from egofeat.extract.units import all_units
from egofeat.extract.video import FrameSource
from egofeat.pipelines.extraction.in_memory import Memory
from egofeat.recipe import Clips, Plan, Recipe, Transform, Uniform
from egofeat.segments import Segment

RATE, SECONDS = 30, 3


class Idle(FrameSource):
    """A video of one frame, over and over."""

    def __init__(self, frames: int, size: int) -> None:
        self.path = Path("idle")
        self.times, self.stop = np.arange(frames) / RATE, frames / RATE
        self._frame = torch.zeros(size, size, 3, dtype=torch.uint8)

    def again(self) -> "Idle":
        """Nothing is held open."""
        return self

    def close(self) -> None:
        """Nothing is."""

    def _scan(self, wanted: list[int]) -> Iterator[tuple[int, Tensor]]:
        for index in wanted:
            yield index, self._frame


@dataclass
class Nothing:
    """A network that gives zeros at once."""

    clip: object
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    largest: int = 1

    @property
    def spec(self) -> "Nothing":
        """What the loop asks of it stands here."""
        return self

    def outline(self, size: int, frames: int) -> "Nothing":
        """As much memory as nothing takes."""
        return self

    def __call__(self, batch: Tensor) -> dict[str, Tensor]:  # noqa: D102
        return {"gap": torch.zeros(len(batch), 8)}


def cost(plan: Plan, segments: int, size: int, batch: int) -> tuple[float, float]:
    """Microseconds a view, in the thread that launches and in the one that decodes."""
    recipe = Recipe(
        backbone="idle",
        weights="random:0",
        transform=Transform("squash", size, size),
        plan=plan,
        taps={"gap": (plan.views, 8)},
        dtype="float16",
    )
    network: Any = Nothing(plan.view_frames > 1 or None)
    task = Task(
        backbone=network,
        recipe=recipe,
        sink=Memory("gap"),
        batch_size=max(1, batch // plan.view_frames),
    )
    wanted = [Segment(f"{k}", "v", SECONDS * k, SECONDS * (k + 1)) for k in range(segments)]
    source = Idle(SECONDS * RATE * segments, size)
    units = all_units(wanted, [16 * plan.views], {"v": source})
    whole, own = time.process_time(), time.thread_time()
    extract(units, [task])
    own, whole = time.thread_time() - own, time.process_time() - whole
    views = 1e-6 * segments * plan.views
    return own / views, (whole - own) / views


def main() -> None:
    asked = options(__doc__, segments=400, size=256, batch=256, repeats=3)
    torch.set_num_threads(1)
    # What a GPU does itself, and the network's.
    setattr(running, "normalise", lambda transform, frames: frames)  # noqa: B010
    print(machine())
    print(f"µs a view of {asked.size} pixels: launching thread, decoding thread")
    plans: dict[str, Plan] = {"frame": Uniform(20), "clip of 32": Clips(1, 32, 2, 30.0)}
    for name, plan in plans.items():
        runs = [cost(plan, asked.segments, asked.size, asked.batch) for _ in range(asked.repeats)]
        own, other = np.median(runs, axis=0)
        print(f"{name:10} {own:8.1f} {other:8.1f}")


if __name__ == "__main__":
    main()

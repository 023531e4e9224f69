"""One backbone's part of an extraction: what is to be done, and where what it gives goes."""

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from egofeat.extract.backbones import Backbone
from egofeat.extract.roi import Persons
from egofeat.recipe import Recipe
from egofeat.recipe.motion import Raft
from egofeat.store import Failure, ShardRows

CPU_BLOCK = {"torch": 2**27, "openvino": 2**25}
"""Engine to the bytes at most of a batch's largest activation, in float32. Larger batches gain
little by PyTorch, and are slower by OpenVINO; MobileNetV2's largest takes 6 MB of a frame of 256
pixels."""
CPU_FRAMES = 64
"""Frames a batch at most: beyond it nothing is gained, and more of the last batch is padding."""
GPU_FRAMES = 256
"""Frames a batch, until the device was asked; a clip counts all of its own."""


class Sink(Protocol):
    """Where features and failures go: a store, or memory."""

    @property
    def scratch(self) -> Path | None:
        """Folder for files of what waits until it is whole; None: it waits in memory."""

    def write_shard(self, name: str, rows: ShardRows) -> object:
        """Keep the rows of one shard."""

    def record_failures(self, failures: list[Failure]) -> None:
        """Keep segments that could not be read, and why."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One backbone's part of an extraction."""

    backbone: Backbone
    recipe: Recipe
    """How its numbers are made."""
    sink: Sink
    batch_size: int | None = None
    """Views that the network runs at once, or fewer where there is no room for so many; it changes
    nothing beyond rounding. None: what suits the device, see `grows`."""
    persons: Persons | None = None
    """Of a plan by boxes: whose features are kept."""

    @property
    def views_a_batch(self) -> int:
        """Views that the network runs at once."""
        if self.batch_size:
            return self.batch_size
        if self.backbone.device.type == "cuda":
            return max(1, GPU_FRAMES // self.frames_a_view)
        return self._views_on_cpu

    @property
    def grows(self) -> bool:
        """Whether the device is asked how many views it takes; motion is computed in few."""
        free = self.batch_size is None and self.recipe.transform.motion is None
        return free and self.backbone.device.type == "cuda"

    @property
    def moves_on_device(self) -> bool:
        """Whether a network computes the motion that its own is given."""
        motion = self.recipe.transform.motion
        return motion is not None and isinstance(motion.method, Raft)

    @functools.cached_property
    def _views_on_cpu(self) -> int:
        """A power of two, by the size of what the network makes of one view; one clip."""
        if self.backbone.spec.clip:
            return 1
        transform = self.recipe.transform
        of_crop = 4 * self.backbone.outline(transform.crop).largest
        frames = min(CPU_BLOCK[self.backbone.engine] // of_crop, CPU_FRAMES)
        views = max(1, frames // transform.crops)
        return 1 << (views.bit_length() - 1)

    @property
    def frames_a_view(self) -> int:
        """Prepared frames, each crop of one counted."""
        return self.recipe.plan.view_frames * self.recipe.transform.crops

    @property
    def view_sides(self) -> tuple[int, int]:
        """Pixels of a side of what the network sees, and frames, if they are cut to a square."""
        transform = self.recipe.transform
        return transform.crop, self.frames_a_view // transform.crops

    @property
    def view_shape(self) -> tuple[int, int, int, int, int]:
        """`[F, K, S, S, 3]` of colours, if they are cut to a square."""
        transform = self.recipe.transform
        side = transform.crop
        return (self.recipe.plan.view_frames, transform.crops, side, side, 3)

    @property
    def bytes_a_view(self) -> int:
        """Of a view in uint8."""
        return math.prod(self.view_shape)

"""One backbone's part of an extraction: what is to be done, and where what it gives goes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from egofeat.extract.backbones import Backbone
from egofeat.extract.roi import Persons
from egofeat.recipe import Recipe
from egofeat.store import Failure, ShardRows

CPU_FRAMES = 4
"""Frames a batch. glibc gives blocks over 32 MB back to the kernel whenever they are freed, and
fresh pages cost more than the arithmetic: at 256 pixels, MobileNetV2's largest activation of four
frames takes 25 MB, and batches of 4 run more than twice as fast as batches of 32."""
GPU_FRAMES = 256
"""Frames a batch; a clip counts all of its own."""


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
    nothing beyond rounding. None: what suits the device."""
    persons: Persons | None = None
    """Of a plan by boxes: whose features are kept."""

    @property
    def views_a_batch(self) -> int:
        """Views that the network runs at once."""
        most = GPU_FRAMES if self.backbone.device.type == "cuda" else CPU_FRAMES
        return self.batch_size or max(1, most // self._frames_a_view)

    @property
    def frames_a_batch(self) -> int:
        """Prepared frames of a whole batch, each crop of one counted."""
        return self.views_a_batch * self._frames_a_view

    @property
    def _frames_a_view(self) -> int:
        return self.recipe.plan.view_frames * self.recipe.transform.crops

"""One backbone's part of an extraction: what is to be done, and where what it gives goes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from egofeat.extract.backbones import Backbone
from egofeat.extract.roi import Persons
from egofeat.extract.shards import Shard
from egofeat.recipe import Plan, Transform
from egofeat.store import Failure, ShardRows


class Sink(Protocol):
    """Where features and failures go: a store, or memory."""

    def write_shard(self, name: str, rows: ShardRows) -> object:
        """Keep the rows of one shard."""

    def record_failures(self, failures: list[Failure]) -> None:
        """Keep segments that could not be read, and why."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One backbone's part of an extraction."""

    backbone: Backbone
    plan: Plan
    """Which frames of a segment are taken."""
    transform: Transform
    shards: Sequence[Shard]
    """How the segments are published together."""
    dtype: str
    """Of the features as kept, `float16` or `float32`."""
    sink: Sink
    batch_size: int
    """Views that the network runs at once, or fewer where there is no room for so many; it changes
    nothing beyond rounding."""
    persons: Persons | None = None
    """Of a plan by boxes: whose features are kept."""

    @property
    def frames_a_batch(self) -> int:
        """Prepared frames of a whole batch, each crop of one counted."""
        return self.batch_size * self.plan.view_frames * self.transform.crops

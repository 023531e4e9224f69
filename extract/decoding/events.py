"""What networks take of videos, and what comes of decoding them."""

from dataclasses import dataclass

from egofeat.errors import MediaError
from egofeat.extract.batches.filling import Batch, Frames
from egofeat.extract.decoding.stretches import Planned
from egofeat.extract.units import Unit
from egofeat.recipe import Plan, Transform, View
from egofeat.segments import Segment


@dataclass(frozen=True)
class Lane:
    """What one network takes of every segment."""

    plan: Plan
    transform: Transform


Stamp = tuple[int, int, int, int]
"""Of what a video was read from: a row of `ShardRows.media_stamps`."""


@dataclass(frozen=True)
class Begun:
    """A thread has taken a pass: its unit is under way."""

    unit: Unit


@dataclass(frozen=True)
class Opened:
    """A video was opened: the frames that each readable segment will be made of."""

    lane: int
    plans: tuple[Planned, ...]
    stamp: Stamp
    """Of the video as it was opened."""


@dataclass(frozen=True)
class Pixels:
    """One prepared view."""

    lane: int
    video: str
    view: View
    frames: Frames


@dataclass(frozen=True)
class Filled:
    """A batch of which every view is there."""

    lane: int
    batch: Batch


@dataclass(frozen=True)
class Failed:
    """Segments that cannot be read, for one reason; whatever was made of them before is void."""

    lane: int
    segments: tuple[Segment, ...]
    reason: str
    cause: str = MediaError.cause


@dataclass(frozen=True)
class Lost:
    """Windows of a video that cannot be read, for one reason; its others can."""

    lane: int
    video: str
    views: tuple[View, ...]
    reason: str


@dataclass(frozen=True)
class Decoded:
    """All of a stretch that is wanted has been decoded."""

    frames: int
    """Decoded."""
    by_lane: tuple[int, ...]
    """`[lanes]` frames that each took of them."""


Read = Begun | Opened | Pixels | Failed | Lost | Decoded
"""What comes of a video."""
Event = Begun | Opened | Filled | Failed | Lost | Decoded
"""What comes of many."""

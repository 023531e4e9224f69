"""Windows of a video that cannot be made, while its others are kept: which, and why."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import MediaError
from egofeat.recipe import FramePlan
from egofeat.segments import Segment
from egofeat.store import Failure

_HOLE = "frames that the windows need are missing from its images"


class Why(NamedTuple):
    """Why something cannot be made."""

    reason: str
    cause: str = MediaError.cause
    """A word of `egofeat.errors.CAUSES`."""


@dataclass
class LostWindows:
    """Of one video."""

    reasons: dict[int, Why] = field(default_factory=dict)
    """Place of a window among those of the plan to the reason."""

    def add(self, places: Iterable[int], why: Why) -> None:
        """Lose the windows at these places."""
        self.reasons |= dict.fromkeys(places, why)

    def reason_of_all(self, windows: int) -> Why | None:
        """Why the video has nothing, where all of its windows are lost."""
        return self.reasons[0] if len(self.reasons) == windows else None

    def kept_of(self, plan: FramePlan) -> tuple[FramePlan, NDArray[np.bool_]]:
        """The plan without them, and which of its windows are kept, `[windows]`."""
        kept = np.ones(len(plan.indices), np.bool_)
        kept[list(self.reasons)] = False
        return FramePlan(plan.indices[kept], plan.times[kept], plan.clipped), kept

    def failures(self, segment: Segment, plan: FramePlan) -> list[Failure]:
        """One for each run of windows that follow each other: from where to where, how many, why.

        Windows that the plan could not have are among them. The reason is that of a run's first.
        """
        lost = [(plan.times[place], why) for place, why in self.reasons.items()]
        lost += [(times, Why(f"{segment.video}: {_HOLE}")) for times in plan.lost]
        if not lost:
            return []
        lost.sort(key=lambda window: float(window[0][0]))
        # Between two runs there is a window that is kept.
        kept = self.kept_of(plan)[0].times[:, 0]
        before = np.searchsorted(kept, [times[0] for times, _ in lost]).tolist()
        failures = []
        for _, numbered in groupby(zip(before, lost, strict=True), key=itemgetter(0)):
            run = [window for _, window in numbered]
            (first, why), (last, _) = run[0], run[-1]
            failures.append(
                Failure(
                    id=segment.id,
                    video=segment.video,
                    start=float(first[0]),
                    stop=float(last[2]),
                    **why._asdict(),
                    windows=len(run),
                )
            )
        return failures

"""What could not be read, summed up: thousands of failures are mostly a few reasons and videos."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from egofeat.errors import CAUSES, OVERFLOW
from egofeat.segments import Media
from egofeat.store import Failure
from egofeat.words import counted

_NAMED = 3
"""Videos, and reasons, that are named to people."""
_WIDTH = 80
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:e[+-]\d+)?")
_SAID = {
    "damaged": "damaged",
    OVERFLOW: "beyond what float16 holds",
    "missing": "missing",
    "unreadable": "unreadable for now",
}
_MENDS = {"damaged": "repair them and add `retry_failed`", OVERFLOW: "use `dtype` float32"}


@dataclass(frozen=True, kw_only=True)
class FailureSum:
    """Failures of one cause and one reason; what `--json` prints of them."""

    cause: str
    """A word of `egofeat.errors.CAUSES`."""
    reason: str
    """Without the names of videos, and without the numbers in which they differ."""
    example: str
    """The reason of one of them, whole."""
    segments: int
    """That failed as a whole."""
    windows: int
    """Lost of videos whose others are kept."""
    videos: Mapping[str, int]
    """Name to the failures of it."""


def sum_up(failures: Iterable[Failure], media: Mapping[str, Media]) -> tuple[FailureSum, ...]:
    """Sum failures by cause and reason, the most frequent first.

    Args:
        failures: of whole segments, and of windows.
        media: of the videos, whose paths stand in reasons.
    """
    kinds: dict[tuple[str, str], list[Failure]] = {}
    reasons: dict[tuple[str, str], list[str]] = {}
    for one in failures:
        reason = _nameless(one, media.get(one.video))
        kind = one.cause, _NUMBER.sub("…", reason)
        kinds.setdefault(kind, []).append(one)
        reasons.setdefault(kind, []).append(reason)
    sums = [
        FailureSum(
            cause=cause,
            reason=_agreed(reasons[cause, kind]),
            example=members[0].reason,
            segments=sum(not one.windows for one in members),
            windows=sum(one.windows for one in members),
            videos=dict(Counter(one.video for one in members)),  # `asdict` breaks a Counter
        )
        for (cause, kind), members in kinds.items()
    ]
    return tuple(sorted(sums, key=lambda one: (-one.segments - one.windows, one.reason)))


def failure_lines(
    sums: Iterable[FailureSum], unit: str, arrays: Mapping[str, str] | None = None
) -> list[str]:
    """Tell of failures in a few lines: how many of how many videos, and the commonest reasons.

    Args:
        sums: of the failures.
        unit: what they are of, where they are several: `segments`.
        arrays: of features that are imported, cause to what is wrong with their arrays: no video
            is to blame.
    """
    said = []
    for cause in CAUSES:
        of_cause = [one for one in sums if one.cause == cause]
        for what, count in ((unit, "segments"), ("windows", "windows")):
            members = [one for one in of_cause if getattr(one, count)]
            if members:
                total = sum(getattr(one, count) for one in members)
                videos = list(dict.fromkeys(name for one in members for name in one.videos))
                be = "is" if total == 1 else "are"
                told = f"of {counted(len(videos), 'videos')} {be} {_SAID[cause]}"
                told = arrays[cause] if arrays else told
                said.append(f"{counted(total, what)} {told}: {_named(videos)}")
        if cause != "missing":  # that says it
            for one in of_cause[:_NAMED]:
                what = one.reason.rsplit(": ", 1)[0]  # what to do about it stands in the file
                said.append(_cut(f"  {one.segments or one.windows:,}: {what}"))
            if len(of_cause) > _NAMED:
                said.append(f"  and {len(of_cause) - _NAMED} reasons more")
    return said


def mend_of(sums: Iterable[FailureSum]) -> str:
    """What to do about failures."""
    causes = {one.cause for one in sums}
    mends = [mend for cause, mend in _MENDS.items() if cause in causes]
    return ", and ".join(mends) or "the same command tries them again"


def _named(videos: list[str]) -> str:
    more = ", …" if len(videos) > _NAMED else ""
    return ", ".join(_cut(name, 40) for name in videos[:_NAMED]) + more


def _nameless(failure: Failure, media: Media | None) -> str:
    """A reason without the names of its video."""
    reason = failure.reason
    # Workers name a path from the root.
    paths = (media.path.absolute(), media.path, media.path.name) if media else ()
    names = {failure.video, *map(str, paths)}
    for name in sorted(filter(None, names), key=len, reverse=True):
        reason = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", reason)
    return reason.lstrip("… :") or reason


def _agreed(reasons: Sequence[str]) -> str:
    """What reasons say that differ in numbers alone, with those in which all agree."""
    columns = zip(*map(_NUMBER.findall, reasons), strict=True)
    numbers = iter([of[0] if len(set(of)) == 1 else "…" for of in columns])
    return _NUMBER.sub(lambda _: next(numbers), reasons[0])


def _cut(text: str, width: int = _WIDTH) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"

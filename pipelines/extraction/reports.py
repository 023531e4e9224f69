"""What an extraction says when it is done, or of what it would do."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from egofeat import console
from egofeat.errors import RequestError
from egofeat.pipelines.extraction.failure_sums import FailureSum, failure_lines, mend_of
from egofeat.words import counted


@dataclass(frozen=True, kw_only=True)
class StoreReport(ABC):
    """What an extraction and its forecast both say of a store."""

    store: str
    segments: int
    """Wanted, in this part."""
    splits: Mapping[str, int]
    """Split to how many of those are of it."""
    changed_videos: Sequence[str]
    """Whose file is another than their features were made of."""
    renewed_by: str
    """What extracts their features again."""
    unit: str = "segments"
    """What segments are, for people."""
    idle: str = ""
    """Why there is nothing to do for this part, where there is for others."""

    @property
    @abstractmethod
    def exit_code(self) -> int:
        """Of the command."""

    def lines(self) -> list[str]:
        """The report for people."""
        return [self.idle, self.store] if self.idle else self._lines()

    @abstractmethod
    def _lines(self) -> list[str]: ...

    def _splits_lines(self) -> list[str]:
        """Which splits are counted, where the data set has splits."""
        if not any(self.splits):
            return []
        splits = (f"{name or 'no split'} {number:,}" for name, number in self.splits.items())
        return [f"of {', '.join(splits)}"]

    def _changed_lines(self) -> list[str]:
        """What is said of videos that were replaced."""
        videos = self.changed_videos
        if not videos:
            return []
        named = ", ".join(videos[:3]) + (", …" if len(videos) > 3 else "")
        return [
            f"{counted(len(videos), 'videos')} changed since the features were made: {named}; "
            f"{self.renewed_by} extracts them again"
        ]


Reported = TypeVar("Reported", bound=StoreReport)


@dataclass(frozen=True, kw_only=True)
class Joint(Generic[Reported]):
    """Reports of the stores that are made in one command."""

    stores: tuple[Reported, ...]

    @property
    def exit_code(self) -> int:
        """Of the command."""
        return max((store.exit_code for store in self.stores), default=0)

    def lines(self) -> list[str]:
        """The reports for people."""
        return [line for store in self.stores for line in store.lines()]


@dataclass(frozen=True, kw_only=True)
class ExtractReport(StoreReport):
    """What an extraction did; the object that `--json` prints."""

    extracted: int
    skipped: int
    """In the store already."""
    failed: int
    """Could not be read, now or earlier."""
    lost_windows: int
    """Could not be read, now or earlier, of videos whose other windows are in the store."""
    failures: tuple[FailureSum, ...]
    """The same, summed up."""
    frames: int
    """Decoded for this store, each once."""
    views: int
    """Frames or clips run through the network, each crop counted."""
    seconds: float
    frames_per_second: float

    @property
    def incomplete(self) -> bool:
        """Whether something could not be read."""
        return self.failed > 0 or self.lost_windows > 0

    @property
    def exit_code(self) -> int:
        """Of the command."""
        return int(self.incomplete)

    def _lines(self) -> list[str]:
        if self.extracted or self.frames:
            said = [
                f"{self.extracted:,} of {self.segments:,} {self.unit} extracted, {self.skipped:,} "
                f"were there already: {counted(self.frames, 'frames')} in {self.seconds:.1f} s, "
                f"{self.frames_per_second:.1f} frames/s"
            ]
        else:
            said = [
                f"nothing to extract: {self.skipped:,} of {self.segments:,} {self.unit} are there"
            ]
        said += [self.store, *self._splits_lines()]
        said += self._changed_lines()
        said += failure_lines(self.failures, self.unit)
        if self.incomplete:
            said.append(self.failures_line())
        return said

    def failures_line(self) -> str:
        """One line that says where the reasons of the failures are."""
        lost = [counted(self.failed, self.unit)] if self.failed else []
        lost += [counted(self.lost_windows, "windows")] if self.lost_windows else []
        return (
            f"{' and '.join(lost)} could not be extracted: the reasons are in "
            f"{self.store}/failures-*.jsonl; {mend_of(self.failures)}"
        )


@dataclass(frozen=True, kw_only=True)
class JointReport(Joint[ExtractReport]):
    """What one decode for several backbones did; the object that `--json` prints."""

    decoded: int
    """Frames, each once, for however many backbones."""
    seconds: float

    def lines(self) -> list[str]:
        """The report for people."""
        said = super().lines()
        if self.decoded:
            taken = sum(store.frames for store in self.stores)
            said.append(
                f"decoded {counted(self.decoded, 'frames')}, once, for the {taken:,} that were "
                "taken"
            )
        return said

    def failures_line(self) -> str:
        """Where the reasons of the failures are, a line a store."""
        return "\n".join(store.failures_line() for store in self.stores if store.incomplete)


@dataclass(frozen=True, kw_only=True)
class Forecast(StoreReport):
    """What an extraction would do; the object that `--dry-run --json` prints."""

    present: int
    failed: int
    """Damaged earlier, and left alone without `--retry-failed`."""
    to_extract: int
    """Of videos that are there."""
    videos: int
    """To be opened."""
    missing_segments: int
    """Of videos that are not there."""
    missing_videos: int
    frames: int
    """To be decoded at most: segments that overlap share frames."""
    bytes_to_write: int
    bytes_needed: int
    """While it is written: a long video in dense windows takes its room thrice."""
    bytes_missing: int | None
    """What the missing segments would take; None where the length of the videos decides."""
    bytes_present: int
    bytes_free: int
    fits: bool
    """Whether what would be written has room."""
    seconds: float | None
    """About how long it would take, as measured in earlier runs; None where nothing was."""

    @property
    def exit_code(self) -> int:
        """Of the command: what has no room is refused, after all is said."""
        return 0 if self.fits else RequestError.exit_code

    def _lines(self) -> list[str]:
        said = [
            f"{self.to_extract:,} of {self.segments:,} {self.unit} would be extracted from "
            f"{counted(self.videos, 'videos')}, at most "
            f"{counted(self.frames, 'frames')}; {self.present:,} are there already",
            *self._splits_lines(),
            f"{console.size(self.bytes_to_write)} would be written, next to the "
            f"{console.size(self.bytes_present)} that are there; "
            f"{console.size(self.bytes_free)} are free",
            self.store,
        ]
        if self.seconds is not None and self.to_extract:
            said.append(f"about {_duration(self.seconds)}, as measured in earlier runs")
        if self.missing_segments:
            size = "" if self.bytes_missing is None else f" ({console.size(self.bytes_missing)})"
            be = "is" if self.missing_segments == 1 else "are"
            said.append(
                f"{counted(self.missing_segments, self.unit)} of "
                f"{counted(self.missing_videos, 'videos')} {be} missing and not counted in "
                f"that{size}: check 'media'"
            )
        if not self.fits:
            said.append("there is not enough room: give another `out`")
        if self.failed:
            said.append(
                f"{counted(self.failed, self.unit)} failed earlier: add `retry_failed` to try them"
            )
        return said + self._changed_lines()


JointForecast = Joint[Forecast]


def _duration(seconds: float) -> str:
    """A time for people: `40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"

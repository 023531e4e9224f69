"""Reports of person detection: what it did, and what it would do."""

from dataclasses import dataclass

from egofeat.pipelines.extraction.failure_sums import FailureSum, failure_lines, mend_of
from egofeat.words import counted

_LOST = "key frames or whole videos"


@dataclass(frozen=True, kw_only=True)
class PersonsReport:
    """What a detection did; the object that `--json` prints."""

    folder: str
    videos: int
    """Wanted, in this part."""
    skipped: int
    """Of those, looked at before."""
    key_frames: int
    """Looked at, now and before."""
    empty: int
    """Of those, without a person."""
    boxes: int
    """Persons, now and before."""
    failed: int
    """Key frames, and videos as a whole, that could not be read, now or before."""
    failures: tuple[FailureSum, ...]
    """The same, summed up."""
    seconds: float
    frames_per_second: float
    """Key frames looked at now."""

    @property
    def exit_code(self) -> int:
        """Of the command."""
        return int(self.failed > 0)

    def lines(self) -> list[str]:
        """The report for people."""
        said = [
            f"{counted(self.boxes, 'persons')} in {counted(self.key_frames, 'key frames')} of "
            f"{counted(self.videos, 'videos')}, {counted(self.empty, 'key frames')} without a "
            f"person; {self.skipped} of the videos were done before",
            f"{self.seconds:.1f} s, {self.frames_per_second:.2f} key frames/s",
            self.folder,
        ]
        said += failure_lines(self.failures, _LOST)
        if self.failed:
            said.append(self.failures_line())
        return said

    def failures_line(self) -> str:
        """One line that says where the reasons of the failures are."""
        return (
            f"{counted(self.failed, _LOST)} could not be read: the reasons are in "
            f"{self.folder}/failures.jsonl; {mend_of(self.failures)}"
        )


@dataclass(frozen=True, kw_only=True)
class PersonsForecast:
    """What a detection would do; the object that `--dry-run --json` prints."""

    folder: str
    videos: int
    present: int
    """Looked at before."""
    to_open: int
    missing_videos: int
    """Of those to be opened, not there."""
    key_frames: int | None
    """To be looked at; None where the length of the videos decides."""

    def lines(self) -> list[str]:
        """The forecast for people."""
        frames = ""
        if self.key_frames is not None:
            frames = f", at {counted(self.key_frames, 'key frames')}"
        said = [
            f"{self.to_open} of {self.videos} videos would be processed{frames}; "
            f"{self.present} are done already",
            self.folder,
        ]
        if self.missing_videos:
            be = "is" if self.missing_videos == 1 else "are"
            said.append(f"{self.missing_videos} of the videos {be} missing: check 'media'")
        return said

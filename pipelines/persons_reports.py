"""What a detection of persons says when it is done, or of what it would do."""

from dataclasses import dataclass


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
    seconds: float
    frames_per_second: float
    """Key frames looked at now."""

    @property
    def incomplete(self) -> bool:
        """Whether something could not be read."""
        return self.failed > 0

    def lines(self) -> list[str]:
        """The report for people."""
        said = [
            f"{self.boxes} persons in {self.key_frames} key frames of {self.videos} videos, "
            f"{self.empty} key frames without a person; {self.skipped} videos were done before",
            f"{self.seconds:.1f} s, {self.frames_per_second:.2f} key frames/s",
            self.folder,
        ]
        if self.failed:
            said.append(self.failures_line())
        return said

    def failures_line(self) -> str:
        """One line that says where the reasons of the failures are."""
        return (
            f"{self.failed} key frames or whole videos could not be read: the reasons are in "
            f"{self.folder}/failures.jsonl; mend them and add --retry-failed"
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
        frames = "" if self.key_frames is None else f", at {self.key_frames} key frames"
        said = [
            f"{self.to_open} of {self.videos} videos would be looked at{frames}; "
            f"{self.present} are done already",
            self.folder,
        ]
        if self.missing_videos:
            said.append(f"{self.missing_videos} of the videos are missing: check 'media'")
        return said

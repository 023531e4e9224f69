"""What an extraction says when it is done, or of what it would do."""

from dataclasses import dataclass

from egofeat import console


@dataclass(frozen=True, kw_only=True)
class ExtractReport:
    """What an extraction did; the object that `--json` prints."""

    store: str
    segments: int
    """Wanted, in this part."""
    extracted: int
    skipped: int
    """In the store already."""
    failed: int
    """Could not be read, now or earlier."""
    frames: int
    """Decoded for this store, each once."""
    views: int
    """Frames or clips run through the network, each crop counted."""
    seconds: float
    frames_per_second: float
    unit: str = "segments"
    """What segments are, for people."""

    def lines(self) -> list[str]:
        """The report for people."""
        said = [
            f"{self.extracted} of {self.segments} {self.unit} extracted, {self.skipped} were there "
            f"already: {self.frames} frames in {self.seconds:.1f} s, "
            f"{self.frames_per_second:.1f} frames/s",
            self.store,
        ]
        if self.failed:
            said.append(self.failures_line())
        return said

    def failures_line(self) -> str:
        """One line that says where the reasons of the failures are."""
        return (
            f"{self.failed} {self.unit} could not be read: the reasons are in "
            f"{self.store}/failures-*.jsonl; mend them and add --retry-failed"
        )


@dataclass(frozen=True, kw_only=True)
class JointReport:
    """What one decode for several backbones did; the object that `--json` prints."""

    stores: tuple[ExtractReport, ...]
    decoded: int
    """Frames, each once, for however many backbones."""
    seconds: float

    @property
    def failed(self) -> int:
        """Segments that could not be read, summed over the stores."""
        return sum(store.failed for store in self.stores)

    def lines(self) -> list[str]:
        """The report for people."""
        taken = sum(store.frames for store in self.stores)
        said = [line for store in self.stores for line in store.lines()]
        return [*said, f"{self.decoded} frames were decoded, once, for the {taken} that were taken"]

    def failures_line(self) -> str:
        """Where the reasons of the failures are, a line a store."""
        return "\n".join(store.failures_line() for store in self.stores if store.failed)


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What an extraction would do; the object that `--dry-run --json` prints."""

    store: str
    segments: int
    present: int
    failed: int
    """Failed earlier, and left alone without `--retry-failed`."""
    to_extract: int
    videos: int
    """To be opened."""
    missing_videos: int
    """Of those, not there."""
    frames: int
    """To be decoded at most: segments that overlap share frames."""
    bytes_to_write: int
    bytes_present: int
    bytes_free: int
    unit: str = "segments"
    """What segments are, for people."""

    def lines(self) -> list[str]:
        """The forecast for people."""
        said = [
            f"{self.to_extract} of {self.segments} {self.unit} would be extracted from "
            f"{self.videos} videos, at most {self.frames} frames; {self.present} are there already",
            f"{console.size(self.bytes_to_write)} would be written beside the "
            f"{console.size(self.bytes_present)} that are there; "
            f"{console.size(self.bytes_free)} are free",
            self.store,
        ]
        if self.missing_videos:
            said.append(f"{self.missing_videos} of the videos are missing: check 'media'")
        if self.bytes_to_write > self.bytes_free:
            said.append("there is not enough room: give another --out")
        if self.failed:
            said.append(f"{self.failed} {self.unit} failed earlier: add --retry-failed to try them")
        return said


@dataclass(frozen=True, kw_only=True)
class JointForecast:
    """What one decode for several backbones would do; the object that `--dry-run --json` prints."""

    stores: tuple[Forecast, ...]

    def lines(self) -> list[str]:
        """The forecasts for people."""
        return [line for store in self.stores for line in store.lines()]

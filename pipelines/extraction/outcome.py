"""What the share of an extraction has come to: the report, and the failures that are its own."""

from collections.abc import Sequence
from pathlib import Path

from egofeat.pipelines.extraction.failure_sums import sum_up
from egofeat.pipelines.extraction.reports import ExtractReport
from egofeat.pipelines.extraction.share import Share
from egofeat.pipelines.extraction.wanted import Wanted
from egofeat.store import Failure


def outcome(
    share: Share[Wanted],
    store: Path,
    failures: Sequence[Failure] = (),
    missing: int = 0,
    *,
    extracted: int = 0,
    frames: int = 0,
    views: int = 0,
    seconds: float = 0.0,
) -> ExtractReport:
    """The report.

    Args:
        share: as it was before.
        store: where its features are.
        failures: of its segments.
        missing: how many of its segments are not there.
        extracted: how many of them are of this run.
        frames: that the network saw.
        views: frames or clips that were made.
        seconds: that this took.
    """
    count = share.count
    return ExtractReport(
        store=str(store),
        segments=count,
        splits=share.splits,
        extracted=extracted,
        skipped=count - missing - extracted,
        failed=sum(not failure.windows for failure in failures),
        lost_windows=sum(failure.windows for failure in failures),
        failures=sum_up(failures, share.job.dataset.media),
        changed_videos=share.changed,
        renewed_by=share.renewed_by,
        frames=frames,
        views=views,
        seconds=round(seconds, 3),
        frames_per_second=round(frames / seconds, 2) if frames else 0.0,
        unit=share.job.unit,
        idle=share.idle,
    )


def failures_of(share: Share[Wanted], failures: Sequence[Failure]) -> list[Failure]:
    """Those of segments of a share."""
    if not failures:  # of a million segments, the sets below are large
        return []
    keys, ids = set(share.wanted.keys), set(share.wanted.ids.tolist())
    return [one for one in failures if (one.id in ids if one.windows else one.key in keys)]

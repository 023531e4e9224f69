"""What a person can choose about a report on runs."""

from pathlib import Path

from egofeat.options import inherited, option
from egofeat.pipelines.comparing.options import Comparison
from egofeat.pipelines.options import FromManifest, Out


class ReportConfig(Comparison, Out, FromManifest, panel="Report"):
    """Which runs to show, and what of them."""

    runs: tuple[Path, ...] = inherited(
        "Show these runs, or those in these folders; runs that differ only by their seed are "
        "averaged."
    )
    split: str | None = inherited("Show this split, which each run was evaluated on.")
    out: Path = inherited(
        "Write the page to this file.", default=Path("report.html"), writes="file"
    )
    clips: int = option(
        "Show this many of the most certain errors of each head, with frames; 0 reads no video.",
        default=6,
        least=0,
        most=100,
    )

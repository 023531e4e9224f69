"""What a person can choose about a report on runs."""

from pathlib import Path

from egofeat.options import inherited, option
from egofeat.pipelines.options import FromManifest, Out


class ReportConfig(Out, FromManifest, panel="Report"):
    """Which runs to show, and what of them."""

    runs: tuple[Path, ...] = option(
        "Show these runs, or those in these folders; runs that differ only by their seed are "
        "averaged.",
        argument=True,
        repeated=True,
        metavar="RUN",
    )
    out: Path = inherited("Write the page to this file.", default=Path("report.html"))
    figure: str | None = option(
        "Compare by this metric, such as verb/top1.",
        default=None,
        default_is="the top-1 of actions, else of the first target",
    )
    split: str | None = option(
        "Show this split, which each run was evaluated on.",
        default=None,
        default_is="the validation split",
    )
    baseline: Path | None = option(
        "Test the differences to this run.", default=None, default_is="the best"
    )
    clips: int = option(
        "Show this many of the most certain errors of each head, with frames; 0 reads no video.",
        default=6,
        least=0,
        most=100,
    )

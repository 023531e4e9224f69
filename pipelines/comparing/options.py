"""What a person can choose about comparisons of runs."""

from collections.abc import Mapping
from pathlib import Path

from egofeat.errors import RequestError
from egofeat.options import Device, inherited, option
from egofeat.pipelines.options import Figures, Out, Split, Tap


def _read_filter(text: str) -> tuple[str, str]:
    """`head=lstm` to its two halves."""
    name, equals, value = text.partition("=")
    if not equals:
        raise RequestError(f"`where` {text} has no value: write {name}=VALUE, such as head=lstm")
    return name, value


class RunsConfig(Split, panel="Runs"):
    """Which runs to list, and how."""

    folders: tuple[Path, ...] = option(
        "List the runs in these folders, up to two folders below.",
        argument=True,
        repeated=True,
        metavar="DIR",
        default=(Path("runs"),),
    )
    where: Mapping[str, str] = option(
        "List only runs with this setting, such as head=lstm, seed=0 or features=i3d*; can be "
        "repeated.",
        default={},
        repeated=True,
        read=_read_filter,
    )
    sort: str | None = option(
        "Sort by this column, or by a metric such as verb/top1, the best first.",
        default=None,
        default_is="by name",
    )
    split: str | None = inherited(
        "Show the metrics of this split.", default_is="each run's validation split"
    )


class SeveralRuns(Split):
    """Which runs, judged on which split."""

    runs: tuple[Path, ...] = option(
        "Compare these runs, or those in these folders; runs that differ only by their seed are "
        "averaged.",
        argument=True,
        repeated=True,
        metavar="RUN",
    )


class Comparison(SeveralRuns):
    """By what runs are compared, and to which."""

    split: str | None = inherited("Compare on this split, which each run was evaluated on.")
    figure: str | None = option(
        "Compare by this metric, such as verb/top1.",
        default=None,
        default_is="the top-1 of actions, else of the first target",
    )
    baseline: Path | None = option(
        "Test the differences to this run.", default=None, default_is="the best"
    )


class CompareFeaturesConfig(Tap, Out, panel="Comparison"):
    """Which stores to compare."""

    first: Path = option(
        "Feature store, or a folder that holds one.", argument=True, metavar="STORE"
    )
    second: Path = option("Another, with the same segments.", argument=True, metavar="OTHER")
    tap: str | None = inherited("Read this tap of the first store.")
    other_tap: str | None = option(
        "Read this tap of the other store.",
        default=None,
        default_is="the same, if it has that, else the only one",
    )
    out: Path = inherited("Write features.csv, a line a segment, here.", default=Path("comparison"))


class EnsembleConfig(SeveralRuns, Out, Figures, Device, panel="Ensemble"):
    """Which runs to take together."""

    runs: tuple[Path, ...] = inherited("Average these runs, or those in these folders.")
    split: str | None = inherited(
        "Evaluate on this split.", default_is="the first run's validation split"
    )
    out: Path = inherited("Write metrics and predictions to this folder.", default=Path("ensemble"))


class CompareConfig(Comparison, Out, Figures, panel="Comparison"):
    """Which runs to compare, and by what."""

    out: Path = inherited("Write tables and pictures to this folder.", default=Path("comparison"))

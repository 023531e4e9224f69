"""What a sweep's folder tells beside its runs: what failed, what was only tried, on which split."""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from egofeat.pipelines.comparing.finished import Finished
from egofeat.words import counted

_MOST_TOLD = 3
"""Failures of a sweep that are told each."""
_LONGEST = 300
"""Letters of a reason."""


@dataclass(frozen=True)
class Swept:
    """The folder of a sweep."""

    path: Path
    rows: Sequence[dict[str, str]]
    """Of its results.csv."""
    split: str | None
    """That its table is of; None where there is no table."""

    @classmethod
    def read(cls, path: Path) -> "Swept | None":
        """The sweep of a folder; None of a folder that is none."""
        try:
            with (path / "results.csv").open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        except (OSError, ValueError, csv.Error):
            return None
        if not rows or not {"run", "chosen", "failure"} <= set(rows[0]):
            return None
        split = None
        with suppress(OSError, ValueError, KeyError, TypeError):
            split = str(json.loads((path / "comparison.json").read_bytes())["split"])
        return cls(path, rows, split)

    def tried(self) -> set[Path]:
        """Runs that a search has tried and not chosen."""
        names = (Path(row["run"]).name for row in self.rows if row["chosen"] == "False")
        return {(self.path / "runs" / name).resolve() for name in names}

    def notes(self) -> Iterator[str]:
        """What failed."""
        failed = [row for row in self.rows if row["failure"]]
        for row in failed[:_MOST_TOLD]:
            why = row["failure"]
            why = why if len(why) <= _LONGEST else f"{why[:_LONGEST]}…"
            yield f"{_label(row)}, failed: {why}"
        if failed:
            total = f"{counted(len(failed), 'trainings')} of {len(self.rows):,} failed"
            yield f"{total} in {self.path}; results.csv there has the reasons."


def _label(row: dict[str, str]) -> str:
    """A training by its settings that differ, which stand between its folder and `chosen`."""
    names = list(row)
    said = {name: row[name] for name in names[names.index("run") + 1 : names.index("chosen")]}
    first = " ".join(filter(None, (said.pop("head", ""), said.pop("features", ""))))
    return ", ".join([first, *(f"{name} {of}" for name, of in said.items() if of)])


def sweeps_among(paths: Sequence[Path]) -> list[Swept]:
    """Those of some folders that are sweeps."""
    return [found for found in map(Swept.read, paths) if found]


def split_of(sweeps: Sequence[Swept], paths: Sequence[Path]) -> str | None:
    """The split that all of some folders are judged on, where all are sweeps."""
    splits = {one.split for one in sweeps}
    return splits.pop() if len(sweeps) == len(paths) and len(splits) == 1 else None


def without_tried(
    found: Sequence[Finished], sweeps: Sequence[Swept]
) -> tuple[list[Finished], list[str]]:
    """Runs without those that were only tried; and how many those are."""
    tried = {path for one in sweeps for path in one.tried()}
    kept = [run for run in found if run.path.resolve() not in tried]
    left = len(found) - len(kept)
    note = f"Left out: {counted(left, 'runs')} that a search tried and did not choose."
    return kept, [note] * bool(left)

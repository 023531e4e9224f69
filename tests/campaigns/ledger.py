"""What was tried, a line of JSON a trial, so that an interrupted campaign goes on where it was."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypedDict

from tests.campaigns.process import Verdict

ROOT = Path(__file__).parents[2]
_CODE = ("src/egofeat", "extract", "heads", "pipelines", "tests/campaigns")
_SHOWN = 12


def code_digest() -> str:
    """Digest of all that is tried and of what tries it: trials of other code do not count."""
    digest = hashlib.sha256()
    for folder in _CODE:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".c", ".yaml"}:
                digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


class Entry(TypedDict):
    """A line of the ledger."""

    code: str
    row: str
    trial: str
    kinds: dict[str, int]
    bad: list[str]
    seconds: float


class Ledger:
    """The trials that were done on this code."""

    def __init__(self, path: Path, code: str) -> None:
        self._path, self._code = path, code
        self._rows: dict[tuple[str, str], Entry] = {}
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                row = json.loads(line)
            except ValueError:  # the process was killed while it wrote
                continue
            if row["code"] == code:
                self._rows[row["row"], row["trial"]] = row

    def __contains__(self, trial: tuple[str, str]) -> bool:
        return trial in self._rows

    def record(self, row: str, trial: str, verdicts: Iterable[Verdict], seconds: float) -> None:
        """Keep what a trial showed."""
        verdicts = list(verdicts)
        entry: Entry = {
            "code": self._code,
            "row": row,
            "trial": trial,
            "kinds": Counter(verdict.kind for verdict in verdicts),
            "bad": [f"{v.kind}: {v.detail}" for v in verdicts if v.bad],
            "seconds": round(seconds, 2),
        }
        self._rows[row, trial] = entry
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    @property
    def bad(self) -> list[str]:
        """Everything bad, a line each."""
        return [
            f"{row} {trial}: {said}"
            for (row, trial), entry in self._rows.items()
            for said in entry["bad"]
        ]

    def table(self) -> str:
        """One line a row: how many trials, what happened how often, how many were bad."""
        rows: dict[str, tuple[Counter[str], int, float]] = {}
        for (row, _), entry in self._rows.items():
            kinds, bad, seconds = rows.get(row, (Counter(), 0, 0.0))
            kinds = kinds + Counter(entry["kinds"])
            rows[row] = kinds, bad + len(entry["bad"]), seconds + entry["seconds"]
        lines = [("what", "tried", "bad", "seconds", "what happened")]
        for row, (kinds, bad, seconds) in rows.items():
            happened = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
            lines.append((row, f"{kinds.total():,}", f"{bad:,}", f"{seconds:,.0f}", happened))
        return _markdown(lines)

    def report(self) -> str:
        """The table, and the first of what was bad."""
        bad = self.bad
        shown = [f"bad: {line}" for line in bad[:_SHOWN]]
        more = [f"and {len(bad) - _SHOWN} more in {self._path}"] if len(bad) > _SHOWN else []
        return "\n".join([self.table(), *shown, *more])


def _markdown(lines: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    head, *rows = [
        "| "
        + " | ".join(
            [line[0].ljust(widths[0]), *(line[k].rjust(widths[k]) for k in (1, 2, 3)), line[4]]
        )
        + " |"
        for line in lines
    ]
    return "\n".join([head, "|---|--:|--:|--:|---|", *rows])

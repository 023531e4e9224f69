"""`make results`: run the studies whose data are here, and write the tables of docs/results.md.

    python studies/results.py run [NAME …]     # the studies of studies/list.yaml; or some of them
    python studies/results.py                  # the page alone, from what was found before

A study's table is copied to `studies/found/NAME.csv`; when, where and by which command it was made,
to `record.json` beside it. The page has marks, `<!-- results: NAME -->` to `<!-- end -->`: all
between them is written here, so that no figure is typed. Prose stays as it is.
"""

import csv
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/results.md"
FOUND = ROOT / "studies/found"
RECORD = FOUND / "record.json"
_MARK = re.compile(r"<!-- results: ([\w-]+) -->\n.*?<!-- end -->", re.DOTALL)
_NUMBER = re.compile(r"-?[\d.]+(e[-+]?\d+)?")
_UNITS = {
    "%": (100, ".1f"),
    "%+": (100, "+.1f"),
    "p": (1, ".3f"),
    "ms": (1, ".3g"),
    "s": (1, ".1f"),
    "of": (1, ".3g"),
    "M": (1e-6, ".3g"),
    "G": (1e-9, ".3g"),
    "MB": (1e-6, ".3g"),
}
"""Of columns: by what they are multiplied, and how they are said."""


def studies() -> dict[str, dict[str, Any]]:
    """Name to command, what it writes, what it needs, the columns of its table."""
    said: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "studies/list.yaml").read_text())
    return said


def main(words: Sequence[str]) -> int:
    """Run, and write the page; 1 where a study failed."""
    failed = run(words[1:]) if words[:1] == ["run"] else 0
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return failed


def run(names: Sequence[str]) -> int:
    """Run studies, and keep their tables; what lacks its data is said and left as it was."""
    known = studies()
    if unknown := [name for name in names if name not in known]:
        print(f"there is no study {unknown[0]}: choose of {', '.join(known)}")
        return 2
    failed = 0
    codes: dict[str, int] = {}
    """Of a command that makes several tables, which is given once."""
    loads: dict[str, float] = {}
    """Processes that the machine had beside it, of the minute before."""
    for name in names or known:
        if not (ROOT / known[name]["needs"]).exists():
            print(f"{name}: left out, {known[name]['needs']} is not here: see studies/list.yaml")
            continue
        command = known[name]["command"]
        print(f"{name}: {command}")
        words = [sys.executable, "-m", *shlex.split(command)]
        if command not in codes:
            loads[command] = round(os.getloadavg()[0], 1)
            codes[command] = subprocess.run(words, cwd=ROOT, check=False).returncode
        if codes[command]:
            print(f"{name}: failed, with exit status {codes[command]}")
            failed = 1
        else:
            keep(name, known[name], loads[command])
    return failed


def keep(name: str, study: Mapping[str, Any], load: float) -> None:
    """Copy a table that was made, and write down how."""
    made = ROOT / study["made"]
    table = made.read_bytes()
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    record[name] = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": _machine(made, study),
        "load": load,
        "study": digest_of(study),
        "table": hashlib.sha256(table).hexdigest(),
    }
    FOUND.mkdir(exist_ok=True)
    (FOUND / f"{name}.csv").write_bytes(table)
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def _machine(made: Path, study: Mapping[str, Any]) -> str:
    """As the timings beside a sweep's table say it, or the report beside a benchmark's."""
    report = ROOT / study.get("report", Path(study["made"]).with_suffix(".json"))
    for path in (made.with_name("timings.json"), report):
        if path.exists():
            return str(json.loads(path.read_text())["machine"])
    raise FileNotFoundError(f"nothing beside {made} says on which machine it was made")


def digest_of(study: Mapping[str, Any]) -> str:
    """Hexadecimal sha256 of the command and of the files of `studies/` that it names.

    The head of a file may change: comments and blank lines are left out.
    """
    text = study["command"]
    for word in shlex.split(text):
        if word.startswith("studies/"):
            text += json.dumps(yaml.safe_load((ROOT / word).read_text()), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def page(text: str) -> str:
    """The page with the tables of its marks; a mark of what was never run stays as it is."""
    records = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    return _MARK.sub(
        lambda found: _between(found[1], records[found[1]]) if found[1] in records else found[0],
        text,
    )


def _between(name: str, record: Mapping[str, Any]) -> str:
    study = studies()[name]
    with (FOUND / f"{name}.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if _wanted(row, study.get("rows", {}))]
    columns: dict[str, str] = study["columns"]
    lines = [
        f"| {' | '.join(columns)} |",
        f"|{'|'.join(['---', *['--:'] * (len(columns) - 1)])}|",
        *(f"| {' | '.join(_cell(row, how) for how in columns.values())} |" for row in rows),
    ]
    made = f"`{study['command']}`; {record['date']}, {record['machine']}"
    if "load" in record and study.get("timed"):
        made += f"; other processes at its beginning: {record['load']:g}"
    return "\n".join([f"<!-- results: {name} -->", *lines, "", f"*{made}.*", "<!-- end -->"])


def _wanted(row: Mapping[str, str], rows: Mapping[str, Any]) -> bool:
    return all(row[column] in map(str, values) for column, values in rows.items())


def _cell(row: Mapping[str, str], how: str) -> str:
    """`column`, or `column unit`, or two with ± or – between; a dash where nothing is known."""
    for sign, between in ((" ± ", " ± "), (" – ", "–")):
        if sign in how:
            first, second = (_cell(row, one) for one in how.split(sign))
            return first if second == "–" else f"{first}{between}{second}"
    column, _, unit = how.partition(" ")
    value = row[column]
    if not _NUMBER.fullmatch(value):
        return value.replace("|", "\\|") or "–"
    if unit:
        scale, form = _UNITS[unit]
        number = scale * float(value)
        said = f"{number:{',.0f' if form == '.3g' and number >= 999.5 else form}}"
        return "< 0.001" if unit == "p" and float(value) < 0.001 else said
    return f"{int(value):,}" if value.isdecimal() else value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

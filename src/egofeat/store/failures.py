"""failures-<worker>.jsonl: what could not be read, and why, a JSON object a line.

Each worker appends to its own file. A line that a killed worker left half written is
ignored, and taken away when that worker opens the store again.
"""

import json
import math
import os
from collections.abc import Collection, Iterable
from dataclasses import asdict
from pathlib import Path

from egofeat.store.files import replace_file, sync
from egofeat.store.rows import Failure, Key


def failures_path(store: Path, worker: str) -> Path:
    """Path of one worker's file."""
    return store / f"failures-{worker}.jsonl"


def append_failures(path: Path, failures: Iterable[Failure]) -> None:
    """Add failures and bring them to the disk."""
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(map(_line, failures)))
        file.flush()
        os.fsync(file.fileno())


def read_failures(path: Path) -> list[Failure]:
    """Failures of one file, without duplicates (the last reason counts), by video and start."""
    found: dict[Key, Failure] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            fields = json.loads(line)
        except json.JSONDecodeError:
            continue  # half written
        stop = math.inf if fields["stop"] is None else fields["stop"]
        failure = Failure(**{**fields, "stop": stop})
        found[failure.key] = failure
    return _ordered(found.values())


def write_failures(path: Path, failures: Collection[Failure], worker: str) -> None:
    """Put these failures in place of the file's; with none of them there is no file."""
    if failures:
        replace_file(path, "".join(map(_line, _ordered(failures))).encode(), worker)
    elif path.exists():
        path.unlink()
        sync(path.parent)


def all_failures(
    store: Path, done: Collection[Key], wanted: Collection[Key] | None
) -> list[Failure]:
    """List what any worker failed at that is still `wanted` (None: all) and not `done`."""
    found = {
        failure.key: failure
        for path in sorted(store.glob("failures-*.jsonl"))
        for failure in read_failures(path)
        if failure.key not in done and (wanted is None or failure.key in wanted)
    }
    return _ordered(found.values())


def _ordered(failures: Iterable[Failure]) -> list[Failure]:
    return sorted(failures, key=lambda failure: (failure.video, failure.start, failure.key))


def _line(failure: Failure) -> str:
    stop = None if math.isinf(failure.stop) else failure.stop
    return json.dumps(asdict(failure) | {"stop": stop}, ensure_ascii=False) + "\n"

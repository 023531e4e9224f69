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
    known = (f for path in sorted(store.glob("failures-*.jsonl")) for f in read_failures(path))
    return _ordered({f.key: f for f in still_missing(known, done, wanted)}.values())


def still_missing(
    failures: Iterable[Failure], done: Collection[Key] | None, wanted: Collection[Key] | None
) -> list[Failure]:
    """Those of segments that are wanted (None: all) and not done; lost windows of those that are.

    Windows that are lost of a video which is not done say nothing: it is tried anew as a whole.

    Args:
        failures: in any order, which is kept.
        done: segments in published shards; None where that is not known.
        wanted: segments that the manifest names.
    """
    done_ids = None if done is None else {key[0] for key in done}
    wanted_ids = None if wanted is None else {key[0] for key in wanted}

    def missing(failure: Failure) -> bool:
        if failure.windows:  # its times are those of the windows
            return all(ids is None or failure.id in ids for ids in (done_ids, wanted_ids))
        is_done = done is not None and failure.key in done
        return not is_done and (wanted is None or failure.key in wanted)

    return [failure for failure in failures if missing(failure)]


def _ordered(failures: Iterable[Failure]) -> list[Failure]:
    return sorted(failures, key=lambda failure: (failure.video, failure.start, failure.key))


def _line(failure: Failure) -> str:
    stop = None if math.isinf(failure.stop) else failure.stop
    return json.dumps(asdict(failure) | {"stop": stop}, ensure_ascii=False) + "\n"

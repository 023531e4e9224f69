"""failures-<worker>.jsonl: what could not be read, and why, a JSON object a line.

A line has the fields of a `Failure`, with null for a stop at the end of the video; `also` lists
other segments of its video that failed for the same reason, each `[id, start, stop]`, so that
a video of a thousand segments that is not there takes a line. Each worker appends to its own
file. What is no such line, as a killed worker may leave one half written, is told and passed
over, and taken away when that worker opens the store again.
"""

import json
import math
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from egofeat.errors import CAUSES, StoreError
from egofeat.store.damage import writing
from egofeat.store.files import replace_file, sync
from egofeat.store.rows import Failure, Key

Tell = Callable[[str], object]
"""Takes a sentence for a person."""

_MOST = 64 * 2**20
"""Bytes of a line; a longer one is none of ours."""
_WAS_MISSING = "does not exist: check the path, or 'media' of the manifest"
"""How lines without a cause, as there once were, said that it was `missing`."""


def _failures_of(line: bytes) -> Iterator[Failure]:
    """The failures that a line says.

    Raises:
        ValueError: it is no such line.
    """
    from egofeat.schema import parse  # noqa: PLC0415
    from egofeat.store.schemas import FailureLine  # noqa: PLC0415

    said = parse(FailureLine, line)
    cause = said.cause or ("missing" if said.reason.endswith(_WAS_MISSING) else "damaged")
    for id_, start, stop in ((said.id, said.start, said.stop), *said.also):
        yield Failure(
            id=id_,
            video=said.video,
            start=start,
            stop=math.inf if stop is None else stop,
            reason=said.reason,
            cause=cause,
            windows=said.windows,
            file=said.file,
        )


def failures_path(store: Path, worker: str) -> Path:
    """Path of one worker's file."""
    return store / f"failures-{worker}.jsonl"


def append_failures(path: Path, failures: Iterable[Failure]) -> None:
    """Add failures and bring them to the disk.

    Raises:
        StoreError: the disk refuses.
    """
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write("".join(_lines(failures)))
        file.flush()
        os.fsync(file.fileno())


def read_failures(path: Path, tell: Tell = bool) -> list[Failure]:
    """Failures of one file, without duplicates (the last reason counts), by video and start.

    Args:
        path: of the file.
        tell: takes a sentence on what in it is passed over.

    Raises:
        StoreError: the disk does not give the file.
    """
    if not path.is_file():
        tell(f"{path} is not a file and is skipped: remove it")
        return []
    found: dict[tuple[Key, bool], Failure] = {}
    bad = 0
    try:
        for line in _raw_lines(path):
            try:
                found |= {_place(failure): failure for failure in _failures_of(line)}
            except ValueError:
                bad += 1
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}): try again") from None
    if bad:
        lines = (
            "1 line that is not a failure is"
            if bad == 1
            else f"{bad} lines that are not failures are"
        )
        tell(f"{path}: {lines} skipped, as a killed run may leave one")
    return _ordered(found.values())


def write_failures(path: Path, failures: Collection[Failure], worker: str) -> None:
    """Put these failures in place of the file's; with none of them there is no file."""
    if failures:
        replace_file(path, "".join(_lines(_ordered(failures))).encode(), worker)
    elif path.is_file():
        path.unlink()
        sync(path.parent)


def forget_failures(path: Path, forgotten: Collection[Key], worker: str) -> None:
    """Leave failures of these segments out of a file; what others append meanwhile stays in it.

    Raises:
        StoreError: the disk refuses.
    """
    try:
        with path.open("rb") as before:
            read = os.fstat(before.fileno()).st_size
            failures = read_failures(path)
            kept = [failure for failure in failures if failure.key not in forgotten]
            if len(kept) < len(failures):
                write_failures(path, kept, worker)
                before.seek(read)
                if appended := before.read():
                    with writing(path), path.open("ab") as file:
                        file.write(appended)
                        file.flush()
                        os.fsync(file.fileno())
    except FileNotFoundError:  # whoever wrote it has nothing to tell any more
        return


def all_failures(
    store: Path, done: Collection[Key], wanted: Collection[Key] | None, tell: Tell = bool
) -> list[Failure]:
    """List what any worker failed at that is still `wanted` (None: all) and not `done`."""
    found: dict[tuple[Key, bool], Failure] = {}
    for path in sorted(store.glob("failures-*.jsonl")):
        for one in still_missing(read_failures(path, tell), done, wanted):
            before = found.get(_place(one), one)
            # Of two workers' reasons, the one that another try does not mend.
            found[_place(one)] = min(one, before, key=lambda f: CAUSES.index(f.cause))
    return _ordered(found.values())


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


def _place(failure: Failure) -> tuple[Key, bool]:
    """Failures of one place are one: a segment as a whole, or windows of it."""
    return failure.key, failure.windows > 0


def _ordered(failures: Iterable[Failure]) -> list[Failure]:
    return sorted(failures, key=lambda failure: (failure.video, failure.start, failure.key))


def _raw_lines(path: Path) -> Iterator[bytes]:
    """Lines that are not empty, each cut to what is too much."""
    with path.open("rb") as file:
        begins = True
        while piece := file.readline(_MOST):
            if begins and piece.strip():
                yield piece
            begins = piece.endswith(b"\n")


def _lines(failures: Iterable[Failure]) -> Iterator[str]:
    """Lines of failures, those of a video for one reason together."""
    together: dict[tuple[object, ...], list[Failure]] = {}
    for one in failures:
        apart = one.key if one.windows else None
        alike = (one.video, one.reason, one.cause, one.file, apart)
        together.setdefault(alike, []).append(one)
    for first, *others in together.values():
        fields: dict[str, Any] = vars(first) | {"stop": _stop(first)}
        if others:
            fields["also"] = [[one.id, one.start, _stop(one)] for one in others]
        yield json.dumps(fields, ensure_ascii=False) + "\n"


def _stop(failure: Failure) -> float | None:
    return None if math.isinf(failure.stop) else failure.stop

"""Files of a run: each whole or absent, with its sha256 in SHA256SUMS.

At every instant a line of SHA256SUMS is right or absent: it is taken out before its file is
replaced, and put in again when the new one stands. `sha256sum -c SHA256SUMS` reads it too.
"""

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from egofeat.errors import EgofeatError
from egofeat.heads.checkpoint import WORKER
from egofeat.names import check_name
from egofeat.store.bounded import read_bounded
from egofeat.store.files import replace_file, sync

SUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  ([^/\0]+)")
_MOST_SUMS = 1 << 20


def write_file(path: Path, content: bytes) -> None:
    """Put a file into a run's folder, over an older one, and its digest into SHA256SUMS.

    Raises:
        RequestError: its name cannot be one.
        StoreError: the disk refuses.
    """
    check_name(path.name, "file")
    forget(path)
    replace_file(path, content, WORKER)
    _change(path, hashlib.sha256(content).hexdigest())


def forget(path: Path) -> None:
    """Take out a file's digest, before the file is changed in place."""
    if path.name in digests(path.parent):
        _change(path, None)


def remember(path: Path) -> None:
    """Put in the digest of a file as it stands."""
    with path.open("rb") as file:
        _change(path, hashlib.file_digest(file, "sha256").hexdigest())


def compare(path: Path, content: bytes, mend: str) -> None:
    """Compare what was read of a file with its digest, if it has one.

    Args:
        path: of the file.
        content: all of it.
        mend: ends the sentence of one that was altered.

    Raises:
        EgofeatError: it was altered.
    """
    expected = digests(path.parent).get(path.name)
    if expected is not None and hashlib.sha256(content).hexdigest() != expected:
        raise EgofeatError(f"{path} was altered after it was written: {mend}")


def digests(folder: Path) -> dict[str, str]:
    """File names to hexadecimal sha256, as SHA256SUMS of a run's folder has them.

    A run of before there was one has none.

    Raises:
        EgofeatError: it is damaged.
    """
    path = folder / SUMS
    try:
        lines = read_bounded(path, _MOST_SUMS).decode().splitlines()
    except FileNotFoundError:
        return {}
    except ValueError:
        lines = [""]
    found = [_LINE.fullmatch(line) for line in lines]
    named = {match[2]: match[1] for match in found if match}
    if len(named) < len(lines):
        raise EgofeatError(
            f"{path} is damaged: restore a copy of it, or remove it if nothing of the run needs "
            "to be compared with what was written"
        )
    return named


def _change(path: Path, digest: str | None) -> None:
    """Put in a file's digest, or take it out; one process after the other."""
    folder = path.parent
    with _alone(folder):
        named = {name: of for name, of in digests(folder).items() if name != path.name}
        if digest is not None:
            named[path.name] = digest
        if named:
            lines = "".join(f"{of}  {name}\n" for name, of in sorted(named.items()))
            replace_file(folder / SUMS, lines.encode(), WORKER)
        else:
            (folder / SUMS).unlink(missing_ok=True)
            sync(folder)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a folder against others that change its SHA256SUMS, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

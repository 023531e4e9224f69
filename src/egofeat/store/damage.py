"""What is wrong with a file of a store, in one sentence: it is damaged, or the system failed.

A stranger may have made it, so nothing is opened that is no plain file, and nothing is believed
to be larger than its file has bytes for.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from egofeat.errors import StoreError

_SYSTEM = frozenset(
    getattr(errno, name)
    for name in (
        *("EIO", "ESTALE", "ETIMEDOUT", "ENOMEM", "EMFILE", "ENFILE", "EACCES", "EPERM"),
        *("EINTR", "EAGAIN", "EBUSY", "ENXIO", "ENODEV", "ENOTCONN", "ECONNRESET"),
        *("ECONNREFUSED", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "EREMOTEIO"),
    )
    if hasattr(errno, name)
)
"""What a disk or a system says of itself and not of the file."""
RATIO = 1 << 16
"""Times that a compressed array may be larger than its file: zstd says 128 KiB of one byte in
some 4, gzip makes 1,032 bytes of one."""


class MovedError(StoreError):
    """A shard was removed, joined with others or replaced while it was read: nothing is damaged."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} was removed or replaced while it was read: give the command again when "
            "nothing else changes the store"
        )


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong inside a damaged shard into a StoreError that names it.

    Raises:
        MovedError: the shard is not the one that stood there at the beginning, or is gone.
        StoreError: it is damaged, or cannot be read.
    """
    before = _identity(path)
    try:
        yield
    except StoreError:
        raise
    # A damaged file makes the libraries that read it raise whatever there is.
    except Exception as error:
        if before is None or _identity(path) != before:
            raise MovedError(f"shard {path}") from None
        reason = " ".join(str(error).split())[:300]  # HDF5 speaks in several lines
        if isinstance(error, MemoryError) or getattr(error, "errno", None) in _SYSTEM:
            raise StoreError(
                f"shard {path} cannot be read ({reason or 'no memory'}): repair the disk or raise "
                "the limit, and give the command again"
            ) from None
        raise StoreError(
            f"shard {path} is damaged ({reason}): delete it and run `egofeat extract` again, or "
            "for persons `egofeat roi`, which makes only what is missing"
        ) from None


def _identity(path: Path) -> tuple[int, ...] | None:
    """What tells one file or folder of a name from the next; None where there is nothing."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what a disk refuses into a StoreError that names the file that was to be written."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror or error}): correct that and give the "
            "command again, which resumes"
        ) from None


class PlainFiles:
    """The files of a shard that neither are links nor are reached by one.

    Args:
        root: the shard, a file or a folder; what it lies in is not looked at.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: set[str] = set()

    def size(self, name: str = "") -> int:
        """Size in bytes of the file of this name below the root; without one, of the root.

        Raises:
            ValueError: it is a link, a folder, a pipe, a device or a socket, or behind a link.
            OSError: it is not there.
        """
        where = os.fspath(self.root)
        for part in name.split("/") if name else ():
            if where not in self._folders:
                if not stat.S_ISDIR(os.lstat(where).st_mode):
                    raise ValueError(f"{where} is a link, or no folder")
                self._folders.add(where)
            where = f"{where}/{part}"
        found = os.lstat(where)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{where} is no plain file")
        return found.st_size


def open_plain(path: Path | str) -> tuple[int, int]:
    """Open a file for reading: its descriptor, which the caller closes, and its bytes.

    Raises:
        ValueError: it is a folder, a pipe, a device or a socket; nothing is waited for.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode):
        return descriptor, found.st_size
    os.close(descriptor)
    raise ValueError(f"{path} is no plain file")

"""Files that are whole or absent, whatever instant the process is killed at.

A file is written beside its place under a temporary name, synchronised to the disk
and renamed; then the folder that holds the name is synchronised too. The temporary
name says whose it is, so that the next run of a killed worker knows what to remove.
"""

import contextlib
import ctypes
import errno
import functools
import hashlib
import os
import shutil
import socket
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from egofeat.store.damage import writing

PREFIX = ".tmp~"
"""Start of every temporary name."""
WORK = ".work"
"""Folder of a store in which those who write to it share out the work; no part of the store."""
_HERE = -100
"""`AT_FDCWD`: relative paths are relative to the working folder."""
_EXCHANGE = 2
"""`RENAME_EXCHANGE`."""


def temporary_path(path: Path, worker: str) -> Path:
    """Where to write what will be renamed to `path`."""
    return path.with_name(f"{PREFIX}{worker}~{this_machine()}~{os.getpid()}~{path.name}")


class Strangers:
    """Temporary files of other machines' processes in some folders, which may be dead."""

    def __init__(self, folders: Iterable[Path]) -> None:
        found = (path for folder in folders for path in folder.glob(f"{PREFIX}*"))
        self._seen = {path: _changes(path) for path in found if _owner(path)[0] != this_machine()}
        self._since = time.monotonic()

    def remove(self, lease: float, living: Collection[tuple[str, int]]) -> None:
        """Remove what did not change for the seconds of a lease, and is of nobody who lives.

        Args:
            lease: seconds.
            living: machines and numbers of processes that are known to live.
        """
        if time.monotonic() - self._since < lease:
            return
        for path, before in self._seen.items():
            if _owner(path) not in living and before and _changes(path) == before:
                with contextlib.suppress(OSError):
                    remove(path)


def is_of_the_living(path: Path) -> bool:
    """Whether a temporary name is that of a process of this host that lives."""
    host, pid = _owner(path)
    return host == this_machine() and is_running(pid)


def remove_leftovers(folder: Path, worker: str) -> None:
    """Remove what killed processes of this machine left, and what `worker` of this process did.

    Whether a process of another host still lives cannot be known at once: what it left is for
    `Strangers`, and `verify` tells of it.
    """
    own = f"{PREFIX}{worker}~{this_machine()}~{os.getpid()}~"
    for path in folder.glob(f"{PREFIX}*"):
        host, pid = _owner(path)
        if path.name.startswith(own) or (host == this_machine() and not is_running(pid)):
            with contextlib.suppress(FileNotFoundError):  # another was quicker
                remove(path)


def remove(path: Path) -> None:
    """Remove a file, or a folder with everything in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def remove_at_last(path: Path, seconds: float = 1.0) -> None:
    """Remove what a failed write left, while threads of a library may still add to it.

    What cannot be removed stays, for the worker's next run to remove.
    """
    end = time.monotonic() + seconds
    while path.exists() and time.monotonic() < end:
        with contextlib.suppress(OSError):
            remove(path)
        time.sleep(0.01)


def replace_file(path: Path, content: bytes, worker: str = "1of1") -> None:
    """Put `content` at `path`, over what stood there.

    Raises:
        StoreError: the disk refuses.
    """
    with writing(path):
        temporary = _write_temporary(path, content, worker)
        temporary.replace(path)
        sync(path.parent)


@contextlib.contextmanager
def replacing(path: Path, worker: str = "1of1") -> Iterator[Path]:
    """Give a temporary file to write, too large for the memory, which then takes its place.

    Whoever writes it closes it, synchronises it and reads it back inside the block.

    Raises:
        StoreError: the disk refuses.
    """
    temporary = temporary_path(path, worker)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        sync(path.parent)


def create_file(path: Path, content: bytes, worker: str) -> None:
    """Put `content` at `path` unless something stands there.

    Raises:
        StoreError: the disk refuses.
    """
    if path.exists():
        return
    with writing(path):
        temporary = _write_temporary(path, content, worker)
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            pass
        except OSError:
            # Some network and portable file systems have no hard links. There two first
            # writers may both succeed; the last one stays, and is as whole as the other.
            temporary.replace(path)
        temporary.unlink(missing_ok=True)
        sync(path.parent)


def copy(path: Path, other: Path) -> None:
    """Copy a file, or a folder with everything in it, to where nothing stands."""
    (shutil.copytree if path.is_dir() else shutil.copyfile)(path, other)


def publish(temporary: Path, path: Path, worker: str) -> None:
    """Give a file or folder that is whole on the disk its name, whatever stood there."""
    while True:
        try:
            temporary.replace(path)
            break
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        # A folder that is not empty cannot be renamed over: the two change places, or where that
        # cannot be, the old one steps aside, and is absent for an instant.
        if exchange(temporary, path):
            shutil.rmtree(temporary)
            break
        retired = temporary_path(path.with_name(f"old~{path.name}"), worker)
        with contextlib.suppress(FileNotFoundError):  # another worker was quicker
            path.rename(retired)
            shutil.rmtree(retired)
    sync(path.parent)


def exchange(one: Path, other: Path) -> bool:
    """Let two names change what they name, in one instant; whether the system can."""
    swap = getattr(ctypes.CDLL(None), "renameat2", None)
    if swap is None:
        return False
    return bool(swap(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)


def sync_tree(path: Path) -> None:
    """Bring a file, or a folder with everything in it, to the disk."""
    for folder, _, names in os.walk(path, topdown=False):
        for name in names:
            sync(Path(folder) / name)
        sync(Path(folder))
    if path.is_file():
        sync(path)


def sync(path: Path) -> None:
    """Bring one file's bytes, or one folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot synchronise folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def _write_temporary(path: Path, content: bytes, worker: str) -> Path:
    temporary = temporary_path(path, worker)
    try:
        temporary.write_bytes(content)
        sync(temporary)
        if temporary.read_bytes() != content:
            raise OSError(errno.EIO, "it reads back other bytes than were written")
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    return temporary


def _changes(path: Path) -> list[tuple[str, int, int]]:
    """What changes when a file, or anything in a folder, is written to; empty: it is not there."""
    found = []
    with contextlib.suppress(OSError):
        for one in [path, *path.rglob("*")]:
            there = one.stat()
            found.append((str(one), there.st_size, there.st_mtime_ns))
    return found


def _owner(path: Path) -> tuple[str, int]:
    """Host and number of the process that a temporary name is of; 0 where it is of none."""
    _, _, host, pid, *_ = [*path.name.split("~", 4), "", "", "", ""]
    return host, int(pid) if pid.isascii() and pid.isdigit() and len(pid) < 10 else 0


@functools.cache
def this_machine() -> str:
    """What processes have in common that see each other's numbers, in 8 characters."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):  # Linux: since when it runs, and which processes it sees
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def is_running(pid: int) -> bool:
    """Whether there is a process of this number on this machine; a zombie is none."""
    if pid == 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    with contextlib.suppress(OSError, IndexError):  # Linux tells more
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True

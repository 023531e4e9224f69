"""Files that are whole or absent, whatever instant the process is killed at.

A file is written beside its place under a temporary name, synchronised to the disk
and renamed; then the folder that holds the name is synchronised too. The temporary
name says whose it is, so that the next run of a killed worker knows what to remove.
"""

import hashlib
import os
import shutil
import socket
from pathlib import Path

PREFIX = ".tmp~"
"""Start of every temporary name."""


def temporary_path(path: Path, worker: str) -> Path:
    """Where to write what will be renamed to `path`."""
    return path.with_name(f"{PREFIX}{worker}~{_host()}~{os.getpid()}~{path.name}")


def remove_leftovers(folder: Path, worker: str) -> None:
    """Remove what a killed run of `worker` left on this host.

    Whether a process of another host still lives cannot be known: what it left stays, and
    `verify` tells of it.
    """
    for path in folder.glob(f"{PREFIX}{worker}~*"):
        _, _, host, pid, _ = path.name.split("~", 4)
        if host != _host() or (int(pid) != os.getpid() and _is_alive(int(pid))):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def replace_file(path: Path, content: bytes, worker: str = "1of1") -> None:
    """Put `content` at `path`, over what stood there."""
    temporary = _write_temporary(path, content, worker)
    temporary.replace(path)
    sync(path.parent)


def create_file(path: Path, content: bytes, worker: str) -> None:
    """Put `content` at `path` unless something stands there."""
    if path.exists():
        return
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
    finally:
        os.close(descriptor)


def _write_temporary(path: Path, content: bytes, worker: str) -> Path:
    temporary = temporary_path(path, worker)
    temporary.write_bytes(content)
    sync(temporary)
    return temporary


def _host() -> str:
    """Name this machine in 8 characters; its own name may leave no room for the file's."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True

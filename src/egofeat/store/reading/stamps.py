"""What tells a file that was changed from one that was not, without reading it."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_RACY = 2 * 10**9
"""Nanoseconds: no file system counts its times in coarser steps."""
_FIELDS = 5
NONE = (0,) * _FIELDS
"""Of a file that is not there."""


def stamp_of(found: os.stat_result) -> tuple[int, ...]:
    """Size, times of modification and of change in nanoseconds, inode, and kind of a file."""
    inode = found.st_ino & (1 << 62) - 1
    kind = stat.S_IFMT(found.st_mode)
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, inode, kind


def stamp_at(path: Path) -> tuple[int, ...]:
    """Stamp of what stands at a path; `NONE` of nothing."""
    try:
        return stamp_of(path.stat())
    except OSError:
        return NONE


def settled(stamps: NDArray[np.int64], taken: int) -> NDArray[np.bool_]:
    """Whether each stamp, taken at `taken` or later by the disk's clock, tells any change since.

    What was changed just before may be changed again in the same step of the clock.
    """
    return np.asarray((stamps[..., 2] < taken - _RACY) & (stamps[..., 4] > 0))


@dataclass(frozen=True)
class Listed:
    """The shards in a folder by name, and the stamp of each."""

    names: NDArray[np.str_]
    stamps: NDArray[np.int64]
    """[shards, 5] as `stamp_of` has them."""

    @classmethod
    def of(cls, folder: Path, fits: Callable[[str], bool], head: str = "") -> "Listed":
        """See what is there, of names that fit; a link is itself, not what it leads to.

        Args:
            folder: that holds the shards.
            fits: whether a name is that of a shard.
            head: file of a shard that is a folder, whose stamp is the shard's.
        """
        found: dict[str, tuple[int, ...]] = {}
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if fits(entry.name):
                        found[entry.name] = _stamp(entry, head)
        except FileNotFoundError:
            pass
        names = sorted(found)
        stamps = np.array([found[name] for name in names], np.int64).reshape(-1, _FIELDS)
        return cls(np.array(names, np.str_), stamps)


def _stamp(entry: os.DirEntry[str], head: str) -> tuple[int, ...]:
    try:
        if not head or not entry.is_dir(follow_symlinks=False):
            return stamp_of(entry.stat(follow_symlinks=False))
        # A folder's own times do not tell that a file in it was written over.
        return stamp_of(os.lstat(f"{entry.path}/{head}"))
    except OSError:
        return NONE

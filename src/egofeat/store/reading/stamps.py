"""What tells a file that was changed from one that was not, without reading it."""

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import StoreError
from egofeat.store.damage import MovedError, reading

TIMES = 8
"""How often something is tried while other processes change the store."""
_RACY = 2 * 10**9
"""Nanoseconds: no file system counts its times in coarser steps."""
_TICK = 2 * 10**7
"""Nanoseconds, more than a step of the times of a file system that can tell two changes apart."""
FIELDS = 5
NONE = (0,) * FIELDS
"""Of a file that is not there."""
_OF_CONTENT = (0, 1, 3, 4)
"""Fields that another name for a file, a hard link, leaves as they are."""


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


class Seen(NamedTuple):
    """A shard as it was when the store was listed."""

    path: str
    head: str
    """See `Listed.of`."""
    stamp: tuple[int, ...]

    def check(self) -> None:
        """Refuse a shard of that name that is another one.

        Raises:
            MovedError: it is, or there is none.
        """
        now = _stamp(self.path, self.head)
        if any(now[field] != self.stamp[field] for field in _OF_CONTENT):
            raise MovedError(f"shard {self.path}")

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Read of this very shard, and of no other of its name.

        Raises:
            MovedError: it was removed or replaced.
            StoreError: it is damaged.
        """
        try:
            with reading(Path(self.path)):
                yield
        except StoreError:
            self.check()
            raise
        self.check()


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

        Raises:
            MovedError: shards are removed all the time.
        """
        names = sorted(_names(folder, fits))
        found = [_stamp(f"{folder}/{name}", head) for name in names]
        stamps = np.array(found, np.int64).reshape(-1, FIELDS)
        return cls(np.array(names, np.str_), stamps)


def _names(folder: Path, fits: Callable[[str], bool]) -> set[str]:
    """What is in a folder, and nothing left out that was there all the time, under any name.

    What is joined is published before what it was joined of is removed; a listing during which
    both happen may have seen neither. One that follows it sees what was published.
    """
    last: set[str] | None = None
    for _ in range(TIMES):
        try:
            before, began = folder.stat().st_mtime_ns, time.time_ns()
            with os.scandir(folder) as entries:
                found = {entry.name for entry in entries if fits(entry.name)}
            at_rest = before == folder.stat().st_mtime_ns and before < began - _TICK
        except FileNotFoundError:
            return set()
        if at_rest or (last is not None and last <= found):
            return found
        last = found
    raise MovedError(f"a shard in {folder}")


def _stamp(path: str, head: str) -> tuple[int, ...]:
    try:
        found = os.lstat(path)
        # A folder's own times do not tell that a file in it was written over.
        if head and stat.S_ISDIR(found.st_mode):
            found = os.lstat(f"{path}/{head}")
        return stamp_of(found)
    except OSError:
        return NONE

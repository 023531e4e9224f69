"""What a shard format must do, so that HDF5 and Zarr are read and written alike.

A shard holds for each tap one array [rows, *row_shape] with the times of each row and the
crc32 of its bytes and, a segment each, what it is: id, video, start, stop, clipped. A segment
is one row, or in a flat store those that the offsets say. Where rows are persons there is a box
and a score each, with the crc32 of their bytes.
"""

import contextlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import StoreError
from egofeat.store.rows import Key, ShardRows, keys

PERSON_COLUMNS: Mapping[str, tuple[int, ...]] = {"boxes": (4,), "scores": ()}
"""What a shard of persons has beside its taps, float32, to the shape of a row's part."""


@dataclass(frozen=True)
class Place:
    """Where the bytes of an array lie, one after the other in C order, little endian."""

    file: Path
    offset: int


@dataclass(frozen=True)
class TapArray:
    """An array of a shard, not yet read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    place: Place | None
    """None: compressed or chunked, and so readable through the library only."""


@dataclass(frozen=True)
class Shard:
    """What a shard says that it holds."""

    path: Path
    ids: Sequence[str]
    videos: Sequence[str]
    starts: NDArray[np.float64]
    stops: NDArray[np.float64]
    clipped: NDArray[np.bool_]
    taps: Mapping[str, TapArray]
    offsets: NDArray[np.int64] | None
    """Of a flat store; as they stand in the file, not yet checked."""
    of_persons: Mapping[str, TapArray]
    """What there is of `PERSON_COLUMNS`, not yet checked."""

    @property
    def name(self) -> str:
        """Name of the shard, without the format's suffix."""
        return self.path.stem


@dataclass(frozen=True)
class ShardFormat:
    """A way to lay a shard on the disk."""

    suffix: str
    compressors: tuple[str, ...]
    write: Callable[[Path, ShardRows, str | None], None]
    """Write rows, compressed or not, to a path where nothing stands. Same rows, same bytes."""
    open: Callable[[Path], Shard]
    read: Callable[[Path, str, NDArray[np.int64] | slice | None], NDArray[Any]]
    """Read rows (None: all) of the array `times`, `boxes`, `scores`, `crc32/<tap>`, `crc32/boxes`,
    `crc32/scores` or `taps/<tap>`."""


def segments_in(shards: Iterable[Shard]) -> set[Key]:
    """Every segment that stands in one of the shards."""
    return {key for shard in shards for key in keys(shard.ids, shard.starts, shard.stops)}


def checksums(rows: NDArray[Any]) -> NDArray[np.uint32]:
    """Crc32 of the bytes of each row, [rows]."""
    flat = rows.reshape(len(rows), -1).view(np.uint8)
    return np.array([zlib.crc32(row.data) for row in flat], dtype=np.uint32)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong inside a damaged shard into a StoreError that names it."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())  # HDF5 speaks in several lines
        raise StoreError(
            f"shard {path} is damaged ({reason}): delete it and run `egofeat extract` again, or "
            "for persons `egofeat roi`, which makes only what is missing"
        ) from None

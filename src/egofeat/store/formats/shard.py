"""What a shard format must do, so that HDF5 and Zarr are read and written alike.

A shard holds for each tap one array [rows, *row_shape] with the times of each row and the
crc32 of its bytes and, a segment each, what it is: id, video, start, stop, clipped. A segment
is one row, or in a flat store those that the offsets say. Where rows are persons there is a box
and a score each, with the crc32 of their bytes. What made the shard stands in it too, and a
checksum of everything but the features, whose rows have their own.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from egofeat.store.damage import reading
from egofeat.store.formats.checksums import Column, check, checksum, checksums
from egofeat.store.rows import ShardRows

PERSON_COLUMNS: Mapping[str, tuple[int, ...]] = {"boxes": (4,), "scores": ()}
"""What a shard of persons has beside its taps, float32, to the shape of a row's part."""

_DTYPES = {
    "start": "<f8",
    "stop": "<f8",
    "clipped": "|b1",
    "times": "<f8",
    "offsets": "<i8",
    "media_stamps": "<i8",
    "boxes": "<f4",
    "scores": "<f4",
}

_TEXTS = ("ids", "videos")
_OPTIONAL = ("offsets", "media_stamps")
_SEGMENTS = (*_TEXTS, "start", "stop", "clipped", *_OPTIONAL)
OPENED = (*_SEGMENTS, "made_with", "taps")
"""What is read, and held against its checksum, when a shard is opened."""


def _dtype_of(column: str) -> np.dtype[Any]:
    return np.dtype("<u4" if column.startswith("crc32/") else _DTYPES[column])


@dataclass(frozen=True)
class Place:
    """Where the bytes of an array lie, one after the other in C order, little endian."""

    file: Path
    offset: int


@dataclass(frozen=True)
class TapArray:
    """An array of a shard, not yet read; it takes no more room than its file has bytes for."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    place: Place | None
    """None: compressed or chunked, and so readable through the library only."""


@dataclass(frozen=True)
class Content:
    """All that is laid down in a shard, in this order."""

    texts: Mapping[str, Sequence[str]]
    columns: Mapping[str, NDArray[Any]]
    """A part a segment or a row each, never compressed."""
    taps: Mapping[str, NDArray[Any]]
    """The features; their arrays are named `taps/<tap>`. All numbers are little endian."""
    made_with: Mapping[str, str]
    checksums: Mapping[str, int]
    """Of `texts`, `columns`, `made_with` and what the taps are."""

    @property
    def notes(self) -> dict[str, dict[str, Any]]:
        """What JSON can say of the shard as a whole, by name."""
        return {"made_with": dict(self.made_with), "checksums": dict(self.checksums)}

    @classmethod
    def of(cls, rows: ShardRows, made_with: Mapping[str, str]) -> Self:
        """Lay out rows."""
        taps = {
            tap: values.astype(values.dtype.newbyteorder("<"), copy=False)
            for tap, values in rows.taps.items()
        }
        columns: dict[str, NDArray[Any] | None] = {
            "start": rows.starts,
            "stop": rows.stops,
            "clipped": rows.clipped,
            "times": rows.times,
            "offsets": rows.offsets,
            "media_stamps": rows.media_stamps,
            **{f"crc32/{name}": checksums(column) for name, column in rows.person_columns.items()},
            **rows.person_columns,
            **{f"crc32/{tap}": checksums(values) for tap, values in taps.items()},
        }
        texts = {"ids": list(rows.ids), "videos": list(rows.videos)}
        laid = {
            name: np.ascontiguousarray(column, _dtype_of(name))
            for name, column in columns.items()
            if column is not None
        }
        said: dict[str, Any] = {**texts, **laid, "made_with": dict(made_with), "taps": _kinds(taps)}
        return cls(texts, laid, taps, made_with, {name: checksum(of) for name, of in said.items()})


def _kinds(taps: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {tap: [array.dtype.str, *array.shape] for tap, array in taps.items()}


@dataclass(frozen=True)
class Shard:
    """What a shard says that it holds; its columns have the lengths that they must."""

    path: Path
    ids: Sequence[str]
    videos: Sequence[str]
    starts: NDArray[np.float64]
    stops: NDArray[np.float64]
    clipped: NDArray[np.bool_]
    taps: Mapping[str, TapArray]
    offsets: NDArray[np.int64] | None
    """Of a flat store; they rise from 0 to the number of rows."""
    person_columns: Mapping[str, TapArray]
    """What there is of `PERSON_COLUMNS`."""
    media_stamps: NDArray[np.int64] | None
    """[segments, 4] as `ShardRows` has them; None where they are not known."""
    made_with: Mapping[str, str]
    """What made it: versions of libraries, device, host; empty where it does not say."""
    checksums: Mapping[str, int] | None
    """Of everything but the features; None in a shard that was written before there were any."""

    @property
    def name(self) -> str:
        """Name of the shard, without the format's suffix."""
        return self.path.stem

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return len(self.ids) if self.offsets is None else int(self.offsets[-1])

    def tap(self, name: str, row_shape: Sequence[int], dtype: str) -> TapArray:
        """Find the array of a tap.

        Raises:
            ValueError: it is absent, or not of this shape and dtype.
        """
        array, shape = self.taps.get(name), (self.rows, *row_shape)
        if array is None or array.shape != shape or array.dtype != dtype:
            raise ValueError(f"its tap {name} is not {dtype} {shape}")
        return array


class ShardFile(Protocol):
    """A shard that is open for reading.

    A stranger may have made it: nothing may be believed to be larger than its file has bytes for.
    What is wrong may raise anything; whoever asks names the shard.
    """

    def names(self) -> Collection[str]:
        """Names of all arrays, `start` and `taps/<tap>` among them."""

    def array(self, name: str) -> TapArray:
        """What an array is and where its bytes lie, without reading it."""

    def read(self, name: str, rows: NDArray[np.int64] | slice | None = None) -> NDArray[Any]:
        """Read rows of an array; None reads all."""

    def text(self, name: str) -> list[str]:
        """Read a column of texts."""

    def note(self, name: str) -> Any:
        """What was noted under a name; None where nothing was."""


class ShardFormat(ABC):
    """A way to lay arrays, texts and notes on the disk; which there are is not its concern."""

    suffix: str
    """Of a shard's file or folder, with the dot."""
    compressors: tuple[str, ...] = ()
    head: str = ""
    """Of a shard that is a folder, the file in it that holds the checksums of the others."""

    @abstractmethod
    def write(self, path: Path, content: Content, compress: str | None) -> None:
        """Write to a path where nothing stands, `content.taps` compressed or not.

        Same content, same bytes. What the system refuses is an OSError.
        """

    @abstractmethod
    def opened(self, path: Path) -> AbstractContextManager[ShardFile]:
        """Open a shard for reading."""

    def open(self, path: Path) -> Shard:
        """See what a shard holds.

        Raises:
            StoreError: it is damaged.
        """
        with reading(path), self.opened(path) as file:
            return _shard(path, file)

    def read(
        self, path: Path, name: str, rows: NDArray[np.int64] | slice | None = None
    ) -> NDArray[Any]:
        """Read rows of an array, not held against a checksum; None reads all.

        Raises:
            StoreError: the shard is damaged.
        """
        with reading(path), self.opened(path) as file:
            if not name.startswith("taps/"):
                _check_dtype(file, name)
            return file.read(name, rows)


def _check_dtype(file: ShardFile, name: str) -> None:
    if (found := file.array(name).dtype) != _dtype_of(name):
        raise ValueError(f"its {name} is {found}")


def _column(file: ShardFile, name: str, there: Collection[str]) -> Column | None:
    if name in _TEXTS:
        return file.text(name)
    if name in _OPTIONAL and name not in there:
        return None
    _check_dtype(file, name)
    return file.read(name)


def _shard(path: Path, file: ShardFile) -> Shard:
    recorded, made_with = file.note("checksums"), file.note("made_with")
    there = sorted(file.names())
    taps = {name[5:]: file.array(name) for name in there if name.startswith("taps/")}
    found: dict[str, Any] = {name: _column(file, name, there) for name in _SEGMENTS}
    for name, values in {"made_with": made_with, "taps": _kinds(taps), **found}.items():
        check(recorded, name, values)
    shard = Shard(
        path=path,
        ids=found["ids"],
        videos=found["videos"],
        starts=found["start"],
        stops=found["stop"],
        clipped=found["clipped"],
        taps=taps,
        offsets=found["offsets"],
        person_columns={name: file.array(name) for name in PERSON_COLUMNS if name in there},
        media_stamps=found["media_stamps"],
        made_with=made_with or {},
        checksums=recorded,
    )
    _check_lengths(shard)
    return shard


def _check_lengths(shard: Shard) -> None:
    count, offsets = len(shard.ids), shard.offsets
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
        "videos": ((len(shard.videos),), (count,)),
        "start": (shard.starts.shape, (count,)),
        "stop": (shard.stops.shape, (count,)),
        "clipped": (shard.clipped.shape, (count,)),
    }
    if shard.media_stamps is not None:
        shapes["media_stamps"] = (shard.media_stamps.shape, (count, 4))
    if offsets is not None:
        shapes["offsets"] = (offsets.shape, (count + 1,))
    for name, (shape, expected) in shapes.items():
        if shape != expected:
            raise ValueError(f"its {name} is {shape}, not {expected}")
    # The bytes of a mapped row are found by these: a wrong one would read beyond the file.
    if offsets is not None and (offsets[0] != 0 or (offsets[1:] <= offsets[:-1]).any()):
        raise ValueError("its offsets do not rise from 0")
    for name, array in {**shard.taps, **shard.person_columns}.items():
        if array.shape[:1] != (shard.rows,):
            raise ValueError(f"its {name} is {array.shape}, and it has {shard.rows} rows")


def read_column(form: ShardFormat, shard: Shard, name: str) -> NDArray[Any]:
    """Read a column of a part a row, [rows, …]: `times`, `boxes`, `scores` or `crc32/…`.

    Raises:
        StoreError: it is not there, was altered, or has another length.
    """
    values = form.read(shard.path, name, None)
    with reading(shard.path):
        check(shard.checksums, name, values)
        if len(values) != shard.rows:
            raise ValueError(f"its {name} is {values.shape}, and it has {shard.rows} rows")
    return values


def offsets_of(shard: Shard, *, flat: bool) -> NDArray[np.int64]:
    """Where the rows of each segment begin and the last ones end, [segments + 1].

    Raises:
        StoreError: the shard has offsets and its store is not flat, or the other way round.
    """
    with reading(shard.path):
        if flat and shard.offsets is None:
            raise ValueError("it has no offsets")
        if not flat and shard.offsets is not None:
            raise ValueError("it has offsets, and its segments are a row each")
    return np.arange(len(shard.ids) + 1) if shard.offsets is None else shard.offsets

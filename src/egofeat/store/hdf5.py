"""Shards as HDF5 files: contiguous datasets, so that the bytes of a tap can be mapped."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.store.description import SCHEMA
from egofeat.store.rows import ShardRows
from egofeat.store.shards import (
    PERSON_COLUMNS,
    Place,
    Shard,
    ShardFormat,
    TapArray,
    checksums,
    reading,
)

_ALIGNMENT = 8
"""Bytes; no dtype of ours is wider."""


def _write(path: Path, rows: ShardRows, compress: str | None) -> None:
    import h5py  # noqa: PLC0415

    # libver "earliest" and h5py's default of no track_times keep the bytes free of dates;
    # HDF5 by itself does not align, and a mapped array of halves must start at an even byte.
    with h5py.File(
        path,
        "w",
        libver="earliest",
        locking=False,
        alignment_threshold=1,
        alignment_interval=_ALIGNMENT,
    ) as file:
        file.attrs["schema"] = SCHEMA
        file["ids"] = _text(rows.ids)
        file["videos"] = _text(rows.videos)
        file["start"] = rows.starts.astype("<f8")
        file["stop"] = rows.stops.astype("<f8")
        file["clipped"] = rows.clipped
        file["times"] = rows.times.astype("<f8")
        if rows.offsets is not None:
            file["offsets"] = rows.offsets.astype("<i8")
        for name, column in rows.of_persons.items():
            file[f"crc32/{name}"] = checksums(column).astype("<u4")
            file[name] = column
        for tap, values in rows.taps.items():
            options: dict[str, Any] = {}
            if compress:
                # A chunk a row: a random row costs one row's decompression.
                options = {
                    "chunks": (1, *values.shape[1:]),
                    "compression": compress,
                    "shuffle": True,
                }
            file.create_dataset(f"crc32/{tap}", data=checksums(values).astype("<u4"))
            little_endian = values.astype(values.dtype.newbyteorder("<"), copy=False)
            file.create_dataset(f"taps/{tap}", data=little_endian, **options)


def _text(column: Sequence[str]) -> NDArray[np.bytes_]:
    """UTF-8 of one width, which HDF5 stores flat and reads a hundred times faster."""
    import h5py  # noqa: PLC0415

    encoded = [text.encode() for text in column]
    width = max(1, *map(len, encoded))
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", width))


def _open(path: Path) -> Shard:
    import h5py  # noqa: PLC0415

    with reading(path), h5py.File(path, "r", locking=False) as file:
        taps = [tap.decode() for tap in h5py.h5g.open(file.id, b"taps")]
        return Shard(
            path=path,
            ids=[text.decode() for text in _column(file, "ids").tolist()],
            videos=[text.decode() for text in _column(file, "videos").tolist()],
            starts=_column(file, "start"),
            stops=_column(file, "stop"),
            clipped=_column(file, "clipped"),
            taps={tap: _tap(path, file, f"taps/{tap}") for tap in taps},
            offsets=_column(file, "offsets") if b"offsets" in file.id else None,
            of_persons={
                name: _tap(path, file, name) for name in PERSON_COLUMNS if name.encode() in file.id
            },
        )


def _column(file: Any, name: str) -> NDArray[Any]:
    """Read a small array by h5py's low-level interface: opening a store is mostly this."""
    from h5py import h5d, h5s  # noqa: PLC0415

    dataset = h5d.open(file.id, name.encode())
    values = np.empty(dataset.shape, dataset.dtype)
    dataset.read(h5s.ALL, h5s.ALL, values)
    return values


def _tap(path: Path, file: Any, name: str) -> TapArray:
    from h5py import h5d  # noqa: PLC0415

    dataset = h5d.open(file.id, name.encode())
    layout = dataset.get_create_plist()
    offset = dataset.get_offset()
    plain = (
        layout.get_layout() == h5d.CONTIGUOUS
        and layout.get_nfilters() == 0
        and layout.get_external_count() == 0
        and offset is not None
        and offset % dataset.dtype.itemsize == 0
    )
    return TapArray(dataset.shape, dataset.dtype, Place(path, offset) if plain else None)


def _read(path: Path, array: str, rows: NDArray[np.int64] | slice | None) -> NDArray[Any]:
    import h5py  # noqa: PLC0415

    with reading(path), h5py.File(path, "r", locking=False) as file:
        dataset = file[array]
        if rows is None or isinstance(rows, slice):
            return np.asarray(dataset[() if rows is None else rows])
        # A loop over rows: h5py's own list indexing is thirty times slower.
        return np.stack([dataset[row] for row in rows])


HDF5 = ShardFormat(".h5", ("gzip", "lzf"), _write, _open, _read)

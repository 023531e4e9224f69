"""Shards as Zarr v3 groups: each array one uncompressed chunk, so that it can be mapped.

The text columns are attributes of the group: Zarr's metadata is JSON, where text is at
home. Uncompressed arrays are read without the zarr package, whose general machinery
would make opening a store of many shards fifty times slower.
"""

import json
import math
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


def _write(path: Path, rows: ShardRows, compress: str | None) -> None:
    import zarr  # noqa: PLC0415

    attributes = {"schema": SCHEMA, "ids": list(rows.ids), "videos": list(rows.videos)}
    group = zarr.create_group(path, zarr_format=3, attributes=attributes)
    columns: dict[str, NDArray[Any]] = {
        "start": rows.starts,
        "stop": rows.stops,
        "clipped": rows.clipped,
        "times": rows.times,
    }
    if rows.offsets is not None:
        columns["offsets"] = rows.offsets
    for name, column in rows.of_persons.items():
        columns |= {f"crc32/{name}": checksums(column), name: column}
    for name, column in columns.items():
        _add(group, name, column, None)
    for tap, values in rows.taps.items():
        _add(group, f"crc32/{tap}", checksums(values), None)
        _add(group, f"taps/{tap}", values, compress)


def _add(group: Any, name: str, values: NDArray[Any], compress: str | None) -> None:
    from zarr.codecs import ZstdCodec  # noqa: PLC0415

    layout: dict[str, Any] = {"chunks": values.shape, "compressors": None}
    if compress:
        # A chunk a row inside one file: a random row costs one row's decompression.
        # (Zarr's gzip would write the date into every chunk; zstd has none.)
        codec = {"zstd": ZstdCodec(level=3)}[compress]
        row = (1, *values.shape[1:])
        layout = {"chunks": row, "shards": values.shape, "compressors": codec}
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype.newbyteorder("<"),
        filters=None,
        config={"write_empty_chunks": True},  # else zeros would leave no file to map
        **layout,
    )
    array[...] = values


def _open(path: Path) -> Shard:
    with reading(path):
        attributes = json.loads((path / "zarr.json").read_bytes())["attributes"]
        taps = sorted(folder.name for folder in (path / "taps").iterdir() if folder.is_dir())
        return Shard(
            path=path,
            ids=attributes["ids"],
            videos=attributes["videos"],
            starts=_read(path, "start", None),
            stops=_read(path, "stop", None),
            clipped=_read(path, "clipped", None),
            taps={tap: _array(path / "taps" / tap) for tap in taps},
            offsets=_read(path, "offsets", None) if (path / "offsets").is_dir() else None,
            of_persons={
                name: _array(path / name) for name in PERSON_COLUMNS if (path / name).is_dir()
            },
        )


def _array(folder: Path) -> TapArray:
    metadata = json.loads((folder / "zarr.json").read_bytes())
    shape = tuple(metadata["shape"])
    dtype = np.dtype(metadata["data_type"]).newbyteorder("<")
    grid = metadata["chunk_grid"]
    codecs = metadata["codecs"]
    chunk = folder.joinpath("c", *["0"] * len(shape))
    # Zarr reads a chunk that is absent as zeros; here it is damage.
    size = chunk.stat().st_size
    plain = (
        [codec["name"] for codec in codecs] == ["bytes"]
        and codecs[0].get("configuration", {}).get("endian", "little") == "little"
        and grid == {"name": "regular", "configuration": {"chunk_shape": list(shape)}}
    )
    if plain and size != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{chunk.relative_to(folder)} has {size} bytes, not those of {shape}")
    return TapArray(shape, dtype, Place(chunk, 0) if plain else None)


def _read(path: Path, array: str, rows: NDArray[np.int64] | slice | None) -> NDArray[Any]:
    with reading(path):
        tap = _array(path / array)
        if tap.place:
            values = np.fromfile(tap.place.file, tap.dtype).reshape(tap.shape)
            return values if rows is None else values[rows]
        import zarr  # noqa: PLC0415

        stored = zarr.open_array(path / array, mode="r")
        return np.asarray(stored[...] if rows is None else stored.oindex[rows])


ZARR = ShardFormat(".zarr", ("zstd",), _write, _open, _read)

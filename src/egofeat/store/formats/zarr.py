"""Shards as Zarr v3 groups: each array one uncompressed chunk, so that it can be mapped.

The text columns are attributes of the group: Zarr's metadata is JSON, where text is at
home. Uncompressed arrays are read without the zarr package, whose general machinery
would make opening a store of many shards fifty times slower.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.store.damage import RATIO, PlainFiles, reading
from egofeat.store.description import SCHEMA
from egofeat.store.formats.shard import (
    PERSON_COLUMNS,
    Content,
    Place,
    Shard,
    ShardFormat,
    TapArray,
    assemble,
    dtype_of,
)

_TEXTS = ("ids", "videos")


def _write(path: Path, content: Content, compress: str | None) -> None:
    import zarr  # noqa: PLC0415

    attributes = {
        "schema": SCHEMA,
        **content.texts,
        "made_with": dict(content.made_with),
        "checksums": dict(content.checksums),
    }
    group = zarr.create_group(path, zarr_format=3, attributes=attributes)
    for name, values in content.columns.items():
        _add(group, name, values, None)
    for tap, values in content.taps.items():
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
        files = PlainFiles(path)
        said = _json(files, "zarr.json")["attributes"]
        there = {file.name for file in path.iterdir()}

        def column(name: str) -> Any:
            if name in _TEXTS:
                return _texts(said, name)
            return _column(files, name) if name in there else None

        taps = sorted({file.name for file in (path / "taps").iterdir()} - {"zarr.json"})
        persons = [name for name in PERSON_COLUMNS if name in there]
        return assemble(
            path,
            column,
            {tap: _array(files, f"taps/{tap}") for tap in taps},
            {name: _array(files, name) for name in persons},
            said,
        )


def _json(files: PlainFiles, name: str) -> Any:
    files.size(name)
    return json.loads((files.root / name).read_bytes())


def _texts(said: Mapping[str, Any], name: str) -> list[str]:
    texts = said[name]
    if not isinstance(texts, list):
        raise ValueError(f"its {name} is no list")
    "".join(texts)  # which refuses what is no text, and quickly
    return texts


def _column(files: PlainFiles, name: str) -> NDArray[Any]:
    array = _array(files, name)
    if array.place is None or array.dtype != dtype_of(name):
        raise ValueError(f"its {name} is {array.dtype}, or compressed")
    return np.fromfile(array.place.file, array.dtype).reshape(array.shape)


def _array(files: PlainFiles, name: str) -> TapArray:
    """Find an array, all of it in one file.

    Raises:
        ValueError: it is behind a link, not in one file, or too large for it.
    """
    metadata = _json(files, f"{name}/zarr.json")
    shape = tuple(metadata["shape"])
    if not all(isinstance(length, int) and length >= 0 for length in shape):
        raise ValueError(f"its {name} is {shape}")
    dtype = np.dtype(metadata["data_type"]).newbyteorder("<")
    grid = metadata["chunk_grid"]
    if grid != {"name": "regular", "configuration": {"chunk_shape": list(shape)}}:
        raise ValueError(f"its {name} is not in one file")
    chunk = "/".join([name, "c", *["0"] * len(shape)])
    # Zarr reads a chunk that is absent as zeros; here it is damage.
    size = files.size(chunk)
    needed = math.prod(shape) * dtype.itemsize
    codecs = metadata["codecs"]
    plain = [codec["name"] for codec in codecs] == ["bytes"] and (
        codecs[0].get("configuration", {}).get("endian", "little") == "little"
    )
    if size != needed if plain else needed > size * RATIO:
        raise ValueError(f"its {name} has {size} bytes, not those of {shape}")
    return TapArray(shape, dtype, Place(files.root / chunk, 0) if plain else None)


def _read(path: Path, array: str, rows: NDArray[np.int64] | slice | None) -> NDArray[Any]:
    with reading(path):
        files = PlainFiles(path)
        if not array.startswith("taps/"):
            return _column(files, array)
        tap = _array(files, array)
        if tap.place:
            values = np.fromfile(tap.place.file, tap.dtype).reshape(tap.shape)
            return values if rows is None else values[rows]
        import zarr  # noqa: PLC0415

        stored = zarr.open_array(path / array, mode="r")
        return np.asarray(stored[...] if rows is None else stored.oindex[rows])


ZARR = ShardFormat(".zarr", ("zstd",), _write, _open, _read)

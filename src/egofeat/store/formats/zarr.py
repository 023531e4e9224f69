"""Shards as Zarr v3 groups: each array one uncompressed chunk, so that it can be mapped.

The text columns are attributes of the group: Zarr's metadata is JSON, where text is at
home. Uncompressed arrays are read without the zarr package, whose general machinery
would make opening a store of many shards fifty times slower.
"""

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.store.damage import RATIO, PlainFiles
from egofeat.store.description import SCHEMA
from egofeat.store.formats.shard import Content, Place, ShardFile, ShardFormat, TapArray


class ZarrFormat(ShardFormat):
    """One group a shard; the zarr package is imported when it is first needed."""

    suffix = ".zarr"
    compressors = ("zstd",)
    head = "zarr.json"

    def write(self, path: Path, content: Content, compress: str | None) -> None:
        """Write every array as one file, and the texts and notes as attributes of the group."""
        import zarr  # noqa: PLC0415

        attributes = {"schema": SCHEMA, **content.texts, **content.notes}
        group = zarr.create_group(path, zarr_format=3, attributes=attributes)
        for name, values in content.columns.items():
            _add(group, name, values, None)
        for tap, values in content.taps.items():
            _add(group, f"taps/{tap}", values, compress)

    @contextlib.contextmanager
    def opened(self, path: Path) -> Iterator[ShardFile]:
        """Read the group's attributes; arrays are looked at when they are asked for."""
        yield _ZarrGroup(path)


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


class _ZarrGroup:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = PlainFiles(path)
        self._said: Mapping[str, Any] = _json(self._files, ZarrFormat.head)["attributes"]

    def names(self) -> set[str]:
        here = {file.name for file in self._path.iterdir()}
        taps = {f"taps/{file.name}" for file in (self._path / "taps").iterdir()}
        return here | (taps - {"taps/zarr.json"})

    def array(self, name: str) -> TapArray:
        return _array(self._files, name)

    def read(self, name: str, rows: NDArray[np.int64] | slice | None = None) -> NDArray[Any]:
        array = _array(self._files, name)
        if array.place:
            values = np.fromfile(array.place.file, array.dtype).reshape(array.shape)
            return values if rows is None else values[rows]
        import zarr  # noqa: PLC0415

        stored = zarr.open_array(self._path / name, mode="r")
        return np.asarray(stored[...] if rows is None else stored.oindex[rows])

    def text(self, name: str) -> list[str]:
        texts = self._said[name]
        if not isinstance(texts, list):
            raise ValueError(f"its {name} is no list")
        "".join(texts)  # which refuses what is no text, and quickly
        return texts

    def note(self, name: str) -> Any:
        return self._said.get(name)


def _json(files: PlainFiles, name: str) -> Any:
    files.size(name)
    return json.loads((files.root / name).read_bytes())


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

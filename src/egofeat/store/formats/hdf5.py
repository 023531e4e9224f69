"""Shards as HDF5 files: contiguous datasets, so that the bytes of a tap can be mapped."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.store.damage import RATIO, PlainFiles, reading
from egofeat.store.description import SCHEMA
from egofeat.store.formats.remembering import RememberingFile
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
_OPTIONAL = ("offsets", "media_stamps")
_ALIGNMENT = 8
"""Bytes; no dtype of ours is wider."""


def _write(path: Path, content: Content, compress: str | None) -> None:
    import h5py  # noqa: PLC0415

    # libver "earliest" and h5py's default of no track_times keep the bytes free of dates;
    # HDF5 by itself does not align, and a mapped array of halves must start at an even byte.
    with (
        RememberingFile(path) as target,
        h5py.File(
            target,
            "w",
            libver="earliest",
            alignment_threshold=1,
            alignment_interval=_ALIGNMENT,
        ) as file,
    ):
        file.attrs["schema"] = SCHEMA
        for note in ("made_with", "checksums"):
            file.attrs[note] = np.bytes_(json.dumps(dict(getattr(content, note)), sort_keys=True))
        for name, text in content.texts.items():
            file[name] = _text(text)
        for name, values in content.columns.items():
            file[name] = values
        for tap, values in content.taps.items():
            options: dict[str, Any] = {}
            if compress:
                # A chunk a row: a random row costs one row's decompression.
                options = {
                    "chunks": (1, *values.shape[1:]),
                    "compression": compress,
                    "shuffle": True,
                }
            file.create_dataset(f"taps/{tap}", data=values, **options)


def _text(column: Sequence[str]) -> NDArray[np.bytes_]:
    """UTF-8 of one width, which HDF5 stores flat and reads a hundred times faster."""
    import h5py  # noqa: PLC0415

    encoded = [text.encode() for text in column]
    width = max(1, *map(len, encoded))
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", width))


def _open(path: Path) -> Shard:
    import h5py  # noqa: PLC0415
    from h5py import h5g  # noqa: PLC0415

    with reading(path):
        size = PlainFiles(path).size()
        with h5py.File(path, "r", locking=False) as file:
            root = file.id

            def column(name: str) -> Any:
                if name in _OPTIONAL and name.encode() not in root:
                    return None
                values = _column(root, name, size)
                return [text.decode() for text in values.tolist()] if name in _TEXTS else values

            _refuse_link(root, b"taps")
            taps = [tap.decode() for tap in h5g.open(root, b"taps")]
            persons = [name for name in PERSON_COLUMNS if name.encode() in root]
            return assemble(
                path,
                column,
                {tap: _tap(path, root, f"taps/{tap}", size) for tap in taps},
                {name: _tap(path, root, name, size) for name in persons},
                {note: _note(root, note, size) for note in ("made_with", "checksums")},
            )


def _note(root: Any, name: str, size: int) -> Any:
    """What an attribute says in JSON; None where there is none."""
    from h5py import h5a  # noqa: PLC0415

    if not h5a.exists(root, name.encode()):
        return None
    attribute = h5a.open(root, name.encode())
    if attribute.shape != () or attribute.dtype.kind != "S" or attribute.dtype.itemsize > size:
        raise ValueError(f"its {name} is no text")
    text = np.empty((), attribute.dtype)
    attribute.read(text)
    return json.loads(bytes(text[()]))


def _column(root: Any, name: str, size: int) -> NDArray[Any]:
    """Read a small array by h5py's low-level interface: opening a store is mostly this."""
    from h5py import h5s  # noqa: PLC0415

    dataset, _ = _dataset(root, name, size)
    dtype = dataset.dtype
    if dtype.kind != "S" if name in _TEXTS else dtype != dtype_of(name):
        raise ValueError(f"its {name} is {dtype}")
    values = np.empty(dataset.shape, dtype)
    dataset.read(h5s.ALL, h5s.ALL, values)
    return values


def _dataset(root: Any, name: str, size: int) -> tuple[Any, int | None]:
    """Open an array that lies in this very file of `size` bytes, and no larger than it can be.

    Returns:
        The dataset, and the offset of its bytes; None where they are compressed or in chunks.

    Raises:
        ValueError: its bytes are elsewhere, or there are too few.
    """
    from h5py import h5d  # noqa: PLC0415

    above = name.rpartition("/")[0]
    for path in (above, name) if above else (name,):
        _refuse_link(root, path.encode())
    dataset = h5d.open(root, name.encode())
    shape = dataset.shape
    needed = math.prod(shape) * dataset.dtype.itemsize
    offset: int | None = dataset.get_offset()
    if offset is not None:  # contiguous, in this file
        if offset + needed > size:
            raise ValueError(f"its {name} is {needed} bytes, beyond the end of the file")
        return dataset, offset
    layout = dataset.get_create_plist()
    kind = layout.get_layout()
    if kind == h5d.VIRTUAL or (kind == h5d.CONTIGUOUS and layout.get_external_count()):
        raise ValueError(f"its {name} has its bytes in another file")
    stored = min(dataset.get_storage_size(), size)
    if needed > stored * (RATIO if layout.get_nfilters() else 1):
        raise ValueError(f"its {name} is {shape}, and has {stored} bytes in the file")
    return dataset, None


def _refuse_link(root: Any, name: bytes) -> None:
    from h5py import h5l  # noqa: PLC0415

    if root.links.get_info(name).type != h5l.TYPE_HARD:
        raise ValueError(f"its {name.decode()} is a link")


def _tap(path: Path, root: Any, name: str, size: int) -> TapArray:
    dataset, offset = _dataset(root, name, size)
    dtype = dataset.dtype
    plain = offset is not None and offset % dtype.itemsize == 0
    return TapArray(dataset.shape, dtype, Place(path, offset) if plain and offset else None)


def _read(path: Path, array: str, rows: NDArray[np.int64] | slice | None) -> NDArray[Any]:
    import h5py  # noqa: PLC0415

    with reading(path):
        size = PlainFiles(path).size()
        with h5py.File(path, "r", locking=False) as file:
            if not array.startswith("taps/"):
                return _column(file.id, array, size)
            dataset = h5py.Dataset(_dataset(file.id, array, size)[0])
            if rows is None or isinstance(rows, slice):
                return np.asarray(dataset[() if rows is None else rows])
            # A loop over rows: h5py's own list indexing is thirty times slower.
            return np.stack([dataset[row] for row in rows])


HDF5 = ShardFormat(".h5", ("gzip", "lzf"), _write, _open, _read)

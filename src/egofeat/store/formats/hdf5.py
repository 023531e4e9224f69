"""Shards as HDF5 files: contiguous datasets, so that the bytes of a tap can be mapped."""

import contextlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from egofeat.store.damage import RATIO, PlainFiles
from egofeat.store.description import SCHEMA
from egofeat.store.formats.remembering import RememberingFile
from egofeat.store.formats.shard import Content, Place, ShardFile, ShardFormat, TapArray

_ALIGNMENT = 8
"""Bytes; no dtype of ours is wider."""


class Hdf5Format(ShardFormat):
    """One file a shard; h5py is imported when it is first needed."""

    suffix = ".h5"
    compressors = ("gzip", "lzf")

    def write(self, path: Path, content: Content, compress: str | None) -> None:
        """Write every array as a dataset, contiguous unless it is compressed."""
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
            for name, note in content.notes.items():
                file.attrs[name] = np.bytes_(json.dumps(note, sort_keys=True))
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

    @contextlib.contextmanager
    def opened(self, path: Path) -> Iterator[ShardFile]:
        """Open a file that other processes may read too."""
        import h5py  # noqa: PLC0415

        size = PlainFiles(path).size()
        with h5py.File(path, "r", locking=False) as file:
            yield _Hdf5File(path, file.id, size)


def _text(column: Sequence[str]) -> NDArray[np.bytes_]:
    """UTF-8 of one width, which HDF5 stores flat and reads a hundred times faster."""
    import h5py  # noqa: PLC0415

    encoded = [text.encode() for text in column]
    width = max(1, *map(len, encoded))
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", width))


class _Hdf5File:
    """Read by h5py's low-level interface: opening a store is mostly this."""

    def __init__(self, path: Path, root: Any, size: int) -> None:
        self._path = path
        self._root = root
        self._size = size
        self._known: dict[str, tuple[Any, int | None]] = {}

    def _dataset(self, name: str) -> tuple[Any, int | None]:
        """An array and the offset of its bytes, see below; looked up once."""
        if name not in self._known:
            self._known[name] = _dataset(self._root, name, self._size)
        return self._known[name]

    def names(self) -> list[str]:
        from h5py import h5g  # noqa: PLC0415

        _refuse_link(self._root, b"taps")
        taps = [f"taps/{tap.decode()}" for tap in h5g.open(self._root, b"taps")]
        return [*(name.decode() for name in self._root), *taps]

    def array(self, name: str) -> TapArray:
        dataset, offset = self._dataset(name)
        dtype = dataset.dtype
        aligned = offset and offset % dtype.itemsize == 0
        place = Place(self._path, offset) if offset and aligned else None
        return TapArray(dataset.shape, dtype, place)

    def read(self, name: str, rows: NDArray[np.int64] | slice | None = None) -> NDArray[Any]:
        import h5py  # noqa: PLC0415
        from h5py import h5s  # noqa: PLC0415

        dataset, _ = self._dataset(name)
        if rows is None:
            values = np.empty(dataset.shape, dataset.dtype)
            dataset.read(h5s.ALL, h5s.ALL, values)
            return values
        stored = h5py.Dataset(dataset)
        if isinstance(rows, slice):
            return np.asarray(stored[rows])
        # A loop over rows: h5py's own list indexing is thirty times slower.
        return np.stack([stored[row] for row in rows])

    def text(self, name: str) -> list[str]:
        if (dtype := self._dataset(name)[0].dtype).kind != "S":
            raise ValueError(f"its {name} is {dtype}")
        return [text.decode() for text in self.read(name).tolist()]

    def note(self, name: str) -> Any:
        from h5py import h5a  # noqa: PLC0415

        if not h5a.exists(self._root, name.encode()):
            return None
        attribute = h5a.open(self._root, name.encode())
        of_text = attribute.shape == () and attribute.dtype.kind == "S"
        if not of_text or attribute.dtype.itemsize > self._size:
            raise ValueError(f"its {name} is no text")
        text = np.empty((), attribute.dtype)
        attribute.read(text)
        return json.loads(bytes(text[()]))


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

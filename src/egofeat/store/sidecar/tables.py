"""Tables beside the shards: arrays by name in one sealed file, written when they differ."""

import math
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from egofeat.errors import StoreError
from egofeat.store.bounded import read_bounded
from egofeat.store.files import replace_file, sync
from egofeat.store.seal import seal_zip, zip_is_whole

T = TypeVar("T")

_MOST = 4 << 30
"""Bytes; of EGTEA's gaze 100 MB, of AVA's boxes 30 MB."""
_PREAMBLE = re.compile(rb"\x93NUMPY[\x01-\x03]\x00")
_HEADER = re.compile(
    rb"\{'descr': '[<|]([a-zA-Z])(\d{1,6})', 'fortran_order': False, "
    rb"'shape': \(((?:\d{1,15},? ?){0,4})\), \}\s*"
)


@dataclass(frozen=True)
class Column:
    """What an array of a table must be."""

    kind: str
    """`U` for text, or numpy's name of the numbers: `int64`, `float32`."""
    row: tuple[int, ...] = ()
    """Shape of a row."""


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]] | None, worker: str) -> None:
    """Put arrays at `path`, over an older file; for None, there is none."""
    if arrays is None:
        if path.exists():
            path.unlink(missing_ok=True)
            sync(path.parent)
        return
    archive = BytesIO()
    np.savez(archive, allow_pickle=False, **arrays)
    content = seal_zip(archive.getvalue())
    if not path.exists() or path.read_bytes() != content:
        replace_file(path, content, worker)


def read_arrays(path: Path, columns: Mapping[str, Column]) -> dict[str, NDArray[Any]] | None:
    """Read the arrays of these names from `path`, read-only; None when there is no file.

    Raises:
        StoreError: it is damaged or was altered, or lacks one, or one is of another kind.
    """
    try:
        content = read_bounded(path, _MOST)
        with zipfile.ZipFile(BytesIO(content)) as archive:
            if archive.comment and not zip_is_whole(content):
                raise ValueError("it was altered after it was written")
            return {name: _array(archive, name, column) for name, column in columns.items()}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, EOFError, OSError, RuntimeError, zlib.error) as error:
        raise damaged(path, error) from None
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise damaged(path, error) from None


def read_table(
    path: Path, columns: Mapping[str, Column], made: Callable[[dict[str, NDArray[Any]]], T]
) -> T | None:
    """Read what is made of a table's arrays; None when there is no file.

    Args:
        path: of the file.
        columns: what it must hold.
        made: of the arrays by name; raises ValueError where they do not fit together.

    Raises:
        StoreError: it is damaged or was altered.
    """
    arrays = read_arrays(path, columns)
    if arrays is None:
        return None
    try:
        return made(arrays)
    except ValueError as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: Exception) -> StoreError:
    """Say that a table is not what was written, and how to have it again."""
    reason = " ".join(str(error).split())
    return StoreError(
        f"{path} is damaged ({reason}): delete it and run `egofeat extract` again, or for persons "
        "`egofeat roi`, which writes it again and extracts nothing twice"
    )


def check_offsets(name: str, offsets: NDArray[np.int64], stop: int) -> None:
    """Refuse offsets that do not divide `[0, stop)` into stretches, one after the other.

    Raises:
        ValueError: naming them.
    """
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != stop or (np.diff(offsets) < 0).any():
        raise ValueError(f"its {name} do not fit")


def _array(archive: zipfile.ZipFile, name: str, column: Column) -> NDArray[Any]:
    """Read one array; nothing is unpickled, and no more memory taken than the file has bytes."""
    entry = archive.getinfo(f"{name}.npy")
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"its {name} is packed")
    content = archive.read(entry)  # which checks the entry's own checksum
    wide = content[6:7] != b"\x01"
    begin = 12 if wide else 10
    start = begin + int.from_bytes(content[8:begin], "little")
    header = _HEADER.fullmatch(content[begin:start])
    if not _PREAMBLE.match(content) or not header:
        raise ValueError(f"its {name} is no plain array")
    dtype = np.dtype(f"<{header[1].decode()}{int(header[2])}")
    shape = tuple(int(extent) for extent in header[3].replace(b",", b" ").split())
    fits = dtype.kind == "U" if column.kind == "U" else dtype == np.dtype(column.kind)
    size = math.prod(shape) * dtype.itemsize
    if not fits or shape[1:] != column.row or len(shape) != 1 + len(column.row):
        raise ValueError(f"its {name} is {dtype} {list(shape)}")
    if size != len(content) - start:
        raise ValueError(f"its {name} has {len(content) - start} bytes and not {size}")
    array = np.frombuffer(content, dtype, -1, start) if size else np.empty(0, dtype)
    return array.reshape(shape)

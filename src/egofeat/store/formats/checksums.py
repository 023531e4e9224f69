"""Checksums of all that a shard says: of each row of features, and of each column beside them."""

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any] | list[str] | Mapping[str, Any]
"""Numbers of one kind, texts without NUL, or what JSON can say."""


def checksums(rows: NDArray[Any]) -> NDArray[np.uint32]:
    """Crc32 of the bytes of each row, [rows]."""
    flat = rows.reshape(len(rows), -1).view(np.uint8)
    return np.array([zlib.crc32(row.data) for row in flat], dtype=np.uint32)


def checksum(column: Column) -> int:
    """Crc32 of a column: of the JSON of its dtype and shape, and then its bytes.

    Texts are UTF-8 with a NUL between two, of dtype `text`; what is no column is its JSON alone.
    """
    if isinstance(column, np.ndarray):
        kind, content = [column.dtype.str, *column.shape], np.ascontiguousarray(column).tobytes()
    elif isinstance(column, list):
        kind = ["text", len(column)]
        content = "\0".join(column).encode("utf-8", "surrogatepass")
    else:
        return zlib.crc32(json.dumps(column, sort_keys=True).encode())
    return zlib.crc32(content, zlib.crc32(json.dumps(kind).encode()))


def check(recorded: Mapping[str, int] | None, name: str, column: Column | None) -> None:
    """Compare a column (None: it is not there) with its checksum, where there are any.

    Raises:
        ValueError: saying which it is.
    """
    if recorded is None or (column is None and name not in recorded):
        return
    if column is None:
        raise ValueError(f"its {name} is gone")
    if recorded.get(name) != checksum(column):
        raise ValueError(f"its {name} were altered after they were written")

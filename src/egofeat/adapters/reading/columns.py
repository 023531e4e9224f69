"""Columns of a table, and of a large one all at once: by pyarrow, where it is installed."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_BYTES = 1 << 20
"""Of a smaller file, loading pyarrow takes longer than it saves."""

_AT_ONCE = 4 << 20
"""Bytes that are read together."""

_LONGEST = 1 << 16
"""Bytes: half of the longest cell that the csv module takes."""

_QUOTED = re.compile(rb'"(?<![^,\n]")[^"\r\n]*"(?![^,\r\n])')
"""A quoted cell without quotes or line ends in it."""


class UnreadError(Exception):
    """A table is to be read by the csv module."""


@dataclass(frozen=True)
class Column:
    """Cells of rows, so that what rows have in common is looked at once."""

    cells: list[str]
    """Those that there are, stripped; one may stand here again."""
    places: NDArray[np.integer[Any]]
    """`[rows]` which of them each row has."""

    @classmethod
    def of(cls, cells: list[str]) -> "Column":
        """A cell a row."""
        return cls(cells, np.arange(len(cells)))

    @classmethod
    def same(cls, cell: str, rows: int) -> "Column":
        """One cell in all rows."""
        return cls([cell], np.zeros(rows, np.intp))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, row: int) -> str:
        return self.cells[int(self.places[row])]

    def __iter__(self) -> Iterator[str]:
        return map(self.cells.__getitem__, self.places.tolist())

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """`[rows, …]` of the `[cells, …]` that the cells mean."""
        return values.take(self.places, axis=0)


def read_columns(content: bytes, at: Sequence[int], width: int) -> Iterator[list[Column]]:
    """Read the columns `at` of a CSV file with a header and `width` columns, a stretch at a time.

    Raises:
        UnreadError: it is small, pyarrow is not installed, or might read it otherwise than the csv
            module does, which also knows the line of what is wrong.
    """
    if len(content) < LEAST_BYTES or not _is_plain(content):
        raise UnreadError
    try:
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import csv  # noqa: PLC0415
    except ImportError:
        raise UnreadError from None
    names = [str(number) for number in range(width)]
    wanted = [names[number] for number in dict.fromkeys(at)]
    coded = pa.dictionary(pa.int32(), pa.string())
    try:
        batches = csv.open_csv(
            pa.BufferReader(pa.py_buffer(content).slice(content.index(b"\n") + 1)),
            csv.ReadOptions(use_threads=False, column_names=names, block_size=_AT_ONCE),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(wanted, coded), include_columns=wanted
            ),
        )
        for batch in batches:
            found = dict(zip(wanted, map(_column, batch.columns), strict=True))
            blank = [of.spread(np.array([not cell for cell in of.cells])) for of in found.values()]
            if np.logical_and.reduce(blank).any():  # rows that are passed over, perhaps
                raise UnreadError
            yield [found[names[number]] for number in at]
    except pa.ArrowException:
        raise UnreadError from None
    finally:
        pa.default_memory_pool().release_unused()


def _column(coded: Any) -> Column:
    """From a dictionary-coded column of pyarrow, whose `to_numpy` would load pandas."""
    indices = coded.indices
    places = np.frombuffer(indices.buffers()[1], np.int32, len(indices), 4 * indices.offset)
    return Column(list(map(str.strip, coded.dictionary.to_pylist())), places)


def _is_plain(content: bytes) -> bool:
    """Whether each line is a row, its cells quoted as a whole or not at all, and none very long."""
    return (
        b"\n" in content
        and content.count(b"\r") == content.count(b"\r\n")
        and content.count(b'"') == 2 * sum(1 for _ in _QUOTED.finditer(content))
        and all(
            content.find(b"\n", begin, begin + _LONGEST) >= 0
            for begin in range(0, len(content) - _LONGEST, _LONGEST)
        )
    )

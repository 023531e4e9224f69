"""Columns made small: runs of equal values as one, whole numbers and texts as narrow as they are.

A column of a million rows is kept so until somebody asks for it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from egofeat.store.table import Table


@dataclass(frozen=True, eq=False)
class Packed:
    """A column [rows, …]."""

    values: NDArray[Any]
    """[runs, …], narrow; texts of ASCII as bytes."""
    runs: NDArray[Any] | None
    """[runs] rows of each; None for one each."""
    dtype: np.dtype[Any]
    """Of the whole."""

    @classmethod
    def of(cls, column: NDArray[Any], *, in_runs: bool = True) -> Self:
        """Pack a column; `in_runs` where equal rows that follow each other may be one."""
        values, runs = column, None
        if in_runs and len(column) > 1:
            bits = column.view(np.int64) if column.dtype.kind == "f" else column  # 0.0 is not -0.0
            differs = bits[1:] != bits[:-1]
            if column.ndim > 1:
                differs = differs.any(axis=1)
            begins = np.concatenate([[0], np.flatnonzero(differs) + 1])
            if len(begins) <= len(column) // 2:
                values, runs = column[begins], _narrow(np.diff(begins, append=len(column)))
        return cls(_narrow(values), runs, column.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of the whole."""
        rows = len(self.values) if self.runs is None else int(self.runs.sum(dtype=np.int64))
        row = self.values[:1].size if len(self.values) else 0
        return rows * row * self.dtype.itemsize

    @property
    def begins(self) -> NDArray[np.int64]:
        """[runs] row that each begins at."""
        ends = np.arange(1, len(self.values) + 1) if self.runs is None else np.cumsum(self.runs)
        return np.concatenate([[0], ends[:-1]])[: len(ends)].astype(np.int64)

    @property
    def wide(self) -> NDArray[Any]:
        """[runs, …] values as they were."""
        wide = self.values
        if wide.dtype.kind == "S":
            width = wide.dtype.itemsize
            letters = np.ascontiguousarray(wide).view(np.uint8).reshape(len(wide), width)
            wide = letters.astype(np.uint32).reshape(-1).view(f"<U{width}")
        return wide.astype(self.dtype, copy=False)

    @cached_property
    def whole(self) -> NDArray[Any]:
        """The column as it was, read-only."""
        wide = self.wide
        if self.runs is not None:
            wide = np.repeat(wide, self.runs, axis=0)
        wide.flags.writeable = False
        return wide


def _narrow(values: NDArray[Any]) -> NDArray[Any]:
    if not values.size or values.dtype.kind not in "Ui":
        return values
    if values.dtype.kind == "i":
        low, high = int(values.min()), int(values.max())
        fits = (np.dtype(code) for code in ("|i1", "<i2", "<i4", "<i8"))
        kind = next(t for t in fits if np.iinfo(t).min <= low <= high <= np.iinfo(t).max)
        return values.astype(kind)
    letters = np.ascontiguousarray(values).view(np.uint32)
    if letters.max() > 127:
        return values
    return letters.astype(np.uint8).view(f"|S{values.dtype.itemsize // 4}")


class PackedColumns(Mapping[str, NDArray[Any]]):
    """Columns by name, each made whole when it is first asked for."""

    def __init__(self, packed: Mapping[str, Packed]) -> None:
        self._packed = packed

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._packed[name].whole

    def packed(self, name: str) -> Packed:
        """A column as it is kept."""
        return self._packed[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


class PackedTable(Table):
    """A table whose columns are made whole when they are first asked for."""

    _packed: Mapping[str, Packed | Mapping[str, Packed]]
    _rows: int

    @classmethod
    def of_columns(
        cls,
        rows: int,
        packed: Mapping[str, Packed | Mapping[str, Packed]],
        **known: Any,
    ) -> Self:
        """Make a table of packed columns, and of those of `labels` and `published` by name.

        Args:
            rows: how many each has.
            packed: field of a table to its column.
            known: the other fields.
        """
        table = cls.__new__(cls)
        table.__dict__.update(known, _packed=packed, _rows=rows)
        return table

    def __len__(self) -> int:
        return self.__dict__.get("_rows", None) or len(self.ids)

    @property
    def narrow_ids(self) -> NDArray[Any]:
        """[rows] ids, as bytes of ASCII where they are kept so."""
        packed = self.__dict__.get("_packed", {}).get("ids")
        return packed.values if packed is not None and packed.runs is None else self.ids

    def __getattr__(self, name: str) -> Any:
        packed = self.__dict__.get("_packed", {}).get(name)
        if packed is None:
            raise AttributeError(f"a table has no {name}")
        whole = packed.whole if isinstance(packed, Packed) else dict(PackedColumns(packed))
        self.__dict__[name] = whole
        return whole

"""Rows of many mapped files as one range of addresses, gathered by one call.

Python's own `mmap` keeps a file descriptor open for each mapping (until 3.13), and a
store may have more shards than a process may have descriptors. So the C library is
asked directly: all files lie one after the other in one reserved range, no descriptor
stays open, and a row is the number of bytes from the range's start.
"""

import ctypes
import functools
import itertools
import math
import mmap
import os
import threading
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from egofeat.store.damage import open_plain
from egofeat.store.reading.selection import Addresses
from egofeat.store.reading.stamps import Seen

GREAT = 1 << 30
"""Bytes from which a store is great: its pages are handed back to the system now and then."""
HAND_BACK = 1 << 28
"""Bytes that are gathered from a great store in between."""
MOST = 30_000
"""Files that are mapped at a time: Linux has room for 65,530 (`vm.max_map_count`), and others map
too."""
_mapped: list[int] = []
"""Files of each range that there is."""
_BLOCK = 4 << 20
"""Bytes copied before they are widened: few enough to stay in the processor's cache, and not so
few that starting two parallel steps a piece counts (1 to 4 MB gather alike, 32 MB 1.25 times
as long)."""
_PROT_NONE = 0
_MAP_FIXED = 0x10

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_int64]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def _map(address: int | None, size: int, access: int, flags: int, file: tuple[int, int]) -> int:
    mapped: int | None = _libc.mmap(address, size, access, flags, *file)
    if mapped in (None, ctypes.c_void_p(-1).value):
        number = ctypes.get_errno()
        raise OSError(number, f"cannot map {size} bytes: {os.strerror(number)}")
    assert mapped is not None
    return mapped


class Piece(NamedTuple):
    """Rows of one tap in one shard."""

    file: str
    offset: int
    size: int
    """Bytes."""
    shard: Seen
    """What it is of."""

    def opened(self) -> int:
        """Open the file, which the caller closes.

        Raises:
            ValueError: it is no plain file, or too short.
            OSError: it cannot be opened.
        """
        file, length = open_plain(self.file)
        # Beyond a file's end a mapping is a bus error. A file that is cut while it is mapped
        # cannot be helped.
        if self.offset + self.size > length:
            os.close(file)
            raise ValueError(f"it is {length} bytes, and should be {self.offset + self.size}")
        return file


def can_map(files: int) -> bool:
    """Whether so many files more may be mapped: the system limits how many a process maps."""
    return sum(_mapped) + files <= MOST


def _unmap(address: int, size: int, files: int) -> None:
    _libc.munmap(address, size)
    _mapped.remove(files)


class AddressRange:
    """Files mapped read-only, one after the other; unmapped when nothing refers to them."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        """Map each piece.

        Raises:
            MovedError: a shard is not what it was when the store was listed.
            StoreError: a file is shorter than that, or the system refuses.
        """
        page = mmap.PAGESIZE
        heads = [piece.offset % page for piece in pieces]
        spans = [
            -(-(head + piece.size) // page) * page
            for head, piece in zip(heads, pieces, strict=True)
        ]
        firsts = list(itertools.accumulate(spans, initial=0))[:-1]
        self.offsets: NDArray[np.int64] = np.array(firsts, np.int64) + np.array(heads, np.int64)
        """[pieces] bytes from the range's start to the piece's first byte."""
        self.size = max(page, sum(spans))
        reserve = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self.address = _map(None, self.size, _PROT_NONE, reserve, (-1, 0))
        # At exit the system unmaps, when surely nothing reads any more.
        weakref.finalize(self, _unmap, self.address, self.size, len(pieces)).atexit = False
        _mapped.append(len(pieces))
        for piece, head, first in zip(pieces, heads, firsts, strict=True):
            try:
                self._map_piece(piece, head, self.address + first)
            except (OSError, ValueError) as error:
                with piece.shard.reading():
                    raise error from None
            piece.shard.check()

    @staticmethod
    def _map_piece(piece: Piece, head: int, where: int) -> None:
        file = piece.opened()
        try:
            flags = mmap.MAP_SHARED | _MAP_FIXED
            start = piece.offset - head
            _map(where, head + piece.size, mmap.PROT_READ, flags, (file, start))
        finally:
            os.close(file)

    def array(
        self, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], *, writable: bool = False
    ) -> NDArray[Any]:
        """View of the bytes from `offset`; it keeps the range alive."""
        return np.asarray(_Block(self, self.address + offset, shape, dtype, writable))

    def advise(self, advice: int, offset: int = 0, size: int | None = None) -> None:
        """Tell the system how the pages of a stretch will be used (`madvise`)."""
        first = offset - offset % mmap.PAGESIZE
        stop = self.size if size is None else offset + size
        _libc.madvise(self.address + first, stop - first, advice)


class _Block:
    """Speaks NumPy's array interface for a stretch of an address range."""

    def __init__(
        self,
        owner: AddressRange,
        address: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        writable: bool,
    ) -> None:
        self.owner = owner
        self.__array_interface__ = {
            "version": 3,
            "data": (address, not writable),
            "shape": shape,
            "typestr": dtype.str,
        }


class MappedRows:
    """Selected rows of one tap over all shards, straight from the mapped files."""

    mapped = True

    def __init__(
        self,
        pieces: Sequence[Piece],
        addresses: Addresses,
        row_shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None:
        self.row_shape = row_shape
        self.dtype = dtype
        self.row_bytes = math.prod(row_shape) * dtype.itemsize
        self.range = AddressRange(pieces)
        self._addresses = addresses
        self._buffers = threading.local()
        self._gathered = 0
        self._random = False

    def _starts(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bytes from the range's start to the first byte of each row."""
        shard_of, row_of = self._addresses.of(rows)
        starts: NDArray[np.int64] = self.range.offsets[shard_of] + row_of * self.row_bytes
        return starts

    def stretch(self, first: int, count: int) -> NDArray[Any]:
        """Read-only view of rows that stand one after the other in a shard, at least one."""
        start = int(self._starts(np.array([first]))[0])
        return self.range.array(start, (count, *self.row_shape), self.dtype)

    @functools.cached_property
    def _memory(self) -> NDArray[Any]:
        """The whole range, [items]."""
        # PyTorch has no read-only tensors and warns at read-only arrays; only take reads this.
        items = self.range.size // self.dtype.itemsize
        return self.range.array(0, (items,), self.dtype, writable=True)

    def take(self, rows: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Copy rows into `out` [n, *row_shape], widening them when it is wider."""
        import torch  # noqa: PLC0415

        # Tensors are made in each call and arrays are what is kept: a tensor keeps the autograd
        # mode of its making, and the next call may have another.
        row = math.prod(self.row_shape)
        # Every run of a row's length in the range, overlapping: a row begins where it will.
        windows = torch.from_numpy(self._memory).as_strided(
            (len(self._memory) - row + 1, row), (1, 1)
        )
        starts = torch.from_numpy(self._starts(rows) // self.dtype.itemsize)
        target = torch.from_numpy(out).view(len(rows), -1)
        if out.dtype == self.dtype:
            torch.index_select(windows, 0, starts, out=target)
        else:
            block = max(1, _BLOCK // self.row_bytes)
            staging = torch.from_numpy(self._staging(min(block, len(rows))))
            for part, wide in zip(
                torch.split(starts, block), torch.split(target, block), strict=True
            ):
                narrow = staging[: len(part)]
                torch.index_select(windows, 0, part, out=narrow)
                wide.copy_(narrow)
        self._hand_back(len(rows) * self.row_bytes)

    def _staging(self, rows: int) -> NDArray[Any]:
        """Buffer of at least `rows` rows in the stored dtype, kept for this thread's next batch."""
        kept: NDArray[Any] | None = getattr(self._buffers, "staging", None)
        if kept is None or len(kept) < rows:
            kept = np.empty((rows, math.prod(self.row_shape)), self.dtype)
            self._buffers.staging = kept
        return kept

    def _hand_back(self, gathered: int) -> None:
        """Keep the resident part of a great store small; its pages stay in the system's cache."""
        self._gathered += gathered
        if self._gathered > HAND_BACK and self.range.size > GREAT:
            self.range.advise(mmap.MADV_DONTNEED)
            self._gathered = 0

    def advise(self, rows: NDArray[np.int64]) -> None:
        """Ask the system to read rows ahead of their `take`, and no others around them."""
        if not self._random:
            self.range.advise(mmap.MADV_RANDOM)
            self._random = True
        for start in np.sort(self._starts(rows)).tolist():
            self.range.advise(mmap.MADV_WILLNEED, start, self.row_bytes)

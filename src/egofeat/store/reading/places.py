"""Where the rows of an opened store lie, also after shards were joined or replaced."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from egofeat.store.damage import MovedError
from egofeat.store.description import Description
from egofeat.store.formats.shard import Shard, read_column
from egofeat.store.reading.index import index_of, shards_of
from egofeat.store.reading.kept import Index
from egofeat.store.reading.selection import Addresses, select
from egofeat.store.reading.shards import Columns, Shards
from egofeat.store.reading.stamps import TIMES

Values = TypeVar("Values")


class Places:
    """The shards of a store and the addresses of its rows; the rows stay the same.

    Raises:
        StoreError: the store is damaged.
    """

    def __init__(self, path: Path, description: Description) -> None:
        self._path, self._description = path, description
        self.index: Index = index_of(path, description)
        """As the store was opened."""
        self._now = self.index.shards, Addresses(self.index.shards, self.index.chosen)

    @property
    def shards(self) -> Shards:
        """As they were last seen."""
        return self._now[0]

    @property
    def addresses(self) -> Addresses:
        """In these shards."""
        return self._now[1]

    def read(self, what: Callable[[Shards, Addresses], Values]) -> Values:
        """Read, and where a shard was removed or replaced meanwhile, find its segments again.

        Raises:
            MovedError: a segment is no longer there, or shards are replaced all the time.
            StoreError: a shard is damaged.
        """
        for _ in range(TIMES):
            try:
                return what(*self._now)
            except MovedError as error:
                moved = error
                self._find(error)
        raise moved

    def refuse(
        self, which: Callable[[Columns], NDArray[np.bool_]], why: Callable[[Shard], object]
    ) -> None:
        """Open the first of those shards that are not right, for `why` to say what is wrong.

        Raises:
            StoreError: it does.
        """
        self.read(lambda shards, _: shards.refuse(which(shards.by_shard), why))

    def column(self, name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Read a column that has a part a row, [rows, …].

        Raises:
            StoreError: a shard is damaged.
        """

        def whole(shards: Shards, addresses: Addresses) -> NDArray[Any]:
            parts = []
            for number in range(len(shards)):
                with shards.seen(number).reading():
                    shard = shards.form.open(shards.path(number))
                    parts.append(read_column(shards.form, shard, name))
            return addresses.column(parts, dtype)

        return self.read(whole)

    def _find(self, moved: MovedError) -> None:
        """List the shards again, and see where the rows are by now."""
        shards, table = shards_of(self._path, self._description), self.index.table
        found = select(shards, table)
        if len(found.chosen) < len(table):
            raise moved
        numbers: NDArray[np.int64] = np.empty(len(table), np.int64)
        numbers[found.told] = found.chosen
        addresses = Addresses(shards, numbers)
        if not np.array_equal(addresses.lengths, self.addresses.lengths):
            raise moved
        self._now = shards, addresses

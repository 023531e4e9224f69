"""What a store has already, read without touching it."""

from pathlib import Path

from egofeat.store.description import NAME, Description
from egofeat.store.failures import all_failures
from egofeat.store.formats import open_shards
from egofeat.store.rows import Failure, Key
from egofeat.store.shards import segments_in


def standing(store: Path) -> tuple[set[Key], list[Failure]]:
    """Segments in published shards, and failures of what is not there; nothing without a store.

    Raises:
        StoreError: the store is damaged.
    """
    if not (store / NAME).exists():
        return set(), []
    shards = open_shards(store, Description.read(store))
    done = segments_in(shards)
    return done, all_failures(store, done, None)

"""The files that imported features came from, beside the shards: sources.csv.

A line a file: its name, size and sha256. The recipe has the sha256 of the whole list.
"""

import hashlib
from pathlib import Path

from egofeat.errors import StoreError
from egofeat.recipe import Recipe
from egofeat.store.files import create_file

NAME = "sources.csv"
_IDENTITY = "files:"


def identity_of(listed: bytes) -> str:
    """What a recipe calls the weights of features that came from a list of files."""
    return _IDENTITY + hashlib.sha256(listed).hexdigest()


def write_sources(store: Path, listed: bytes, worker: str) -> None:
    """Put the list beside the shards, unless it is there.

    Raises:
        StoreError: the disk refuses.
    """
    create_file(store / NAME, listed, worker)


def check_sources(store: Path, recipe: Recipe) -> None:
    """Compare the list of an imported store with its recipe.

    Raises:
        StoreError: it is absent, or another.
    """
    path = store / NAME
    if not recipe.imported:
        return
    if not path.is_file() or identity_of(path.read_bytes()) != recipe.weights:
        raise StoreError(
            f"{path} is missing or was altered, and with it what the features came from: remove it "
            "and give the same `egofeat import` again"
        )

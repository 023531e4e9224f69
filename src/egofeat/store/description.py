"""store.json: what a store holds and what made it; written once, never changed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from egofeat.errors import NoStoreError, StoreError
from egofeat.recipe import Recipe
from egofeat.store.bounded import read_bounded
from egofeat.store.files import PREFIX, create_file
from egofeat.store.seal import json_is_whole, seal_json
from egofeat.store.superseding import is_superseded

SCHEMA = 1
"""Version of the layout; a store of a greater one is refused."""
NAME = "store.json"
_MOST = 4 << 20
"""Bytes; a description takes some thousand."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """The parts of store.json."""

    recipe: Recipe
    dataset: str
    format: str
    compress: str | None
    made_with: Mapping[str, str]
    """Versions of libraries and the like: recorded, never compared."""

    def create(self, store: Path, worker: str) -> Self:
        """Describe the folder `store`, or join it: return what it says it is.

        Raises:
            StoreError: the folder holds features of another recipe.
        """
        fields = vars(self) | {
            "schema": SCHEMA,
            "digest": self.recipe.digest,
            "recipe": self.recipe.to_dict(),
        }
        content = seal_json(json.dumps(fields, indent=2, sort_keys=True))
        create_file(store / NAME, content, worker)
        existing = self.read(store)
        if existing.recipe.digest != self.recipe.digest:
            raise StoreError(f"{store} holds features of another recipe: choose another `out`")
        return existing

    @classmethod
    def read(cls, store: Path) -> Self:
        """Read store.json of the folder `store`.

        Raises:
            NoStoreError: it is absent.
            StoreError: it is damaged, altered or of a newer schema.
        """
        from egofeat.schema import parse  # noqa: PLC0415
        from egofeat.store.schemas import StoreText, Version  # noqa: PLC0415

        path = store / NAME
        try:
            content = read_bounded(path, _MOST)
            schema = parse(Version, content).schema_
            if schema <= SCHEMA:
                fields = parse(StoreText, content)
                recipe = Recipe.parse(fields.recipe)
        except FileNotFoundError:
            raise NoStoreError(f"{store} is not a feature store: it has no {NAME}") from None
        except (ValueError, StoreError) as error:
            raise StoreError(f"{path} is damaged ({error}): {_MEND}") from None
        if schema > SCHEMA:
            raise StoreError(
                f"{store} was written by a newer egofeat (store schema {schema}, this one "
                f"reads {SCHEMA}): upgrade egofeat to read it"
            )
        if recipe.digest != fields.digest:
            raise StoreError(f"{path} was altered, its recipe and digest disagree: {_MEND}")
        if fields.sha256 is not None and not json_is_whole(content):
            raise StoreError(f"{path} was altered after it was written: {_MEND}")
        return cls(
            recipe=recipe,
            dataset=fields.dataset,
            format=fields.format,
            compress=fields.compress,
            made_with=fields.made_with,
        )


_MEND = "restore a copy of it, or delete the store and run `egofeat extract` again"


def begun(store: Path) -> bool:
    """Whether a folder says what store it is.

    One that does not is no store yet: whoever began it was killed at once, or is about to.
    """
    return (store / NAME).is_file()


def find_stores(root: Path, *, superseded: bool = False) -> list[Path]:
    """Folders of stores at `root` or up to two folders below it, sorted.

    Args:
        root: where to look.
        superseded: also those that a newer store took the place of; the one at `root`
            itself is meant whatever its name.
    """
    own = [root] if (root / NAME).is_file() else []
    below = [path.parent for pattern in (f"*/{NAME}", f"*/*/{NAME}") for path in root.glob(pattern)]
    return sorted(
        own
        + [
            path
            for path in below
            if not path.name.startswith(PREFIX) and (superseded or not is_superseded(path))
        ]
    )

"""Where a run comes from, as its config.yaml says."""

import json
from pathlib import Path
from typing import Any

from egofeat.errors import WeightsError
from egofeat.extract.weights import sha256_of
from egofeat.store import Rows


def describe_file(path: Path) -> dict[str, str]:
    """Return where a file of weights lies and its sha256.

    Raises:
        WeightsError: there is no such file.
    """
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}: name one that exists")
    return {"file": str(path.resolve()), "sha256": sha256_of(path)}


def describe_stores(rows: Rows) -> list[dict[str, Any]]:
    """Return where each store of some rows lies and what its features are."""
    return [
        {
            "store": str(store.path.resolve()),
            "store_digest": store.digest,
            "tap": store.tap,
            "feature_shape": list(part.row_shape),
            "recipe": json.loads(store.recipe.to_json()),
        }
        for store, part in zip(rows.stores, rows.parts, strict=True)
    ]

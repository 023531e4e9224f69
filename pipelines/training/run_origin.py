"""Where a run comes from, as its config.yaml says."""

from pathlib import Path
from typing import Any

import yaml

from egofeat.errors import WeightsError
from egofeat.extract.weights import sha256_of
from egofeat.store import FeatureStore
from egofeat.store.reading.persons import PersonRows


def describe_file(path: Path) -> dict[str, str]:
    """Return where a file of weights lies and its sha256.

    Raises:
        WeightsError: there is no such file.
    """
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}: name one that exists")
    return {"file": str(path.resolve()), "sha256": sha256_of(path)}


def describe_store(store: FeatureStore | PersonRows) -> dict[str, Any]:
    """Return where a store lies and what its features are."""
    return {
        "store": str(Path(store.path).resolve()),
        "store_digest": store.digest,
        "tap": store.tap,
        "feature_shape": list(store.row_shape),
        "recipe": yaml.safe_load(store.recipe.to_json()),
    }

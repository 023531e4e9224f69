"""Where a run comes from, as its config.yaml says, and where it goes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from egofeat.errors import RequestError, WeightsError
from egofeat.extract.weights import sha256_of
from egofeat.pipelines.run import read_config, sources
from egofeat.store import FeatureStore
from egofeat.store.persons import PersonRows


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


def choose_folder(out: Path | None, description: Mapping[str, Any]) -> Path:
    """Return the run's folder: the one named, or the first that is free or this run's own.

    Args:
        out: the one named; None means `runs/<dataset>-<head>`, numbered when that is another run's.
        description: what its config.yaml is to say.

    Raises:
        RequestError: the folder named holds something else.
    """
    if out is not None:
        if _is_free(out) or _is_same(out, description):
            return out
        raise RequestError(
            f"{out} holds another run, or none: name another folder with --out, or remove it"
        )
    stem = "-".join(filter(None, (description[key] for key in ("dataset", "head", "preset"))))
    number = 1
    while True:
        path = Path("runs") / (stem if number == 1 else f"{stem}-{number}")
        if _is_free(path) or _is_same(path, description):
            return path
        number += 1


def _is_free(path: Path) -> bool:
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def _is_same(path: Path, description: Mapping[str, Any]) -> bool:
    """Say whether the folder's config asks for this very training, wherever the files lie."""
    try:
        there = read_config(path)
    except RequestError:
        return False
    here = yaml.safe_load(yaml.safe_dump(dict(description)))
    return _placeless(there) == _placeless(here)


def _placeless(config: Mapping[str, Any]) -> dict[str, Any]:
    config = {**config, "init": {**config.get("init", {}), "file": ""}}
    stores = [{**source, "store": ""} for source in sources(config)]
    return {**config, "store": "", "stores": stores}

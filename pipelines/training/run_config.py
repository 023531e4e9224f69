"""config.yaml: everything to do a run again, and what must stand in it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, FailFast, Field

from egofeat.errors import RequestError
from egofeat.pipelines.kept import CONFIG as NAME
from egofeat.pipelines.training.run_files import SUMS, compare, write_file
from egofeat.recipe.schema import RecipeText
from egofeat.schema import Count, Name, parse
from egofeat.store.bounded import read_bounded
from egofeat.words import plain

_MOST = 4 << 20
"""Bytes, of some hundred thousand classes."""
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Value = bool | int | float | str | None


class _Open(BaseModel):
    """What is read, whatever else stands there."""

    model_config = ConfigDict(extra="allow")


class _Trainer(_Open):
    seed: Annotated[int, Field(ge=0, lt=2**63)]


class _Source(_Open):
    """A store that a run was trained on."""

    store: str
    store_digest: str
    tap: Name
    feature_shape: Annotated[list[Count], Field(min_length=2, max_length=5)]
    recipe: RecipeText


class _Several(_Open):
    """Those of a run on several."""

    stores: Annotated[list[_Source], Field(min_length=1, max_length=100)]


class _Config(_Open):
    """config.yaml, but for its stores."""

    head: Name
    preset: Name | None
    options: dict[str, _Value]
    normalize: bool
    classes: Annotated[
        dict[Name, Annotated[list[str], FailFast(), Field(min_length=1)]], Field(min_length=1)
    ]
    published_split: str | None = None
    train_split: str
    val_split: str
    trainer: _Trainer
    dataset: Name
    fuse: str = ""
    val_groups: list[str] = []
    init: dict[str, Any] = {}


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write config.yaml into a run's folder, making the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=100)
    write_file(folder / NAME, text.encode())


def read_config(folder: Path) -> dict[str, Any]:
    """Return what config.yaml of a run says.

    Raises:
        RequestError: the folder is no run, or its config.yaml is damaged.
        EgofeatError: it was altered after it was written.
    """
    try:
        content = read_bounded(folder / NAME, _MOST)
        text = _as_json(content)
        parse(_Config, text)
        config: dict[str, Any] = json.loads(text)
        parse(_Several if "stores" in config else _Source, text)
    except FileNotFoundError:
        raise RequestError(
            f"{folder} is not a run: name a folder that egofeat fit-head has made"
        ) from None
    except (ValueError, TypeError, RecursionError) as error:
        raise RequestError(
            f"{folder} is not a run, its {NAME} is damaged ({plain(str(error), 200)}): name a "
            "folder that egofeat fit-head has made, or fit the head again"
        ) from None
    mend = f"where the change is meant, take {NAME} out of the {SUMS} beside it"
    compare(folder / NAME, content, f"put back a copy of it or, {mend}")
    return config


def sources(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return, for each store of a run: store, store_digest, tap, feature_shape, recipe.

    A run on one store has them in the config itself, a run on several under `stores`.
    """
    listed: list[Mapping[str, Any]] = config.get("stores", [config])
    return listed


def _as_json(content: bytes) -> str:
    """YAML as JSON, which has nothing that stands for more than itself, and no dates.

    Raises:
        ValueError: it is no YAML, or holds anchors.
        TypeError: it holds what JSON has not.
    """
    try:
        text = content.decode()
        if "*" in text and any(
            isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, _LOADER)
        ):
            raise ValueError("it refers to parts of itself")
        return json.dumps(yaml.load(text, _LOADER))
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None

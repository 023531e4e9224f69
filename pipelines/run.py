"""The folder that a trained head lives in, `runs/<name>/`.

config.yaml (everything to do it again, with the store's digest), head.safetensors,
history.csv, metrics.json, predictions.npz and pictures; checkpoint.safetensors while
the training is not finished.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from egofeat.errors import RequestError, StoreError
from egofeat.heads.files import replace_file
from egofeat.heads.head import Head, Standardise
from egofeat.heads.registry import build_head
from egofeat.store import FeatureStore, open_store

_NEEDED = {
    *("head", "preset", "options", "normalize", "feature_shape", "classes"),
    *("store", "store_digest", "tap", "recipe", "val_split"),
}


@dataclass(frozen=True)
class RunFolder:
    """Where each thing of a run stands."""

    path: Path

    @property
    def config(self) -> Path:
        """What made the run."""
        return self.path / "config.yaml"

    @property
    def head(self) -> Path:
        """Weights of the best epoch, and the standardisation if there is one."""
        return self.path / "head.safetensors"

    @property
    def history(self) -> Path:
        """One line an epoch."""
        return self.path / "history.csv"

    @property
    def checkpoint(self) -> Path:
        """State after the last epoch done; gone when the run is finished."""
        return self.path / "checkpoint.safetensors"

    @property
    def metrics(self) -> Path:
        """Figures on the validation split, written last: a run that has them is finished."""
        return self.path / "metrics.json"


def write_config(path: Path, config: Mapping[str, Any]) -> None:
    """Write config.yaml into a run's folder, making the folder."""
    path.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=100)
    replace_file(RunFolder(path).config, text.encode())


def read_config(path: Path) -> dict[str, Any]:
    """Return what config.yaml of a run says.

    Raises:
        RequestError: the folder is no run.
    """
    try:
        config = yaml.safe_load(RunFolder(path).config.read_text())
    except (OSError, yaml.YAMLError):
        config = None
    if not isinstance(config, dict) or not set(config) >= _NEEDED:
        raise RequestError(f"{path} is not a run: name a folder that egofeat fit-head has made")
    return config


def save_head(path: Path, head: Head) -> None:
    """Write the head's weights, without pickle."""
    state = {name: tensor.cpu().contiguous() for name, tensor in head.state_dict().items()}
    replace_file(RunFolder(path).head, save(state))


def load_run(path: Path) -> tuple[Head, dict[str, Any]]:
    """Return a run's head, on the CPU and in evaluation mode, and its config.

    The config holds, for who makes features of new video, the store's `recipe` and
    `tap`, and the names of the classes of each target.

    Raises:
        RequestError: the folder is no run, or its training is not finished.
    """
    config = read_config(path)
    head = make_head(config)
    try:
        head.load_state_dict(load_file(RunFolder(path).head))
    except (OSError, SafetensorError, RuntimeError):
        raise RequestError(
            f"run {path} has no head that fits its config: run egofeat fit-head once more to finish"
        ) from None
    return head.eval(), config


def make_head(config: Mapping[str, Any]) -> Head:
    """Build the head that a run's config describes, with the fresh weights of its seed."""
    shape = tuple(config["feature_shape"])
    classes = {target: len(names) for target, names in config["classes"].items()}
    with torch.random.fork_rng([]):
        torch.manual_seed(config["trainer"]["seed"])
        head = build_head(config["head"], shape, classes, config["preset"], **config["options"])
    if config["normalize"]:
        head.standardise = Standardise(shape[1])
    return head


def open_run_store(
    path: Path, config: Mapping[str, Any], store: Path | None = None
) -> FeatureStore:
    """Open the store that a run was trained on, or another place where it lies now.

    Raises:
        StoreError: it is absent, its features were made by another recipe, or its classes
            are no longer those that the head tells apart.
    """
    place = store or Path(config["store"])
    opened = open_store(place, config["tap"])
    if opened.digest != config["store_digest"]:
        raise StoreError(
            f"store {place} ({opened.digest[:8]}) holds other features than run {path} was trained "
            f"on ({config['store_digest'][:8]}): name that store with --store, or fit the head "
            "again on this one"
        )
    for target, names in config["classes"].items():
        if list(opened.classes.get(target, ())) != names:
            raise StoreError(
                f"the classes of target '{target}' in store {place} are no longer those that run "
                f"{path} was trained on: fit the head again, or list the old classes in the "
                "manifest and run egofeat extract (features are kept)"
            )
    return opened

"""The folder that a trained head lives in, `runs/<name>/`.

config.yaml (everything to do it again, with the stores' digests), head.safetensors,
history.csv, metrics.json, predictions.npz, pictures and SHA256SUMS; checkpoint.safetensors
while the training is not finished. A head a store (`fuse: logits`, `weighted`) leaves
history-1.csv, history-2.csv and so on, in the order of the stores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from egofeat import console
from egofeat.errors import RequestError, StoreError
from egofeat.heads.fusion import (
    AveragedHeads,
    Concatenated,
    WeightedHeads,
    concatenated_shape,
)
from egofeat.heads.head import Head, Standardise, merge_steps
from egofeat.heads.registry import build_head
from egofeat.heads.training.feed import Features
from egofeat.pipelines.training.run_config import read_config, sources
from egofeat.pipelines.training.run_files import compare, write_file
from egofeat.pipelines.training.splits import by_published, hold_out
from egofeat.recipe import Recipe
from egofeat.store import FeatureStore, Rows, join, open_store
from egofeat.store.bounded import read_bounded

Places = Path | Sequence[Path]
"""Where a store lies, or several."""

_MOST_HEAD = 16 << 30
"""Bytes."""


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

    def history(self, member: str = "") -> Path:
        """One line an epoch; of one of several heads, `-1`, `-2`, …."""
        return self.path / f"history{member}.csv"

    def losses(self, member: str = "") -> Path:
        """Picture of the history."""
        return self.path / f"loss{member}.png"

    def checkpoint(self, member: str = "") -> Path:
        """State after the last epoch done; gone when the run is finished."""
        return self.path / f"checkpoint{member}.safetensors"

    @property
    def metrics(self) -> Path:
        """Figures on the validation split, written last: a run that has them is finished."""
        return self.path / "metrics.json"


def save_head(path: Path, head: Head | AveragedHeads) -> None:
    """Write the head's weights, without pickle."""
    state = {name: tensor.cpu().contiguous() for name, tensor in head.state_dict().items()}
    write_file(RunFolder(path).head, save(state))


def load_run(path: Path) -> tuple[Head | AveragedHeads, dict[str, Any]]:
    """Return a run's head, on the CPU and in evaluation mode, and its config.

    The config holds, for who makes features of new video, the `recipe` and `tap` of each of
    its `sources`, and the names of the classes of each target.

    Raises:
        RequestError: the folder is no run, or its training is not finished.
        EgofeatError: the config or the head was altered after it was written.
    """
    config = read_config(path)
    try:
        content = read_bounded(RunFolder(path).head, _MOST_HEAD)
        state = load(content)
        with torch.device("meta"):  # which takes no memory, whatever sizes the config speaks of
            wanted = make_head(config).state_dict()
        if {name: t.shape for name, t in state.items()} != {n: t.shape for n, t in wanted.items()}:
            raise ValueError("other shapes")
    except (OSError, SafetensorError, RuntimeError, ValueError, TypeError, KeyError):
        raise RequestError(
            f"run {path} has no head that fits its config: run egofeat fit-head once more to finish"
        ) from None
    compare(RunFolder(path).head, content, "put back a copy of it, or fit the head again")
    head = make_head(config)
    head.load_state_dict(state)
    return head.eval(), config


def make_head(config: Mapping[str, Any]) -> Head | AveragedHeads:
    """Build the head that a run's config describes, with the fresh weights of its seed.

    With `fuse: logits` or `weighted`, one a store, each as it would be alone.
    """
    shapes = [tuple(source["feature_shape"]) for source in sources(config)]
    fused = {"logits": AveragedHeads, "weighted": WeightedHeads}.get(config.get("fuse", ""))
    if fused:
        return fused(_fresh_head(config, merge_steps(shape)) for shape in shapes)
    return _fresh_head(config, concatenated_shape(shapes))


def _fresh_head(config: Mapping[str, Any], shape: tuple[int, ...]) -> Head:
    classes = {target: len(names) for target, names in config["classes"].items()}
    with torch.random.fork_rng([]):
        torch.manual_seed(config["trainer"]["seed"])
        head = build_head(config["head"], shape, classes, config["preset"], **config["options"])
    if config["normalize"]:
        head.standardise = Standardise(shape[1])
    return head


def branches(head: Head | AveragedHeads, rows: Rows) -> list[tuple[Head, Features]]:
    """Pair each head of a run with the features that it reads of the rows."""
    if isinstance(head, AveragedHeads):
        return list(zip(head.members, rows.parts, strict=True))
    return [(head, Concatenated(rows.parts) if len(rows.parts) > 1 else rows.parts[0])]


def listed(places: Places | None) -> list[Path]:
    """Return one place, several or none as a list."""
    if places is None:
        return []
    return [places] if isinstance(places, Path) else list(places)


def open_run_store(path: Path, config: Mapping[str, Any], store: Places | None = None) -> Rows:
    """Open the store of segments that a run was trained on, or another place where it lies now.

    Args:
        path: the run.
        config: what its config.yaml says.
        store: where the store lies; of a run on several, each in the order of the config.

    Raises:
        RequestError: another number of places than the run has stores, or it reads persons.
        StoreError: it is absent, its features were made by another recipe, or its classes
            are no longer those that the head tells apart.
    """
    refuse_persons(path, config)
    return open_run_rows(path, config, store)


def reads_persons(config: Mapping[str, Any]) -> bool:
    """Whether a run was trained on persons of key frames."""
    return any(Recipe.from_dict(source["recipe"]).of_persons for source in sources(config))


def refuse_persons(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse a run on persons where segments, or whole videos, are to be seen.

    Raises:
        RequestError: it reads persons.
    """
    if reads_persons(config):
        raise RequestError(
            f"run {path} reads persons of key frames, and this is for runs on segments: name one "
            "of those, or use egofeat evaluate or annotate"
        )


def open_run_rows(path: Path, config: Mapping[str, Any], store: Places | None = None) -> Rows:
    """Open what a run was trained on, segments or persons, or another place where it lies now.

    The persons may be others than those that it was trained on, as a detector's are: their features
    must be made in the same way.

    Args:
        path: the run.
        config: what its config.yaml says.
        store: where the store lies; of a run on several, each in the order of the config.

    Raises:
        RequestError: another number of places than the run has stores.
        StoreError: it is absent, its features were made by another recipe, or its classes
            are no longer those that the head tells apart.
    """
    trained_on = sources(config)
    places = listed(store) or [Path(source["store"]) for source in trained_on]
    if len(places) != len(trained_on):
        raise RequestError(
            f"run {path} was trained on {len(trained_on)} stores and {len(places)} are named: "
            "give --store once for each, in the order of its config.yaml"
        )
    pairs = zip(trained_on, places, strict=True)
    stores = [_open_source(path, source, place) for source, place in pairs]
    opened = join(stores, others=int(config["options"].get("others", 0)))
    tell_left_out(opened)
    if "published_split" in config:
        opened = by_published(opened, config["published_split"])
    if "val_groups" in config:
        splits = config["train_split"], config["val_split"]
        opened = hold_out(opened, config["val_groups"], *splits)
    for target, names in config["classes"].items():
        if list(opened.classes.get(target, ())) != names:
            raise StoreError(
                f"the classes of target '{target}' in store {opened.path} are no longer those "
                f"that run {path} was trained on: fit the head again, or list the old classes in "
                "the manifest and run egofeat extract (features are kept)"
            )
    return opened


def _open_source(path: Path, source: Mapping[str, Any], place: Path) -> FeatureStore:
    opened = open_store(place, source["tap"])
    if opened.digest != source["store_digest"] and not _of_other_persons(opened.recipe, source):
        raise StoreError(
            f"store {place} ({opened.digest[:8]}) holds other features than run {path} was trained "
            f"on ({source['store_digest'][:8]}): name that store with --store, or fit the head "
            "again on this one"
        )
    return opened


def _of_other_persons(recipe: Recipe, source: Mapping[str, Any]) -> bool:
    """Whether features are of persons and made as the source's, whoever else was looked at.

    Other taps of the store do not matter.
    """
    own, tap = Recipe.from_dict(source["recipe"]), source["tap"]
    return recipe.of_persons and recipe.of_boxes(own.boxes).only(tap) == own.only(tap)


def tell_left_out(rows: Rows) -> None:
    """Say how many segments of joined stores do not stand in all of them, if any."""
    if any(rows.left_out):
        pairs = zip(rows.left_out, rows.stores, strict=True)
        left_out = ", ".join(f"{count} of {one.path}" for count, one in pairs)
        console.note(f"{len(rows)} segments stand in all stores; left out: {left_out}")

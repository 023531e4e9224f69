"""A small labelled store, written as extraction writes one."""

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from egofeat.extract.backbones.backbone import Backbone
from egofeat.extract.weights import ChosenWeights
from egofeat.recipe import Recipe, Transform, Uniform
from egofeat.segments import Dataset, Media, Segment
from egofeat.store import ShardRows, StoreWriter

Labels = Mapping[str, Sequence[int | None]]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Heads this small lose more to waking threads than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


SMALL = 10_000_000
"""Parameters of a network that is kept for the next test."""


_built: dict[Any, nn.Module] = {}
_shapes: dict[Any, dict[str, tuple[int, ...]]] = {}


@pytest.fixture(autouse=True, scope="module")
def _networks_are_built_once() -> Iterator[None]:
    """A random network is the same each time: build it, and find its taps' shapes, once."""
    build, tap_shapes = ChosenWeights.build, Backbone.tap_shapes

    def build_once(chosen: ChosenWeights, make: Any) -> nn.Module:
        if chosen.state is not None or getattr(make, "keywords", True):  # a file's, a detector's
            return build(chosen, make)
        key = (make.func, *make.args, chosen.seed)
        if key not in _built:
            network = build(chosen, make)
            if sum(weight.numel() for weight in network.parameters()) > SMALL:
                return network
            network.built_as = key
            _built[key] = network
        return copy.deepcopy(_built[key])

    def shapes_once(backbone: Backbone, size: int, frames: int = 1) -> dict[str, tuple[int, ...]]:
        if (made := getattr(backbone.module, "built_as", None)) is None:
            return tap_shapes(backbone, size, frames)
        key = (made, size, frames)
        if key not in _shapes:
            _shapes[key] = tap_shapes(backbone, size, frames)
        return dict(_shapes[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ChosenWeights, "build", build_once)
        patch.setattr(Backbone, "tap_shapes", shapes_once)
        yield


@pytest.fixture
def labelled_store(tmp_path: Path) -> Callable[..., Path]:
    """Write a store whose features tell the label: `make(splits, labels, classes, …) -> path`.

    `row` is the shape of a segment's features; segments `without` were not extracted.
    """

    def make(
        splits: Sequence[str],
        labels: Labels,
        classes: Mapping[str, Sequence[str]],
        *,
        row: tuple[int, ...] = (4, 6),
        without: Collection[int] = (),
        weights: str = "random:0",
        groups: Sequence[str] | None = None,
        tail: Mapping[str, frozenset[int]] | None = None,
        unseen: frozenset[str] = frozenset(),
        published: Mapping[str, Sequence[str]] | None = None,
        benchmark: tuple[str, ...] = (),
        out: str = "features",
    ) -> Path:
        ids = [f"segment_{number:03d}" for number in range(len(splits))]
        segments = tuple(
            Segment(
                id=id_,
                video=f"video_{number % 2}",
                start=float(number),
                stop=float(number + 1),
                split=splits[number],
                labels={t: of[number] for t, of in labels.items() if of[number] is not None},
                group=groups[number] if groups else "",
            )
            for number, id_ in enumerate(ids)
        )
        dataset = Dataset(
            name="toy",
            media={f"video_{k}": Media(tmp_path / f"video_{k}.mp4") for k in range(2)},
            segments=segments,
            classes={target: tuple(names) for target, names in classes.items()},
            tail=tail or {},
            unseen=unseen,
            published={name: tuple(of) for name, of in (published or {}).items()},
            benchmark=benchmark,
        )
        recipe = Recipe(
            backbone="toy",
            weights=weights,
            transform=Transform("squash", 48, 48),
            plan=Uniform(row[0]),
            taps={"gap": row},
            dtype="float16",
        )
        rng = np.random.default_rng(0)
        features = rng.normal(0, 0.5, (len(ids), *row))
        by_channel = np.moveaxis(features, 3 if len(row) == 5 else 2, 1)
        for shift, of in enumerate(labels.values()):
            for number, label in enumerate(of):
                if label is not None:
                    by_channel[number, (label + 3 * shift) % by_channel.shape[1]] += 2
        writer = StoreWriter.open(tmp_path / out, dataset, recipe, made_with={"egofeat": "0"})
        for video in range(2):
            rows = np.setdiff1d(np.arange(video, len(ids), 2), list(without))
            writer.write_shard(
                f"video_{video}",
                ShardRows(
                    ids=[ids[number] for number in rows],
                    videos=[f"video_{video}"] * len(rows),
                    starts=rows.astype(np.float64),
                    stops=rows + 1.0,
                    clipped=np.zeros(len(rows), bool),
                    times=np.zeros((len(rows), row[0])),
                    taps={"gap": features[rows].astype(np.float16)},
                ),
            )
        writer.close()
        return writer.path

    return make


@pytest.fixture
def verb_noun_store(labelled_store: Callable[..., Path]) -> Callable[..., Path]:
    """Write 60 training, 30 validation and 10 unlabelled test segments of 3 verbs and 3 nouns."""

    def make(**changes: object) -> Path:
        splits = ["train"] * 60 + ["val"] * 30 + ["test"] * 10
        rng = np.random.default_rng(1)
        labels = {
            target: [*rng.integers(0, 3, 90).tolist(), *[None] * 10] for target in ("verb", "noun")
        }
        classes = {"verb": ("take", "put", "cut"), "noun": ("cup", "knife", "pan")}
        groups = [f"P{row % 3}" for row in range(100)]
        more = {"groups": groups, "unseen": frozenset({"P2"}), "tail": {"verb": frozenset({2})}}
        return labelled_store(splits, labels, classes, **{**more, **changes})

    return make


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, encoder: Any) -> Path:
    """A folder of two classes, three clips to train and two to validate each, and its manifest."""
    root = tmp_path_factory.mktemp("clips")
    for split, count in (("train", 3), ("val", 2)):
        for place, name in enumerate(("far", "near")):
            folder = root / "media" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                encoder(
                    folder / f"{number}.mp4",
                    frames=24,
                    picture=lambda n, seed=10 * place + number: np.full(
                        (64, 64, 3), (9 * n + 37 * seed) % 256, np.uint8
                    ),
                )
    manifest = {"version": 1, "datasets": {"lamps": {"format": "folder", "media": "media"}}}
    (root / "m.yaml").write_text(yaml.safe_dump(manifest))
    return root

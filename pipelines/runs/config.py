"""config.yaml of a run: what was asked, what it was trained on, and how the training went."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import torch
import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    PlainSerializer,
    PlainValidator,
    SerializerFunctionWrapHandler,
    WrapSerializer,
    model_serializer,
)

from egofeat.errors import EgofeatError, RequestError, StoreError, WeightsError
from egofeat.extract.weights import sha256_of
from egofeat.heads.config import TrainerConfig
from egofeat.heads.fusion import AveragedHeads, WeightedHeads, concatenated_shape
from egofeat.heads.head import Head, Standardise, merge_steps
from egofeat.heads.names import HEADS
from egofeat.heads.registry import build_head, head_options
from egofeat.pipelines.runs import CONFIG
from egofeat.pipelines.runs.files import SUMS, compare, write_file
from egofeat.plugins import FromFile
from egofeat.recipe import Recipe
from egofeat.schema import Count, Name, parse
from egofeat.store import Rows
from egofeat.store.bounded import read_bounded
from egofeat.words import plain

SCHEMA: Final = 2
"""Of config.yaml; 1 is that of runs whose config.yaml tells none."""
_MOST = 4 << 20
"""Bytes, of some hundred thousand classes."""
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FUSED: Mapping[str, type[AveragedHeads]] = {"logits": AveragedHeads, "weighted": WeightedHeads}


def _recipe(said: Any) -> Recipe:
    try:
        return said if isinstance(said, Recipe) else Recipe.from_dict(said)
    except StoreError as error:
        raise ValueError(str(error)) from None


def _said_trainer(trainer: TrainerConfig, said: SerializerFunctionWrapHandler) -> dict[str, Any]:
    """As config.yaml has it: as it was before a warm-up could begin above 0, where it does not."""
    kept: dict[str, Any] = said(trainer)
    if not trainer.warmup_from:
        del kept["warmup_from"]
    return kept


class _Part(BaseModel):
    """A part of config.yaml, which has nothing that this egofeat does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Part):
    """A tap of a store that a run was trained on."""

    store: str
    """Where it lay."""
    digest: str
    tap: Name
    shape: Annotated[tuple[Count, ...], Field(min_length=2, max_length=5)]
    """Of a row: `(T, C)`, `(T, C, H, W)` or `(V, t, C, H, W)`; of persons, T is 1 + others."""
    recipe: Annotated[
        Recipe,
        PlainValidator(_recipe),
        PlainSerializer(Recipe.to_dict, return_type=dict),
    ]

    @classmethod
    def of(cls, rows: Rows) -> tuple[Self, ...]:
        """Those of some rows, one a store."""
        return tuple(
            cls(
                store=str(store.path.resolve()),
                digest=store.digest,
                tap=store.tap,
                shape=part.row_shape,
                recipe=store.recipe,
            )
            for store, part in zip(rows.stores, rows.parts, strict=True)
        )

    def __str__(self) -> str:
        return f"{self.recipe.store_name}:{self.tap} {list(self.shape)}"


class Splits(_Part):
    """How the rows of the stores were divided."""

    train: str = "train"
    val: str = "val"
    published: str | None = None
    """Of a data set with several published splits, another than the manifest's."""
    val_from_train: float = 0.0
    """Part of the training split's groups that validates."""
    val_groups: tuple[str, ...] = ()
    """These groups."""
    where: tuple[str, ...] = ()
    """`KEY=VALUE`, each: rows that train and validate."""
    train_fraction: float = 1.0
    """Part of the training rows that trains, drawn by the trainer's seed."""

    @model_serializer(mode="wrap")
    def _said(self, said: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As config.yaml has it: as it was before rows could be chosen, where all are taken."""
        kept: dict[str, Any] = said(self)
        if not self.where:
            del kept["where"]
        if self.train_fraction == 1:
            del kept["train_fraction"]
        return kept


class File(_Part):
    """A file of weights."""

    file: str
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """The file at a place.

        Raises:
            WeightsError: there is none.
        """
        if not path.is_file():
            raise WeightsError(f"there is no weights file {path}: name one that exists")
        return cls(file=str(path.resolve()), sha256=sha256_of(path))


def init_of(path: Path | None) -> File | Literal["backbone"] | None:
    """What a head starts from: a file, or the word `backbone`; None is nothing but the seed.

    Raises:
        WeightsError: there is no such file.
    """
    if path is None:
        return None
    return "backbone" if str(path) == "backbone" else File.of(path)


class Training(_Part):
    """How the training of one head went."""

    best_epoch: float
    """Whose weights were kept; 0 where nothing was trained. Parts of one where iterations count."""
    epochs: float
    """Trained, to the end of patience or of all."""
    seconds: float
    """That they took."""
    waiting: float | None = None
    """Part of these seconds that passed while features were read; None of runs of before."""
    stopped: str | None = None
    """Why it ended before its time; None of one that did not, and of runs of before."""
    diverged: str | None = None
    """That its loss came to nothing, though it stayed finite; None of one that is sound, and of
    runs of before."""
    chosen: str | None = None
    """What validation chose of a head that is solved; None of one that is trained."""


class Covered(_Part):
    """How many segments, or key frames, of a split have features."""

    there: int
    of_split: int


class Result(_Part):
    """What a finished training adds."""

    parameters: int
    """Trainable."""
    training: tuple[Training, ...]
    """Of the head, or of each of several."""
    coverage: dict[str, Covered]
    """Of the training and the validation split."""


class RunConfig(_Part):
    """Everything that it takes to do a run again, and to compare it with others."""

    schema_: Literal[2] = Field(default=SCHEMA, alias="schema")
    egofeat: str = Field(default_factory=lambda: version("egofeat"))
    dataset: Name
    head: Annotated[Name, AfterValidator(FromFile)]
    package: str = ""
    """Name and version of the package that adds the head; empty of egofeat's own."""
    preset: Name | None = None
    options: dict[str, bool | int | float | str | None]
    """Of the head, all of them."""
    normalize: bool = False
    classes: Annotated[
        dict[Name, Annotated[tuple[str, ...], FailFast(), Field(min_length=1)]], Field(min_length=1)
    ]
    """Target to the names of its classes, in the order of the labels."""
    splits: Splits
    trainer: Annotated[TrainerConfig, WrapSerializer(_said_trainer)]
    init: File | Literal["backbone"] | None = None
    """Published weights that the head started from; or those of the backbone of its features."""
    fuse: Annotated[str, Field(pattern=r"\A(features|logits|weighted)\z")] = "features"
    sources: Annotated[tuple[Source, ...], Field(min_length=1, max_length=100)]
    labels_digest: str = ""
    """See `egofeat.pipelines.runs.trained_on.labels_digest`."""
    result: Result | None = None
    """None of a training that is not finished, or of an earlier egofeat."""

    @property
    def targets(self) -> tuple[str, ...]:
        """What the head tells apart."""
        return tuple(self.classes)

    @property
    def of_persons(self) -> bool:
        """Whether rows are persons of key frames."""
        return any(source.recipe.of_persons for source in self.sources)

    @property
    def all_options(self) -> dict[str, Any]:
        """Options of the head, those too that it did not have when the run was made."""
        with suppress(EgofeatError):  # it may not be installed here
            return {**head_options(self.head, self.preset), **self.options}
        return dict(self.options)

    def make_head(self) -> Head | AveragedHeads:
        """Build the head, with the fresh weights of the seed; one a store where logits are fused.

        Raises:
            RequestError: there is no such head, or none of features of these shapes.
        """
        shapes = [source.shape for source in self.sources]
        if self.fuse in _FUSED:
            return _FUSED[self.fuse](map(self._fresh_head, map(merge_steps, shapes), self.sources))
        single = self.sources[0] if len(shapes) == 1 else None
        return self._fresh_head(concatenated_shape(shapes), single)

    def empty_head(self) -> Head | AveragedHeads:
        """Build the head without its weights, which takes no memory, whatever sizes are asked for.

        One that is added has weights where its code cannot do without.
        """
        try:
            with torch.device("meta"):
                return self.make_head()
        except EgofeatError:
            return self.make_head()

    def _fresh_head(self, shape: tuple[int, ...], source: Source | None) -> Head:
        if self.package and (installed := HEADS.package(self.head)) != self.package:
            raise RequestError(
                f"the run's head {self.head} needs package {self.package}, and "
                f"{installed or 'none'} is installed: install the one that made it"
            )
        classes = {target: len(names) for target, names in self.classes.items()}
        with torch.random.fork_rng([]):
            torch.manual_seed(self.trainer.seed)
            of_tap = (source.recipe.backbone, source.tap) if source else None
            head = build_head(self.head, shape, classes, self.preset, of_tap, **self.options)
        if self.normalize:
            head.standardise = Standardise(shape[1])
        return head

    def with_shapes(self, shapes: tuple[tuple[int, ...], ...]) -> Self:
        """The same of rows of other shapes, one a source."""
        pairs = zip(self.sources, shapes, strict=True)
        sources = tuple(source.model_copy(update={"shape": shape}) for source, shape in pairs)
        return self.model_copy(update={"sources": sources})

    def asks_the_same(self, other: Self) -> bool:
        """Whether another is of the same training, wherever its files lie and however it went."""
        return self._request() == other._request()

    @property
    def digest(self) -> str:
        """Hexadecimal sha256 of what `asks_the_same` compares."""
        return hashlib.sha256(self._request().model_dump_json().encode()).hexdigest()

    def _request(self) -> Self:
        sources = tuple(source.model_copy(update={"store": ""}) for source in self.sources)
        init = self.init
        if isinstance(init, File):
            init = init.model_copy(update={"file": ""})
        of = {"sources": sources, "init": init, "options": self.all_options, "result": None}
        return self.model_copy(update=of)


def write_config(folder: Path, config: RunConfig) -> None:
    """Write config.yaml into a run's folder, making the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    said = config.model_dump(mode="json", by_alias=True)
    text = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=100)
    write_file(folder / CONFIG, text.encode())


def read_config(folder: Path) -> RunConfig:
    """Read config.yaml of a run, of this schema or of those before.

    Raises:
        RequestError: the folder is no run, its config.yaml is damaged, or of a newer egofeat.
        EgofeatError: it was altered after it was written.
    """
    try:
        content = read_bounded(folder / CONFIG, _MOST)
        config = _parsed(folder, _loaded(content))
    except FileNotFoundError:
        inside = sorted(place.parent.name for place in folder.glob(f"*/{CONFIG}"))
        other = f"one in it, such as {folder / inside[0]}," if inside else "a folder"
        raise RequestError(
            f"{folder} is not a run: name {other} that egofeat fit-head has made"
        ) from None
    except (ValueError, TypeError, RecursionError) as error:
        raise RequestError(
            f"{folder} is not a run, its {CONFIG} is damaged ({plain(str(error), 200)}): name a "
            "folder that egofeat fit-head has made, or fit the head again"
        ) from None
    mend = f"if you changed it on purpose, delete the line of {CONFIG} in {SUMS}"
    compare(folder / CONFIG, content, f"restore a copy of it or, {mend}")
    return config


def _parsed(folder: Path, said: Any) -> RunConfig:
    schema = said.get("schema", 1) if isinstance(said, dict) else 1
    if isinstance(schema, int) and schema > SCHEMA:
        raise RequestError(
            f"run {folder} was made by a newer egofeat (schema {schema}): upgrade egofeat"
        )
    if isinstance(said, dict) and "schema" not in said:
        said = _upgraded(said)
    try:
        return parse(RunConfig, json.dumps(said))
    except RequestError as error:  # an option of the trainer that cannot be
        raise ValueError(str(error)) from None


def _upgraded(said: dict[str, Any]) -> dict[str, Any]:
    """What the first schema says, which told no number, as the second has it."""
    kept = set(RunConfig.model_fields) - {"schema_", "splits", "sources", "result"}
    splits = {"train_split": "train", "val_split": "val", "published_split": "published"}
    splits |= {name: name for name in ("val_from_train", "val_groups")}
    source = {"store_digest": "digest", "feature_shape": "shape"}
    source |= {name: name for name in ("store", "tap", "recipe")}
    return {
        "schema": SCHEMA,
        **{name: value for name, value in said.items() if name in kept},
        "splits": _renamed(said, splits),
        "sources": [_renamed(one, source) for one in said.get("stores", [said])],
    }


def _renamed(said: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {new: said[old] for old, new in names.items() if old in said}


def _loaded(content: bytes) -> Any:
    """Read YAML that has nothing that stands for more than itself.

    Raises:
        ValueError: it is no YAML, or holds anchors.
    """
    try:
        text = content.decode()
        if "*" in text and any(
            isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, _LOADER)
        ):
            raise ValueError("it refers to parts of itself")
        return yaml.load(text, _LOADER)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
